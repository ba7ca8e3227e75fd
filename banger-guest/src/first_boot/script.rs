//! One call of the script: its arguments, its time limit, and the meaning of its status.

use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::process::ExitStatusExt;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use banger_guest::config::{BootContract, paths};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::process::Pid;
use thiserror::Error;

use super::log::Log;
use crate::os_release;
use crate::root::Root;
use crate::spawn::{self, Input};
use crate::sys::signal::{self, Target};

/// Time limit of all stages together: a minute less than that of the unit.
pub(super) const TIMEOUT: Duration = Duration::from_secs(14 * 60);

/// Time for a script to end after it was told to.
const KILL_TIMEOUT: Duration = Duration::from_secs(10);

/// Time for other processes to write to its output after its end.
const DRAIN_TIMEOUT: Duration = Duration::from_millis(500);

/// The start of the line with the reason.
const REASON_PREFIX: &str = "banger-first-boot: ";

/// The longest line that may contain a reason.
const MAX_LINE_BYTES: usize = 1024;

/// Why a stage was not done.
#[derive(Debug, Error)]
pub(crate) enum StageError {
    #[error("no package manager{0}")]
    NoPackageManager(Reason),
    #[error("no network{0}")]
    NoNetwork(Reason),
    #[error("the package manager is locked{0}")]
    Locked(Reason),
    #[error("installing failed{0}")]
    Install(Reason),
    #[error("stage {stage} exited with status {status}{reason}")]
    Status { stage: &'static str, status: i32, reason: Reason },
    #[error("stage {stage} was killed by signal {signal}{reason}")]
    Killed { stage: &'static str, signal: i32, reason: Reason },
    #[error("stage {stage} took longer than the {} s there are{reason}", TIMEOUT.as_secs())]
    TimedOut { stage: &'static str, reason: Reason },
    #[error("cannot run {path}: {0}", path = paths::FIRST_BOOT_SCRIPT)]
    Spawn(#[source] io::Error),
}

/// The last reason of the script.
#[derive(Debug, Clone, Default)]
pub(crate) struct Reason(Option<String>);

impl std::fmt::Display for Reason {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match &self.0 {
            Some(reason) => write!(formatter, ": {reason}"),
            None => Ok(()),
        }
    }
}

/// The script and its arguments.
#[derive(Debug)]
pub(crate) struct Script<'a> {
    root: &'a Root,
    variables: Vec<(&'static str, String)>,
}

impl<'a> Script<'a> {
    pub(crate) fn new(root: &'a Root, contract: Option<BootContract>, attempt: u32) -> Self {
        let release = os_release::of_guest(root);
        let mut variables = vec![
            ("PATH", spawn::DEFAULT_PATH.to_owned()),
            ("HOME", "/root".to_owned()),
            ("LC_ALL", "C".to_owned()),
            ("BANGER_OS_ID", release.id.unwrap_or_default()),
            ("BANGER_OS_ID_LIKE", release.id_like.unwrap_or_default()),
            ("BANGER_ATTEMPT", attempt.to_string()),
        ];
        variables.extend(contract.map(|contract| ("BANGER_CONTRACT", contract.name().to_owned())));
        if let Some(prefix) = root.prefix() {
            variables.push(("BANGER_ROOT_PREFIX", prefix.display().to_string()));
            // Tests put their package managers first.
            variables.extend(std::env::var("PATH").ok().map(|path| ("PATH", path)));
        }
        Self { root, variables }
    }

    /// Runs a stage to its end, or until the deadline.
    pub(crate) fn run(
        &self,
        stage: &'static str,
        deadline: Instant,
        log: &mut Log,
    ) -> Result<(), StageError> {
        let (reader, writer) = io::pipe().map_err(StageError::Spawn)?;
        let mut command = Command::new(self.root.path(paths::FIRST_BOOT_SCRIPT));
        command.arg(stage).env_clear().envs(self.variables.iter().map(|(name, value)| (name, value)));
        command.stdin(Stdio::null()).stdout(writer.try_clone().map_err(StageError::Spawn)?).stderr(writer);
        spawn::detach(&mut command, None, Input::Other);
        // A package manager that goes on alone would have the next driver wait for its lock.
        spawn::end_with_this_process(&mut command);
        let mut child = command.spawn().map_err(StageError::Spawn)?;
        // It holds the ends of the pipe that the program writes to.
        drop(command);
        let mut output = ScriptOutput::new(reader.into(), log);
        let status = watch(&mut child, deadline, &mut output).map_err(StageError::Spawn)?;
        let reason = Reason(output.reason.take());
        match status {
            Some(status) if status.success() => Ok(()),
            Some(status) => Err(meaning(stage, status, reason)),
            None => Err(StageError::TimedOut { stage, reason }),
        }
    }
}

/// Returns the meaning of the script's status, as in the comment of the script.
fn meaning(stage: &'static str, status: ExitStatus, reason: Reason) -> StageError {
    match (status.code(), status.signal()) {
        (Some(10), _) => StageError::NoPackageManager(reason),
        (Some(11), _) => StageError::NoNetwork(reason),
        (Some(12), _) => StageError::Locked(reason),
        (Some(13), _) => StageError::Install(reason),
        (Some(status), _) => StageError::Status { stage, status, reason },
        (None, signal) => StageError::Killed { stage, signal: signal.unwrap_or_default(), reason },
    }
}

/// Waits for the script and reads its output; `None` if it was killed.
fn watch(
    child: &mut Child,
    deadline: Instant,
    output: &mut ScriptOutput<'_>,
) -> io::Result<Option<ExitStatus>> {
    let group = Target::Group(Pid::from_child(child));
    let mut told_to_end = None;
    loop {
        output.read(Duration::from_millis(50))?;
        if let Some(status) = child.try_wait()? {
            output.drain()?;
            return Ok(told_to_end.is_none().then_some(status));
        }
        let now = Instant::now();
        match told_to_end {
            None if now >= deadline => {
                // A package manager that gets SIGTERM leaves its database in order.
                let _ = signal::send(group, libc::SIGTERM);
                told_to_end = Some(now);
            }
            Some(told) if now.duration_since(told) >= KILL_TIMEOUT => {
                let _ = signal::send(group, libc::SIGKILL);
            }
            _ => {}
        }
    }
}

/// The output of the script.
struct ScriptOutput<'a> {
    pipe: Option<OwnedFd>,
    log: &'a mut Log,
    line: Vec<u8>,
    /// The last line that gave a reason.
    reason: Option<String>,
}

impl<'a> ScriptOutput<'a> {
    fn new(pipe: OwnedFd, log: &'a mut Log) -> Self {
        Self { pipe: Some(pipe), log, line: Vec::new(), reason: None }
    }

    /// Reads output, and waits at most this time for it; returns whether there was any.
    fn read(&mut self, timeout: Duration) -> io::Result<bool> {
        let Some(pipe) = &self.pipe else {
            std::thread::sleep(timeout);
            return Ok(false);
        };
        let timeout = Timespec { tv_sec: 0, tv_nsec: timeout.subsec_nanos().into() };
        let mut waiting = [PollFd::new(pipe, PollFlags::IN)];
        match poll(&mut waiting, Some(&timeout)) {
            Ok(0) | Err(Errno::INTR) => return Ok(false),
            Ok(_) => {}
            Err(error) => return Err(error.into()),
        }
        let mut buffer = [0; 4096];
        let read = rustix::io::read(pipe, &mut buffer)?;
        if read == 0 {
            self.pipe = None;
            return Ok(false);
        }
        self.take(&buffer[..read]);
        Ok(true)
    }

    /// Reads the rest after the script's end; services that it started may hold the pipe open.
    fn drain(&mut self) -> io::Result<()> {
        let deadline = Instant::now() + DRAIN_TIMEOUT;
        while self.pipe.is_some() && Instant::now() < deadline {
            if !self.read(Duration::from_millis(20))? {
                break;
            }
        }
        self.take(b"\n");
        Ok(())
    }

    fn take(&mut self, bytes: &[u8]) {
        if bytes != b"\n" || !self.line.is_empty() {
            self.log.output(bytes);
        }
        for byte in bytes {
            match byte {
                b'\n' => {
                    let line = String::from_utf8_lossy(&self.line);
                    if let Some(reason) = line.strip_prefix(REASON_PREFIX) {
                        self.reason = Some(reason.trim().to_owned()).filter(|reason| !reason.is_empty());
                    }
                    self.line.clear();
                }
                byte if self.line.len() < MAX_LINE_BYTES => self.line.push(*byte),
                _ => {}
            }
        }
    }
}
