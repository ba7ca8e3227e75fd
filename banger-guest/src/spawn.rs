//! Starts programs with a user, a directory and a new session.
#![allow(unsafe_code, reason = "what is done between fork and exec")]

use std::ffi::OsString;
use std::io;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Command;

use rustix::fs::{Mode, OFlags, open};
use rustix::process::{Signal, ioctl_tiocsctty, set_parent_process_death_signal, setsid};
use rustix::thread::{set_thread_gid, set_thread_groups, set_thread_uid};

use crate::root::Root;
use crate::sys::signal;
use crate::users::Identity;

/// The default `PATH` of programs.
pub(crate) const DEFAULT_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// The standard input of a program.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Input {
    /// A terminal, which becomes the controlling terminal of the session.
    Terminal,
    /// Something else.
    Other,
}

/// Makes a command run in a new session, as `identity` if there is one, with default actions for all signals.
pub(crate) fn detach(command: &mut Command, identity: Option<&Identity>, input: Input) {
    let who = identity.map(|identity| (identity.uid, identity.gid, identity.groups.clone()));
    let prepare = move || -> io::Result<()> {
        signal::reset_all()?;
        forget_oom_protection();
        // A command that replaces this process, or is a group's leader already, has its session.
        let _ = setsid();
        if input == Input::Terminal {
            // Not every console can control a session; the program runs without job control then.
            let _ = ioctl_tiocsctty(rustix::stdio::stdin());
        }
        if let Some((uid, gid, groups)) = &who {
            set_thread_groups(groups)?;
            set_thread_gid(*gid)?;
            set_thread_uid(*uid)?;
        }
        Ok(())
    };
    // SAFETY: between fork and exec there is one thread, so that its ids are those of the process;
    // the closure makes system calls only, allocates nothing and takes no lock: the groups were
    // copied before the fork.
    unsafe {
        command.pre_exec(prepare);
    }
}

/// The OOM killer spares the agent, but not the programs that it starts. Runs between fork and exec, so it
/// allocates nothing.
fn forget_oom_protection() {
    let flags = OFlags::WRONLY | OFlags::CLOEXEC;
    if let Ok(file) = open(c"/proc/self/oom_score_adj", flags, Mode::empty()) {
        let _ = rustix::io::write(file, b"0");
    }
}

/// Makes a program end with this process, should that be killed.
pub(crate) fn end_with_this_process(command: &mut Command) {
    // SAFETY: the closure makes one system call, and allocates nothing.
    unsafe {
        command.pre_exec(|| Ok(set_parent_process_death_signal(Some(Signal::TERM))?));
    }
}

/// Makes a command run with default actions for all signals, and nothing else changed.
pub(crate) fn reset_signals(command: &mut Command) {
    // SAFETY: the closure makes system calls only, and allocates nothing.
    unsafe {
        command.pre_exec(|| Ok(signal::reset_all()?));
    }
}

/// Gives a command the variables of a login, in the order in which later ones win.
pub(crate) fn login_environment(command: &mut Command, identity: &Identity) {
    command
        .env_clear()
        .env("PATH", DEFAULT_PATH)
        .env("HOME", &identity.home)
        .env("USER", &identity.name)
        .env("LOGNAME", &identity.name)
        .env("SHELL", if identity.shell.is_empty() { "/bin/sh" } else { &identity.shell });
}

/// The binary itself in another role: not by its path, which a guest may have changed.
pub(crate) fn role(name: &str, root: &Root) -> Command {
    let mut command = Command::new("/proc/self/exe");
    command.arg0(name);
    if let Some(prefix) = root.prefix() {
        command.arg("--root").arg(prefix);
    }
    command
}

/// Splits `NAME=value`; `None` if the text has another form.
pub(crate) fn variable(text: &str) -> Option<(OsString, OsString)> {
    let (name, value) = text.split_once('=')?;
    (!name.is_empty()).then(|| (name.into(), value.into()))
}

/// Whether a path is a directory that can be changed into.
pub(crate) fn is_directory(path: &Path) -> bool {
    std::fs::metadata(path).is_ok_and(|metadata| metadata.is_dir())
}
