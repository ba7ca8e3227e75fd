//! The `banger` command: parses arguments, calls the `banger` crate, prints.

mod args;
mod commands;
mod printer;
mod progress;
mod units;

use std::process::ExitCode;

use clap::Parser as _;
use clap::error::ErrorKind;

use crate::args::Arguments;
use crate::commands::Failure;
use crate::printer::Printer;

fn main() -> ExitCode {
    let arguments = match Arguments::try_parse() {
        Ok(arguments) => arguments,
        Err(error) => {
            // Help and version were asked for; the rest is the user's mistake.
            let status = match error.kind() {
                ErrorKind::DisplayHelp | ErrorKind::DisplayVersion => 0,
                _ => 1,
            };
            // Nobody is left to tell when the terminal is gone.
            let _ = error.print();
            return ExitCode::from(status);
        }
    };
    let printer = Printer::new(arguments.global.json);
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
