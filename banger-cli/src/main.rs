//! The `banger` command: parses arguments, calls the `banger` crate, prints.

mod args;
mod commands;
mod failure;
mod hints;
mod internal;
mod interrupt;
mod json;
mod log;
mod printer;
mod progress;
mod text;
mod units;
mod usage;

use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use clap::{CommandFactory as _, FromArgMatches as _};

use crate::args::Arguments;
use crate::failure::CommandError;
use crate::hints::{CommandPath, worded};
use crate::printer::{ErrorBody, Printer};

fn main() -> ExitCode {
    internal::guard(run)
}

fn run() -> ExitCode {
    ignore_file_size_signal();
    let (arguments, path) = match parse() {
        Ok(parsed) => parsed,
        Err(error) => return usage::tell(&error),
    };
    let printer = Printer::new(&arguments.global);
    match log::start(arguments.global.verbose, &printer).and_then(|()| commands::run(arguments, &printer)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(CommandError::ClosedOutput) => ExitCode::SUCCESS,
        Err(CommandError::Ended(status)) => ExitCode::from(status),
        Err(CommandError::Unsound) => ExitCode::FAILURE,
        Err(error) => {
            printer.error(ErrorBody::new(&error, worded(&error, &path)));
            ExitCode::from(error.exit_status())
        }
    }
}

/// Returns the arguments, and the command that they name.
fn parse() -> Result<(Arguments, CommandPath), clap::Error> {
    let mut command = Arguments::command();
    let matches = command.try_get_matches_from_mut(usage::with_modes(std::env::args_os()))?;
    let arguments = Arguments::from_arg_matches(&matches).map_err(|error| error.format(&mut command))?;
    Ok((arguments, CommandPath::of(&matches)))
}

/// Turns the signal that a write beyond `ulimit -f` causes into the error of that write: its default
/// action ends the process, which would leave its files behind.
fn ignore_file_size_signal() {
    let seen = Arc::new(AtomicBool::new(false));
    // Without the handler, the next run removes what is left.
    let _ = signal_hook::flag::register(signal_hook::consts::SIGXFSZ, seen);
}
