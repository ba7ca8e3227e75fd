//! The commands: each calls the `banger` crate and prints what came of it.

mod cache;
mod generated;
mod guest;
mod images;
mod limits;
mod pull;
mod rootfs;

use std::fmt;
use std::io;

use banger::{Cancellation, Dirs};

use crate::args::{Arguments, Command, GlobalArguments, ImageCommand};
use crate::printer::Printer;

/// Why a command failed.
#[derive(Debug)]
pub(crate) enum Failure {
    /// The library says why.
    Banger(banger::Error),
    /// What ran in a guest ended with this status, and so does this program, without a word.
    Ended(u8),
    /// The command did what it was for, and told what is wrong.
    Unsound,
    /// Whoever read standard output has gone, which ends a command quietly.
    ClosedOutput,
    /// Standard output, or a file that the command writes itself, failed.
    Output(io::Error),
}

impl Failure {
    pub(crate) fn code(&self) -> u32 {
        match self {
            Self::Banger(error) => error.code(),
            Self::Ended(_) | Self::Unsound | Self::ClosedOutput | Self::Output(_) => {
                banger::Error::OUTPUT_CODE
            }
        }
    }

    pub(crate) fn exit_status(&self) -> u8 {
        match self {
            Self::Banger(error) => error.exit_status(),
            Self::Ended(status) => *status,
            Self::Unsound | Self::ClosedOutput | Self::Output(_) => 1,
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Banger(error) => error.fmt(formatter),
            Self::Ended(status) => write!(formatter, "the program in the guest ended with status {status}"),
            Self::Unsound => formatter.write_str("something is wrong"),
            Self::ClosedOutput => formatter.write_str("standard output is closed"),
            Self::Output(error) => write!(formatter, "cannot write the output: {error}"),
        }
    }
}

impl<E: Into<banger::Error>> From<E> for Failure {
    fn from(error: E) -> Self {
        Self::Banger(error.into())
    }
}

fn output(result: io::Result<()>) -> Result<(), Failure> {
    result.map_err(|error| match error.kind() {
        io::ErrorKind::BrokenPipe => Failure::ClosedOutput,
        _ => Failure::Output(error),
    })
}

/// Runs the command that the arguments name.
pub(crate) fn run(arguments: Arguments, printer: &Printer) -> Result<(), Failure> {
    let global = arguments.global;
    match arguments.command {
        Command::Image(ImageCommand::Pull(pull)) => {
            pull::pull(&pull, &dirs(&global)?, global.progress, printer)
        }
        Command::Image(ImageCommand::List) => images::list(&dirs(&global)?, printer),
        Command::Image(ImageCommand::Show { name }) => images::show(&name, &dirs(&global)?, printer),
        Command::Image(ImageCommand::Rm { names }) => images::rm(&names, &dirs(&global)?, printer),
        Command::Image(ImageCommand::Rename { name, new_name }) => {
            images::rename(&name, &new_name, &dirs(&global)?, printer)
        }
        Command::Image(ImageCommand::Export { name, file, force }) => {
            images::export(&name, &file, force, &dirs(&global)?, printer)
        }
        Command::Image(ImageCommand::Clone { name, new_name }) => {
            images::clone(&name, &new_name, &dirs(&global)?, printer)
        }
        Command::Image(ImageCommand::Verify { names }) => images::verify(&names, &dirs(&global)?, printer),
        Command::Image(ImageCommand::Cache(command)) => cache::run(&command, &dirs(&global)?, printer),
        Command::Rootfs(command) => rootfs::run(&command, global.progress, printer),
        Command::Guest(command) => guest::run(&command, printer),
        Command::Completions { shell } => generated::completions(shell, printer),
        Command::Man { dir } => generated::manual_pages(&dir, printer),
    }
}

/// The directories of the user, but for those that the arguments set.
fn dirs(global: &GlobalArguments) -> Result<Dirs, Failure> {
    match (&global.state_dir, &global.cache_dir) {
        (Some(state), Some(cache)) => Ok(Dirs::new(state, cache)),
        (state, cache) => {
            let user = Dirs::of_user()?;
            Ok(Dirs::new(state.clone().unwrap_or(user.state), cache.clone().unwrap_or(user.cache)))
        }
    }
}

/// Returns a flag that an interrupt sets; a second interrupt ends the process at once.
fn cancel_on_signal(printer: &Printer) -> Cancellation {
    let cancellation = Cancellation::default();
    let (flag, printer) = (cancellation.clone(), printer.clone());
    let handler = move || {
        if flag.is_cancelled() {
            std::process::exit(130);
        }
        printer.note("stopping; interrupt again to stop at once");
        flag.cancel();
    };
    // Without a handler an interrupt ends the process, and the next start sweeps what it left.
    let _ = ctrlc::set_handler(handler);
    cancellation
}
