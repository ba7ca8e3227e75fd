//! The entry point of a guest or the shell in its place, and the init that takes over.

use std::ffi::OsString;
use std::io;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, Stdio};

use banger_guest::config::Entrypoint;
use rustix::process::Pid;
use thiserror::Error;

use super::console::Console;
use crate::root::Root;
use crate::spawn::{self, Input};
use crate::users::{Accounts, Identity, UserError};

/// Why a program does not run.
#[derive(Debug, Error)]
pub(super) enum ProgramError {
    #[error("user: {0}")]
    User(#[from] UserError),
    #[error("working directory {path}: {source}")]
    WorkingDirectory { path: String, source: io::Error },
    #[error("console: {0}")]
    Console(#[source] io::Error),
    #[error("{program}: {source}")]
    Spawn { program: String, source: io::Error },
}

/// A program on the console.
#[derive(Debug)]
pub(super) struct Program {
    pid: Pid,
}

impl Program {
    /// Starts the entry point, as the image's configuration says. It writes to the console, and reads from it
    /// if `interactive`.
    pub(super) fn entrypoint(
        root: &Root,
        entrypoint: &Entrypoint,
        console: &Console,
        interactive: bool,
    ) -> Result<Self, ProgramError> {
        let identity = Accounts::of_guest(root).identity(entrypoint.user.as_deref().unwrap_or_default())?;
        let directory =
            entrypoint.working_dir.as_deref().filter(|directory| !directory.is_empty()).unwrap_or("/");
        // Container runtimes make it, too.
        std::fs::create_dir_all(directory)
            .map_err(|source| ProgramError::WorkingDirectory { path: directory.to_owned(), source })?;
        let (program, arguments) =
            entrypoint.argv.split_first().map_or(("", &[][..]), |(first, rest)| (first, rest));
        let mut command = Command::new(program);
        command.env_clear().env("PATH", spawn::DEFAULT_PATH).env("HOME", &identity.home).env("TERM", "linux");
        let variables: Vec<(OsString, OsString)> =
            entrypoint.env.iter().filter_map(|text| spawn::variable(text)).collect();
        command.envs(variables).args(arguments).current_dir(directory);
        Self::on_console(command, program, &identity, console, interactive)
    }

    /// Starts a login shell: the shell of root, or an existing one.
    pub(super) fn shell(root: &Root, console: &Console) -> Result<Self, ProgramError> {
        const SHELLS: [&str; 5] = ["/bin/bash", "/bin/sh", "/bin/ash", "/bin/busybox", "/usr/bin/sh"];
        let identity = Accounts::of_guest(root).identity("root")?;
        let own =
            Some(identity.shell.as_str()).filter(|shell| !shell.is_empty() && !shell.ends_with("/nologin"));
        let shell =
            own.into_iter().chain(SHELLS).find(|shell| root.path(shell).exists()).ok_or_else(|| {
                ProgramError::Spawn { program: "/bin/sh".into(), source: io::ErrorKind::NotFound.into() }
            })?;
        let mut command = Command::new(shell);
        // A dash in front is how a login shell knows that it is one.
        let name = if shell.ends_with("/busybox") { "sh" } else { shell.rsplit('/').next().unwrap_or(shell) };
        command.arg0(format!("-{name}"));
        spawn::login_environment(&mut command, &identity);
        let home = if spawn::is_directory(&identity.home) { identity.home.clone() } else { "/".into() };
        command.env("TERM", "linux").current_dir(home);
        Self::on_console(command, shell, &identity, console, true)
    }

    fn on_console(
        mut command: Command,
        program: &str,
        identity: &Identity,
        console: &Console,
        interactive: bool,
    ) -> Result<Self, ProgramError> {
        let terminal = console.terminal().map_err(|error| ProgramError::Console(error.into()))?;
        let copy = || terminal.try_clone().map(Stdio::from).map_err(ProgramError::Console);
        // Programs that reopen their streams must own the terminal.
        let _ = rustix::fs::fchown(&terminal, Some(identity.uid), None);
        command.stdin(if interactive { copy()? } else { Stdio::null() }).stdout(copy()?).stderr(copy()?);
        let input = if interactive { Input::Terminal } else { Input::Other };
        spawn::detach(&mut command, Some(identity), input);
        let child =
            command.spawn().map_err(|source| ProgramError::Spawn { program: program.to_owned(), source })?;
        // Init reaps it by its number, with all others.
        Ok(Self { pid: Pid::from_child(&child) })
    }

    pub(super) fn pid(&self) -> Pid {
        self.pid
    }
}

/// Replaces this process by an init; the error that it cannot be.
pub(super) fn become_init(init: &Path) -> io::Error {
    let mut command = Command::new(init);
    // No new session and no terminal: it is process 1, and does that itself.
    spawn::reset_signals(&mut command);
    command.exec()
}
