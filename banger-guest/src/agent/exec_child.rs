//! The program of an `exec`: started on pipes or a terminal, watched, killed with its process group.

use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use banger_guest::protocol::{ErrorCode, Exec, ExitStatus, Pty};
use rustix::fs::{OFlags, fcntl_getfl, fcntl_setfl};
use rustix::io::Errno;
use rustix::process::{Pid, PidfdFlags, pidfd_open};
use rustix::pty::{OpenptFlags, grantpt, ioctl_tiocgptpeer, openpt, unlockpt};
use rustix::termios::{Winsize, tcsetwinsize};

use super::error::OperationError;
use crate::root::Root;
use crate::spawn::{self, Input};
use crate::sys::signal::{self, Target};
use crate::users::Accounts;

/// A running program and the agent's ends of its streams.
#[derive(Debug)]
pub(crate) struct ExecChild {
    child: Child,
    /// Its process id, which is its group's too.
    pub(crate) pid: Pid,
    /// Becomes readable when the program ends; `None` if the kernel does not support it.
    pub(crate) ended: Option<OwnedFd>,
    pub(crate) input: Option<OwnedFd>,
    pub(crate) output: Option<OwnedFd>,
    pub(crate) error_output: Option<OwnedFd>,
    status: Option<ExitStatus>,
    /// Keeps a terminal until the program has ended. A program may close its streams before that, and the end of a
    /// terminal is a SIGHUP.
    _controller: Option<OwnedFd>,
}

impl ExecChild {
    /// Starts a program.
    pub(crate) fn start(root: &Root, exec: &Exec) -> Result<Self, OperationError> {
        let (program, arguments) =
            exec.argv.split_first().filter(|(program, _)| !program.is_empty()).ok_or_else(|| {
                OperationError::new(ErrorCode::Invalid, "there is no program to run: argv is empty")
            })?;
        let identity = Accounts::of_guest(root)
            .identity(exec.user.as_deref().unwrap_or_default())
            .map_err(|error| OperationError::new(error.code(), error.to_string()))?;
        let directory = exec.working_dir.as_deref().unwrap_or("/");
        if !spawn::is_directory(Path::new(directory)) {
            return Err(OperationError::new(
                ErrorCode::NotFound,
                format!("{directory}: there is no such directory"),
            ));
        }
        let mut command = Command::new(program);
        spawn::login_environment(&mut command, &identity);
        if exec.pty.is_some() {
            command.env("TERM", "xterm-256color");
        }
        if exec.clear_env {
            command.env_clear();
        }
        for (name, _) in &exec.env {
            if name.is_empty() || name.contains(['=', '\0']) {
                return Err(OperationError::new(
                    ErrorCode::Invalid,
                    format!("`{name}` cannot be the name of a variable"),
                ));
            }
        }
        command
            .args(arguments)
            .current_dir(directory)
            .envs(exec.env.iter().map(|(name, value)| (name, value)));
        let input = if exec.pty.is_some() { Input::Terminal } else { Input::Other };
        spawn::detach(&mut command, Some(&identity), input);
        match exec.pty {
            Some(size) => Self::on_terminal(command, size, program),
            None => Self::on_pipes(command, exec.stdin, program),
        }
    }

    fn on_pipes(mut command: Command, stdin: bool, program: &str) -> Result<Self, OperationError> {
        command.stdin(if stdin { Stdio::piped() } else { Stdio::null() });
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().map_err(|error| OperationError::of_io(program, &error))?;
        let input = child.stdin.take().map(OwnedFd::from);
        let output = child.stdout.take().map(OwnedFd::from);
        let error_output = child.stderr.take().map(OwnedFd::from);
        Self::watched(child, [input, output, error_output], None)
    }

