//! The console: the target of init's streams, and the device of programs.

use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use rustix::fs::{Mode, OFlags, open};
use rustix::stdio::{dup2_stderr, dup2_stdin, dup2_stdout};

/// The device of the console.
#[derive(Debug)]
pub(crate) struct Console {
    path: PathBuf,
}

impl Console {
    /// Finds the console and puts this process's streams on it. Without `/dev/console` in the image, the
    /// kernel started the process without streams.
    pub(crate) fn open() -> Self {
        if let Ok(console) = open_terminal(Path::new("/dev/console")) {
            let _ = dup2_stdin(&console);
            let _ = dup2_stdout(&console);
            let _ = dup2_stderr(&console);
        }
        Self { path: device() }
    }

    /// The console, for a program.
    pub(super) fn terminal(&self) -> rustix::io::Result<OwnedFd> {
        open_terminal(&self.path).or_else(|_| open_terminal(Path::new("/dev/console")))
    }
}

/// Returns the device behind `/dev/console`, which itself cannot control a session. The last device of the
/// list is the one behind `/dev/console`.
fn device() -> PathBuf {
    let active = std::fs::read_to_string("/sys/class/tty/console/active").unwrap_or_default();
    let name = active.split_ascii_whitespace().next_back().filter(|name| !name.contains('/'));
    match name {
        // The foreground one of the virtual terminals.
        Some("tty0") => PathBuf::from("/dev/tty1"),
        Some(name) => Path::new("/dev").join(name),
        None => PathBuf::from("/dev/console"),
    }
}

fn open_terminal(path: &Path) -> rustix::io::Result<OwnedFd> {
    open(path, OFlags::RDWR | OFlags::NOCTTY | OFlags::CLOEXEC, Mode::empty())
}
