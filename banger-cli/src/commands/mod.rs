//! The commands: each calls the `banger` crate and prints what came of it.

mod cache;
mod generated;
mod guest;
mod images;
mod kernel;
mod limits;
mod pull;
mod register;
mod removal;
mod rootfs;

use banger::Dirs;

use crate::args::kernel::KernelCommand;
use crate::args::{
    Arguments, CacheArguments, CacheCommand, Command, ImageCommand, ProgressStyle, StateArguments,
};
use crate::failure::CommandError;
use crate::printer::Printer;

/// Runs the command that the arguments name.
pub(crate) fn run(arguments: Arguments, printer: &Printer) -> Result<(), CommandError> {
    let global = arguments.global;
    match arguments.command {
        Command::Image(command) => image(command, global.progress, printer),
        Command::Kernel(command) => kernel(&command, global.progress, printer),
        Command::Rootfs(command) => rootfs::run(&command, global.progress, printer),
        Command::Guest(command) => guest::run(&command, printer),
        Command::Completions { shell } => generated::completions(shell, printer),
        Command::Man { dir } => generated::manual_pages(&dir, printer),
    }
}

/// Runs a command of `banger image`.
fn image(command: ImageCommand, progress: ProgressStyle, printer: &Printer) -> Result<(), CommandError> {
    match command {
        ImageCommand::Pull(pull) => {
            pull::pull(&pull, &dirs(Some(&pull.state), Some(&pull.cache))?, progress, printer)
        }
        ImageCommand::Register(register) => {
            register::register(&register, &dirs(Some(&register.state), None)?, progress, printer)
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

/// Runs a command of `banger kernel`.
fn kernel(command: &KernelCommand, progress: ProgressStyle, printer: &Printer) -> Result<(), CommandError> {
    match command {
        KernelCommand::Import(import) => {
            kernel::import(import, &dirs(Some(&import.state), None)?, progress, printer)
        }
        KernelCommand::List { quiet, state } => kernel::list(*quiet, &dirs(Some(state), None)?, printer),
        KernelCommand::Show { name, state } => kernel::show(name, &dirs(Some(state), None)?, printer),
        KernelCommand::Rm { names, state } => kernel::rm(names, &dirs(Some(state), None)?, printer),
    }
}

/// Returns the directories of the user, but for those that the arguments set.
fn dirs(state: Option<&StateArguments>, cache: Option<&CacheArguments>) -> Result<Dirs, CommandError> {
    let state = state.and_then(|arguments| arguments.state_dir.clone());
    let cache = cache.and_then(|arguments| arguments.cache_dir.clone());
    match (state, cache) {
        (Some(state), Some(cache)) => Ok(Dirs::new(state, cache)),
        (state, cache) => {
            let user = Dirs::of_user()?;
            Ok(Dirs::new(state.unwrap_or(user.state), cache.unwrap_or(user.cache)))
        }
    }
}
