//! State that init, first boot and agent share in `/run/banger`.

use std::fs::{File, OpenOptions};
use std::io;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use banger_guest::protocol::EntrypointState;
use rustix::fs::{FlockOperation, flock};

use crate::bounded;
use crate::root::Root;

/// The longest state of an entry point.
const ENTRYPOINT_BYTES: u64 = 4096;

/// How long a lock that others may have for a moment is waited for.
const LOCK_TIMEOUT: Duration = Duration::from_millis(500);

/// `/run/banger`.
#[derive(Debug, Clone)]
pub(crate) struct RunState {
    directory: PathBuf,
}

/// A lock in `/run/banger`; the kernel drops it with the process.
#[derive(Debug)]
pub(crate) struct RunLock {
    _file: File,
}

impl RunState {
    pub(crate) fn of_guest(root: &Root) -> Self {
        Self { directory: root.path("/run/banger") }
    }

    /// Returns the state of the entry point; `None` if there is none.
    pub(crate) fn entrypoint(&self) -> Option<EntrypointState> {
        let json = bounded::read_whole(&self.directory.join("entrypoint.json"), ENTRYPOINT_BYTES).ok()?;
        serde_json::from_slice(&json).ok()
    }

    /// Tells how far the entry point has come.
    pub(crate) fn set_entrypoint(&self, state: EntrypointState) -> io::Result<()> {
        std::fs::create_dir_all(&self.directory)?;
        let new = self.directory.join("entrypoint.json.new");
        std::fs::write(&new, serde_json::to_vec(&state)?)?;
        std::fs::rename(new, self.directory.join("entrypoint.json"))
    }

    /// Marks that a client is connected to the agent, while the lock is held.
    pub(crate) fn mark_connected(&self) -> io::Result<RunLock> {
        self.lock("connections", FlockOperation::NonBlockingLockShared)
    }

    /// Returns whether a client is connected to the agent.
    pub(crate) fn is_connected(&self) -> bool {
        self.is_locked("connections", FlockOperation::NonBlockingLockExclusive)
    }

    /// Takes the right to drive the first boot; an error if another process has it.
    pub(crate) fn lock_first_boot(&self) -> io::Result<RunLock> {
        let deadline = Instant::now() + LOCK_TIMEOUT;
        loop {
            match self.lock("first-boot", FlockOperation::NonBlockingLockExclusive) {
                // Who looks whether it is locked has it for a moment.
                Err(error) if error.kind() == io::ErrorKind::WouldBlock && Instant::now() < deadline => {
                    std::thread::sleep(Duration::from_millis(10));
                }
                result => return result,
            }
        }
    }

    /// Returns whether a process drives the first boot.
    pub(crate) fn is_first_boot_running(&self) -> bool {
        self.is_locked("first-boot", FlockOperation::NonBlockingLockShared)
    }

    fn lock(&self, name: &str, operation: FlockOperation) -> io::Result<RunLock> {
        std::fs::create_dir_all(&self.directory)?;
        let path = self.directory.join(format!("{name}.lock"));
        let file = OpenOptions::new().create(true).truncate(false).write(true).open(path)?;
        flock(&file, operation)?;
        Ok(RunLock { _file: file })
    }

    /// Returns whether a lock is held by another process.
    fn is_locked(&self, name: &str, operation: FlockOperation) -> bool {
        let Ok(file) = File::open(self.directory.join(format!("{name}.lock"))) else {
            return false;
        };
        flock(&file, operation) == Err(rustix::io::Errno::WOULDBLOCK)
    }
}
