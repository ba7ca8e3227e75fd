//! The commands: each calls the `banger` crate and prints what came of it.

mod boot;
mod cache;
mod doctor;
mod generated;
mod guest;
mod image_build;
mod image_clone;
mod image_commit;
mod image_push;
mod images;
mod inspect;
mod kernel;
mod kernel_bundle;
mod limits;
mod prompt;
mod pull;
mod register;
mod registry;
mod removal;
mod rootfs;
mod sources;
mod vm;

use banger::Dirs;

use crate::args::kernel::KernelCommand;
use crate::args::vm::VmCommand;
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
        Command::Vm(VmCommand::Run(run)) => {
            vm::run(&run, &dirs(Some(&run.state), Some(&run.cache))?, global.progress, printer)
        }
        Command::Guest(command) => guest::run(&command, printer),
        Command::Login(login) => registry::login(&login, printer),
        Command::Logout(logout) => registry::logout(&logout, printer),
        Command::Doctor { state, cache } => doctor::doctor(dirs(Some(&state), Some(&cache))?, printer),
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
        ImageCommand::Inspect(arguments) => {
            let dirs = dirs(Some(&arguments.state), Some(&arguments.cache))?;
            inspect::inspect(&arguments, &dirs, progress, printer)
        }
        ImageCommand::Build(build) => {
            image_build::build(&build, &dirs(Some(&build.state), Some(&build.cache))?, progress, printer)
        }
        ImageCommand::Register(register) => {
            register::register(&register, &dirs(Some(&register.state), None)?, progress, printer)
        }
        ImageCommand::Push(arguments) => {
            image_push::push(&arguments, &dirs(Some(&arguments.state), None)?, progress, printer)
        }
        ImageCommand::Commit(arguments) => {
            let dirs = dirs(Some(&arguments.state), Some(&arguments.cache))?;
            image_commit::commit(&arguments, &dirs, progress, printer)
        }
        ImageCommand::List { quiet, state } => images::list(quiet, &dirs(Some(&state), None)?, printer),
        ImageCommand::Show { name, state } => images::show(&name, &dirs(Some(&state), None)?, printer),
        ImageCommand::Rm { names, state } => images::rm(&names, &dirs(Some(&state), None)?, printer),
        ImageCommand::Prune(arguments) => {
            images::prune(&arguments, &dirs(Some(&arguments.state), None)?, printer)
        }
        ImageCommand::Rename { name, new_name, state } => {
            images::rename(&name, &new_name, &dirs(Some(&state), None)?, printer)
        }
        ImageCommand::Export { name, file, force, state } => {
            images::export(&name, &file, force, &dirs(Some(&state), None)?, printer)
        }
        ImageCommand::Clone(arguments) => {
            image_clone::clone(&arguments, &dirs(Some(&arguments.state), None)?, printer)
        }
        ImageCommand::Verify { names, state } => images::verify(&names, &dirs(Some(&state), None)?, printer),
        ImageCommand::BootPlan(plan) => {
            boot::plan(&plan, &dirs(Some(&plan.state), Some(&plan.cache))?, printer)
        }
        ImageCommand::Cache(CacheCommand::List { cache }) => cache::list(&dirs(None, Some(&cache))?, printer),
        ImageCommand::Cache(CacheCommand::Prune(arguments)) => {
            cache::prune(&arguments, &dirs(None, Some(&arguments.cache))?, printer)
        }
        ImageCommand::Cache(CacheCommand::Verify { remove, cache }) => {
            cache::verify(remove, &dirs(None, Some(&cache))?, printer)
        }
    }
}

/// Runs a command of `banger kernel`.
fn kernel(command: &KernelCommand, progress: ProgressStyle, printer: &Printer) -> Result<(), CommandError> {
    match command {
        KernelCommand::Import(import) => {
            let dirs = dirs(Some(&import.state), Some(&import.download.cache))?;
            kernel::import(import, &dirs, progress, printer)
        }
        KernelCommand::Pull(pull) => {
            let dirs = dirs(Some(&pull.state), Some(&pull.download.cache))?;
            kernel_bundle::pull(pull, &dirs, progress, printer)
        }
        KernelCommand::Pack(pack) => {
            kernel_bundle::pack(pack, &dirs(Some(&pack.state), None)?, progress, printer)
        }
        KernelCommand::List { quiet, state } => kernel::list(*quiet, &dirs(Some(state), None)?, printer),
        KernelCommand::Show { name, state } => kernel::show(name, &dirs(Some(state), None)?, printer),
        KernelCommand::Check(check) => boot::check(check, &dirs(Some(&check.state), None)?, printer),
        KernelCommand::Rm { names, state } => kernel::rm(names, &dirs(Some(state), None)?, printer),
    }
}

/// Returns the directories of the user, but for those that the arguments set.
fn dirs(state: Option<&StateArguments>, cache: Option<&CacheArguments>) -> Result<Dirs, CommandError> {
    let state = state.and_then(|arguments| arguments.state_dir.clone());
    let cache = cache.and_then(|arguments| arguments.cache_dir.clone());
    let dirs = match (state, cache) {
        (Some(state), Some(cache)) => Dirs::new(state, cache),
        (state, cache) => {
            let user = Dirs::of_user()?;
            Dirs::new(state.unwrap_or(user.state), cache.unwrap_or(user.cache))
        }
    };
    // A machine whose command was killed ends with the next command, whichever it is. This one's work does not
    // depend on it.
    let _ = banger::vm::sweep(&dirs.state);
    Ok(dirs)
}