    fn on_terminal(mut command: Command, size: Pty, program: &str) -> Result<Self, OperationError> {
        let failed = |error: Errno| OperationError::of_io("cannot make a terminal", &error.into());
        let (controller, terminal) = open_terminal(size).map_err(failed)?;
        let copy =
            || terminal.try_clone().map(Stdio::from).map_err(|error| OperationError::of_io(program, &error));
        command.stdin(copy()?).stdout(copy()?).stderr(copy()?);
        let child = command.spawn().map_err(|error| OperationError::of_io(program, &error))?;
        let copy = || controller.try_clone().map_err(|error| OperationError::of_io(program, &error));
        let (input, output) = (copy()?, copy()?);
        Self::watched(child, [Some(input), Some(output), None], Some(controller))
    }

    fn watched(
        child: Child,
        streams: [Option<OwnedFd>; 3],
        controller: Option<OwnedFd>,
    ) -> Result<Self, OperationError> {
        for stream in streams.iter().flatten() {
            let nonblocking =
                fcntl_getfl(stream).and_then(|flags| fcntl_setfl(stream, flags | OFlags::NONBLOCK));
            nonblocking.map_err(|error| OperationError::of_io("pipe", &error.into()))?;
        }
        let pid = Pid::from_child(&child);
        let [input, output, error_output] = streams;
        let ended = pidfd_open(pid, PidfdFlags::empty()).ok();
        Ok(Self { child, pid, ended, input, output, error_output, status: None, _controller: controller })
    }

    /// Returns how the program ended; `None` while it runs.
    pub(crate) fn status(&mut self) -> Option<ExitStatus> {
        if self.status.is_none() {
            // An error would mean that another thread has reaped it, which never happens.
            self.status = self.child.try_wait().ok().flatten().map(exit_status);
        }
        self.status
    }

    /// Sends a signal to the program's process group. After the end of the program it does nothing: the
    /// number may belong to another process.
    pub(crate) fn signal(&mut self, number: i32) -> Result<(), Errno> {
        if self.status().is_some() {
            return Ok(());
        }
        signal::send(Target::Group(self.pid), number)
    }

    /// Sets the size of the terminal, if there is one.
    pub(crate) fn resize(&self, size: Pty) {
        if let Some(output) = &self.output {
            // A pipe says that it is not a terminal.
            let _ = tcsetwinsize(output, window(size));
        }
    }

    /// Kills the process group and reaps the program.
    pub(crate) fn kill(&mut self) {
        if self.status().is_none() {
            let _ = signal::send(Target::Group(self.pid), libc::SIGKILL);
            self.status = self.child.wait().ok().map(exit_status);
        }
    }
}

impl Drop for ExecChild {
    fn drop(&mut self) {
        self.kill();
    }
}

fn open_terminal(size: Pty) -> Result<(OwnedFd, OwnedFd), Errno> {
    let flags = OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC;
    let controller = openpt(flags)?;
    grantpt(&controller)?;
    unlockpt(&controller)?;
    let terminal = ioctl_tiocgptpeer(controller.as_fd(), flags)?;
    tcsetwinsize(&controller, window(size))?;
    Ok((controller, terminal))
}

fn window(size: Pty) -> Winsize {
    Winsize { ws_row: size.rows, ws_col: size.columns, ws_xpixel: 0, ws_ypixel: 0 }
}

fn exit_status(status: std::process::ExitStatus) -> ExitStatus {
    use std::os::unix::process::ExitStatusExt;
    match (status.code(), status.signal()) {
        (Some(status), _) => ExitStatus::Exited { status },
        (None, signal) => ExitStatus::Killed { signal: signal.unwrap_or_default() },
    }
}

/// Result of a read from a stream of a program.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum StreamRead {
    Bytes(usize),
    Nothing,
    End,
}

/// Reads the output of a program, without a wait.
pub(crate) fn read_output(stream: &OwnedFd, buffer: &mut [u8]) -> StreamRead {
    match rustix::io::read(stream, buffer) {
        Ok(0) => StreamRead::End,
        Ok(read) => StreamRead::Bytes(read),
        Err(Errno::WOULDBLOCK | Errno::INTR) => StreamRead::Nothing,
        // A terminal returns EIO when its last user is gone.
        Err(_) => StreamRead::End,
    }
}
