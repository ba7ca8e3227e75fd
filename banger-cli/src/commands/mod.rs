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

use banger::{Cancellation, Dirs, Failure as _, Setting};

use crate::args::{
    Arguments, CacheArguments, CacheCommand, Command, ImageCommand, ProgressStyle, StateArguments,
};
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
            Self::Banger(banger::Error::Guest(error)) => match error.advice() {
                Some(advice) => write!(formatter, "{error}; {}", advice.worded(flag)),
                None => error.fmt(formatter),
            },
            Self::Banger(error) => error.fmt(formatter),
            Self::Ended(status) => write!(formatter, "the program in the guest ended with status {status}"),
            Self::Unsound => formatter.write_str("something is wrong"),
            Self::ClosedOutput => formatter.write_str("standard output is closed"),
            Self::Output(error) => write!(formatter, "cannot write the output: {error}"),
        }
    }
}

/// Returns the command line's own name for an option of the library.
fn flag(setting: Setting) -> String {
    match setting.0 {
        "max_output_bytes" => "--max-output".to_owned(),
        "max_copy_bytes" => "--max-size".to_owned(),
        name => format!("--{}", name.replace('_', "-")),
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
        Command::Image(command) => image(command, global.progress, printer),
        Command::Rootfs(command) => rootfs::run(&command, global.progress, printer),
        Command::Guest(command) => guest::run(&command, printer),
        Command::Completions { shell } => generated::completions(shell, printer),
        Command::Man { dir } => generated::manual_pages(&dir, printer),
    }
}

/// Runs a command of `banger image`.
fn image(command: ImageCommand, progress: ProgressStyle, printer: &Printer) -> Result<(), Failure> {
    match command {
        ImageCommand::Pull(pull) => {
            pull::pull(&pull, &dirs(Some(&pull.state), Some(&pull.cache))?, progress, printer)
        }
        ImageCommand::List { state } => images::list(&dirs(Some(&state), None)?, printer),
        ImageCommand::Show { name, state } => images::show(&name, &dirs(Some(&state), None)?, printer),
        ImageCommand::Rm { names, state } => images::rm(&names, &dirs(Some(&state), None)?, printer),
        ImageCommand::Rename { name, new_name, state } => {
            images::rename(&name, &new_name, &dirs(Some(&state), None)?, printer)
        }
        ImageCommand::Export { name, file, force, state } => {
            images::export(&name, &file, force, &dirs(Some(&state), None)?, printer)
        }
        ImageCommand::Clone { name, new_name, state } => {
            images::clone(&name, &new_name, &dirs(Some(&state), None)?, printer)
        }
        ImageCommand::Verify { names, state } => images::verify(&names, &dirs(Some(&state), None)?, printer),
        ImageCommand::Cache(CacheCommand::List { cache }) => cache::list(&dirs(None, Some(&cache))?, printer),
        ImageCommand::Cache(CacheCommand::Prune(arguments)) => {
            cache::prune(&arguments, &dirs(None, Some(&arguments.cache))?, printer)
        }
    }
}

/// Returns the directories of the user, but for those that the arguments set.
fn dirs(state: Option<&StateArguments>, cache: Option<&CacheArguments>) -> Result<Dirs, Failure> {
    let state = state.and_then(|arguments| arguments.state_dir.clone());
    let cache = cache.and_then(|arguments| arguments.cache_dir.clone());
    match (state, cache) {
        (Some(state), Some(cache)) => Ok(Dirs { state, cache }),
        (state, cache) => {
            let user = Dirs::of_user()?;
            Ok(Dirs { state: state.unwrap_or(user.state), cache: cache.unwrap_or(user.cache) })
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
