//! The commands: each calls the `banger` crate and prints what came of it.

mod cache;
mod generated;
mod guest;
mod images;
mod limits;
mod pull;
mod rootfs;

use banger::Dirs;

use crate::args::{Arguments, Command, GlobalArguments, ImageCommand};
use crate::failure::CommandError;
use crate::printer::Printer;

/// Runs the command that the arguments name.
pub(crate) fn run(arguments: Arguments, printer: &Printer) -> Result<(), CommandError> {
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
fn dirs(global: &GlobalArguments) -> Result<Dirs, CommandError> {
    match (&global.state_dir, &global.cache_dir) {
        (Some(state), Some(cache)) => Ok(Dirs { state: state.clone(), cache: cache.clone() }),
        (state, cache) => {
            let user = Dirs::of_user()?;
            Ok(Dirs {
                state: state.clone().unwrap_or(user.state),
                cache: cache.clone().unwrap_or(user.cache),
            })
        }
    }
}
