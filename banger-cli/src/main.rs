//! The `banger` command: parses arguments, calls the `banger` crate, prints.

mod args;
mod commands;
mod internal;
mod json;
mod printer;
mod progress;
mod text;
mod units;
mod usage;

use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use clap::Parser as _;

use crate::args::Arguments;
use crate::commands::Failure;
use crate::printer::Printer;

fn main() -> ExitCode {
    internal::guard(run)
}

fn run() -> ExitCode {
    ignore_file_size_signal();
    let arguments = match Arguments::try_parse_from(usage::with_modes(std::env::args_os())) {
        Ok(arguments) => arguments,
        Err(error) => return usage::tell(&error),
    };
    let printer = Printer::new(&arguments.global);
    match commands::run(arguments, &printer) {
        Ok(()) => ExitCode::SUCCESS,
        Err(Failure::ClosedOutput) => ExitCode::SUCCESS,
        Err(Failure::Ended(status)) => ExitCode::from(status),
        Err(Failure::Unsound) => ExitCode::FAILURE,
        Err(failure) => {
            printer.error(failure.code(), &failure.to_string());
            ExitCode::from(failure.exit_status())
        }
    }
}

/// Turns the signal that a write beyond `ulimit -f` causes into the error of that write: its default
/// action ends the process, which would leave its files behind.
fn ignore_file_size_signal() {
    let seen = Arc::new(AtomicBool::new(false));
    // Without the handler, the next run removes what is left.
    let _ = signal_hook::flag::register(signal_hook::consts::SIGXFSZ, seen);
}
