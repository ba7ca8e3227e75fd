//! What can be asked of a guest.

use std::io::{Read, Write};
use std::time::{Duration, Instant};

use banger_guest::config::NetworkConfig;
use banger_guest::protocol::{
    Accepted, CopyIn, CopyOut, CopyTarget, DATA_CHUNK_BYTES, Exec, ExitStatus, FrameKind, Grown, Health,
    Info, Operation, Outcome, SetNetwork, Shutdown, ShutdownAction, Wait,
};
use banger_tree::Cancellation;

use super::address::GuestAddress;
use super::connection::{Answer, Call, Connection};
use super::error::GuestError;
use super::exec::{ExecOutput, ExecSession};
use super::timed::Deadline;

/// How long the kernel may take to grow a file system.
const GROW_TIMEOUT: Duration = Duration::from_secs(600);
/// How long a copy may take for each [`COPY_PROGRESS_BYTES`], and for its end: the agent flushes before
/// it answers.
const COPY_TIMEOUT: Duration = Duration::from_secs(120);
/// What a copy has to move within [`COPY_TIMEOUT`]: a peer that sends a byte at a time gets no more time
/// than a silent one.
const COPY_PROGRESS_BYTES: u64 = 64 << 10;
/// How much longer than announced a file of the guest may become while it is copied: somebody writes to
/// it, or it is one of `/proc`, which have no size.
const COPY_GROWTH_BYTES: u64 = 64 << 20;
/// How many bytes a file that is copied out of a guest may have by default.
pub const DEFAULT_MAX_COPY_BYTES: u64 = 64 << 30;
/// How long one attempt of [`GuestClient::wait_until_ready`] takes: what a VMM took for a guest
/// that was not there yet may never be answered.
const ATTEMPT_TIMEOUT: Duration = Duration::from_secs(2);
/// What is left for the last attempt of [`GuestClient::wait_until_ready`].
const LAST_ATTEMPT: Duration = Duration::from_millis(100);
/// The bounds of the pause between two attempts, see [`pause`].
const ATTEMPT_PAUSES: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(1));
/// After so many bytes of a copy the connection is looked at for an early answer.
const LOOK_BYTES: u64 = 1 << 20;

/// The time limits of a [`GuestClient`]. They hold for everything together that the guest sends, whether
/// it is silent or sends something else without end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GuestTimeouts {
    /// To connect, with the VMM's answer to `CONNECT`.
    pub connect: Duration,
    /// From the request to the answer, for what is done at once; for a copy and a program, to its begin.
    pub reply: Duration,
}

impl Default for GuestTimeouts {
    fn default() -> Self {
        Self { connect: Duration::from_secs(10), reply: Duration::from_secs(30) }
    }
}

/// Asks a guest's agent. Every call is a connection of its own.
#[derive(Clone, Debug)]
pub struct GuestClient {
    address: GuestAddress,
    timeouts: GuestTimeouts,
    max_copy_bytes: u64,
    cancellation: Cancellation,
}

impl GuestClient {
    /// Returns a client for the agent at `address`; nothing is connected yet.
    pub fn new(address: GuestAddress) -> Self {
        Self {
            address,
            timeouts: GuestTimeouts::default(),
            max_copy_bytes: DEFAULT_MAX_COPY_BYTES,
            cancellation: Cancellation::default(),
        }
    }

    /// Returns the client with other time limits.
    pub fn with_timeouts(mut self, timeouts: GuestTimeouts) -> Self {
        self.timeouts = timeouts;
        self
    }

    /// Returns the client with another limit for files that are copied out of the guest.
    pub fn with_max_copy_bytes(mut self, max_copy_bytes: u64) -> Self {
        self.max_copy_bytes = max_copy_bytes;
        self
    }

    /// Returns the client with a flag that ends its calls with [`GuestError::Cancelled`], also those
    /// that wait for a silent guest.
    pub fn with_cancellation(mut self, cancellation: Cancellation) -> Self {
        self.cancellation = cancellation;
        self
    }

    /// Where the agent is.
    pub fn address(&self) -> &GuestAddress {
        &self.address
    }

    /// Asks whether the agent is there.
    ///
    /// # Errors
    ///
    /// Where it cannot be reached or does not answer in time.
    pub fn health(&self) -> Result<Health, GuestError> {
        self.health_by(Deadline::NEVER)
    }

    fn health_by(&self, all: Deadline) -> Result<Health, GuestError> {
        let connection = self.open_by("health", Operation::Health, all)?;
        match connection.reply()? {
            Outcome::Health(health) => Ok(health),
            _ => Err(connection.wrong_answer()),
        }
    }

    /// Asks again and again until the agent answers. A `timeout` of zero is one attempt.
    ///
    /// # Errors
    ///
    /// The last attempt's error, where none succeeds within `timeout`, or at once where no later
    /// attempt can.
    pub fn wait_until_ready(&self, timeout: Duration) -> Result<Health, GuestError> {
        let started = Instant::now();
        let mut limit = ATTEMPT_TIMEOUT;
        if !timeout.is_zero() {
            limit = limit.min(timeout);
        }
        loop {
            let error = match self.health_by(Deadline::after(limit)) {
                Err(error) if error.is_transient() || self.is_remnant(&error) => error,
                answer => return answer,
            };
            let waited = started.elapsed();
            let left = timeout.saturating_sub(waited);
            if left <= LAST_ATTEMPT {
                return Err(error);
            }
            self.sleep(pause(waited).min(left - LAST_ATTEMPT))?;
            limit = ATTEMPT_TIMEOUT.min(timeout.saturating_sub(started.elapsed()));
        }
    }

    /// Whether an error may come of what an earlier peer left on a line: a Unix socket may be a virtio
    /// port, which has no connections.
    fn is_remnant(&self, error: &GuestError) -> bool {
        matches!(self.address, GuestAddress::Unix(_)) && error.is_out_of_step()
    }

    /// Sleeps, unless it is cancelled.
    fn sleep(&self, pause: Duration) -> Result<(), GuestError> {
        let until = Instant::now() + pause;
        loop {
            if self.cancellation.is_cancelled() {
                return Err(GuestError::Cancelled);
            }
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Ok(());
            }
            std::thread::sleep(left.min(Duration::from_millis(50)));
        }
    }

    /// Asks what the guest is and how far it has come.
    ///
    /// # Errors
    ///
    /// Where the agent cannot be reached or does not answer in time.
    pub fn info(&self) -> Result<Info, GuestError> {
        let connection = self.open("info", Operation::Info)?;
        match connection.reply()? {
            Outcome::Info(info) => Ok(*info),
            _ => Err(connection.wrong_answer()),
        }
    }

    /// Starts a program and returns the session that it runs in.
    ///
    /// # Errors
    ///
    /// Where the agent cannot be reached, or the program cannot be started.
    pub fn exec(&self, exec: &Exec) -> Result<ExecSession, GuestError> {
        let mut connection = self.open("exec", Operation::Exec(exec.clone()))?;
        let reply = self.timeouts.reply;
        match connection.answer()? {
            Answer::Accepted(Accepted::Exec { pid }) => {
                // A program may be silent for as long as it likes, or as it may take.
                connection.set_deadline(match exec.timeout_ms {
                    Some(timeout) => Deadline::after(Duration::from_millis(timeout).saturating_add(reply)),
                    None => Deadline::NEVER,
                });
                Ok(ExecSession::new(connection, pid, reply))
            }
            _ => Err(connection.wrong_answer()),
        }
    }

    /// Runs a program to its end, without input, and returns what it wrote, at most
    /// [`DEFAULT_MAX_OUTPUT_BYTES`](super::DEFAULT_MAX_OUTPUT_BYTES).
    ///
    /// # Errors
    ///
    /// As [`exec`](Self::exec), and where the connection breaks. How the program ended is no error.
    pub fn run(&self, exec: &Exec) -> Result<ExecOutput, GuestError> {
        self.exec(exec)?.output()
    }

    /// Writes a file of the guest with the bytes of `content`; returns how many they were. What was
    /// there stays until all has arrived.
    ///
    /// # Errors
    ///
    /// Where `content` cannot be read, the guest cannot be reached, or cannot write the file.
    pub fn copy_in(&self, copy: &CopyIn, content: &mut dyn Read) -> Result<u64, GuestError> {
        let mut connection = self.open("copy_in", Operation::CopyIn(copy.clone()))?;
        match connection.answer()? {
            Answer::Accepted(Accepted::CopyIn) => {}
            _ => return Err(connection.wrong_answer()),
        }
        let sent = send(&mut connection, content);
        connection.set_deadline(Deadline::after(COPY_TIMEOUT));
        let reply = match sent {
            Ok(()) => connection.reply()?,
            // The agent may have said why it takes no more before it closed the connection.
            Err(error @ (GuestError::Closed { .. } | GuestError::Protocol { .. })) => {
                return Err(match connection.reply() {
                    Err(refused @ GuestError::Refused { .. }) => refused,
                    _ => error,
                });
            }
            Err(error) => return Err(error),
        };
        match reply {
            Outcome::CopyIn(taken) => Ok(taken.bytes),
            _ => Err(connection.wrong_answer()),
        }
    }

    /// Reads a file of the guest into `content`; returns what kind of file it is and how many bytes
    /// came. Mode, size and name are the guest's: do not trust them with anything.
    ///
    /// # Errors
    ///
    /// Where `content` cannot be written, the guest cannot be reached or cannot read the file, or the file is
    /// larger than it may be or than the guest announced.
    pub fn copy_out(&self, path: &str, content: &mut dyn Write) -> Result<(CopyTarget, u64), GuestError> {
        let mut connection = self.open("copy_out", Operation::CopyOut(CopyOut { path: path.to_owned() }))?;
        let target = match connection.answer()? {
            Answer::Accepted(Accepted::CopyOut(target)) => target,
            _ => return Err(connection.wrong_answer()),
        };
        // Before anything is written: the size is known.
        self.check_size(path, target.size_bytes, target.size_bytes)?;
        let mut progress = CopyProgress::begin(&mut connection);
        let mut received = 0_u64;
        loop {
            let frame = connection.read()?;
            match frame.kind {
                FrameKind::Output => {
                    let bytes = u64::try_from(frame.payload.len()).expect("a frame is short");
                    self.check_size(path, target.size_bytes, received + bytes)?;
                    content
                        .write_all(&frame.payload)
                        .map_err(|source| GuestError::Content { action: "write", source })?;
                    received += bytes;
                    progress.moved(&mut connection, bytes);
                }
                FrameKind::Reply => match connection.outcome(&frame)? {
                    // Bytes that got lost on the way would otherwise pass for a shorter file.
                    Some(Outcome::CopyOut(taken)) if taken.bytes == received => break,
                    Some(_) => return Err(connection.wrong_answer()),
                    None => {}
                },
                found => return Err(connection.unexpected(found)),
            }
        }
        content.flush().map_err(|source| GuestError::Content { action: "write", source })?;
        Ok((target, received))
    }

    /// Whether so many bytes of a file may come, which was announced with another size.
    fn check_size(&self, path: &str, announced_bytes: u64, bytes: u64) -> Result<(), GuestError> {
        if bytes > self.max_copy_bytes {
            return Err(GuestError::CopyTooLarge { path: path.to_owned(), max_bytes: self.max_copy_bytes });
        }
        if bytes > announced_bytes.saturating_add(COPY_GROWTH_BYTES) {
            return Err(GuestError::CopyGrew { path: path.to_owned(), announced_bytes, bytes });
        }
        Ok(())
    }

    /// Configures the guest's network, and with `persist` for the boots to come; returns the name
    /// of the interface.
    ///
    /// # Errors
    ///
    /// Where the agent cannot be reached, or its kernel refuses.
    pub fn set_network(&self, network: &NetworkConfig, persist: bool) -> Result<String, GuestError> {
        let request = SetNetwork { network: network.clone(), persist };
        let connection = self.open("set_network", Operation::SetNetwork(request))?;
        match connection.reply()? {
            Outcome::SetNetwork(set) => Ok(set.interface),
            _ => Err(connection.wrong_answer()),
        }
    }

    /// Grows the root file system to the size of its block device.
    ///
    /// # Errors
    ///
    /// Where the agent cannot be reached, or its kernel refuses.
    pub fn grow(&self) -> Result<Grown, GuestError> {
        let mut connection = self.open("grow", Operation::Grow)?;
        connection.set_deadline(Deadline::after(GROW_TIMEOUT));
        match connection.reply()? {
            Outcome::Grow(grown) => Ok(grown),
            _ => Err(connection.wrong_answer()),
        }
    }

    /// Powers the guest off or reboots it; it goes down after the answer.
    ///
    /// # Errors
    ///
    /// Where the agent cannot be reached.
    pub fn shutdown(&self, action: ShutdownAction) -> Result<(), GuestError> {
        let connection = self.open("shutdown", Operation::Shutdown(Shutdown { action }))?;
        match connection.reply()? {
            Outcome::Shutdown => Ok(()),
            _ => Err(connection.wrong_answer()),
        }
    }

    /// Waits until the entry point has ended, which banger-init runs, and returns how; for ever
    /// without a `timeout`.
    ///
    /// # Errors
    ///
    /// Where the agent cannot be reached, there is no entry point, or it runs still.
    pub fn wait(&self, timeout: Option<Duration>) -> Result<ExitStatus, GuestError> {
        let timeout_ms = timeout.map(|timeout| u64::try_from(timeout.as_millis()).unwrap_or(u64::MAX));
        let mut connection = self.open("wait", Operation::Wait(Wait { timeout_ms }))?;
        connection.set_deadline(match timeout {
            Some(timeout) => Deadline::after(timeout.saturating_add(self.timeouts.reply)),
            None => Deadline::NEVER,
        });
        match connection.reply()? {
            Outcome::Wait(status) => Ok(status),
            _ => Err(connection.wrong_answer()),
        }
    }

    fn open(&self, name: &'static str, operation: Operation) -> Result<Connection, GuestError> {
        self.open_by(name, operation, Deadline::NEVER)
    }

    /// Connects and asks; all of it, with the answer, by `all`.
    fn open_by(
        &self,
        name: &'static str,
        operation: Operation,
        all: Deadline,
    ) -> Result<Connection, GuestError> {
        let GuestTimeouts { connect, reply } = self.timeouts;
        let cancellation = &self.cancellation;
        Connection::open(&Call { address: &self.address, name, connect, reply, all, cancellation }, operation)
    }
}

/// Gives a copy more time for each [`COPY_PROGRESS_BYTES`] that it has moved.
struct CopyProgress {
    since: u64,
}

impl CopyProgress {
    fn begin(connection: &mut Connection) -> Self {
        connection.set_deadline(Deadline::after(COPY_TIMEOUT));
        Self { since: 0 }
    }

    fn moved(&mut self, connection: &mut Connection, bytes: u64) {
        self.since += bytes;
        if self.since >= COPY_PROGRESS_BYTES {
            *self = Self::begin(connection);
        }
    }
}

/// How long to wait for the next attempt after `waited` in all: a tenth of that, within bounds.
///
/// Not as often as can be, because a connection may do harm: one that meets vhost-device-vsock 0.3
/// while a guest's driver sets the device up ends the device's only thread, and nobody is answered
/// any more. What is asked for less often is rarely asked for at that instant.
fn pause(waited: Duration) -> Duration {
    let (shortest, longest) = ATTEMPT_PAUSES;
    (waited / 10).clamp(shortest, longest)
}

/// Sends `content` and its end, or stops early where the agent has answered.
fn send(connection: &mut Connection, content: &mut dyn Read) -> Result<(), GuestError> {
    let mut buffer = vec![0; DATA_CHUNK_BYTES];
    let mut unseen = 0_u64;
    loop {
        let read = match content.read(&mut buffer) {
            Ok(read) => read,
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => continue,
            Err(source) => return Err(GuestError::Content { action: "read", source }),
        };
        // What the host's own file or pipe takes is not the guest's fault.
        connection.set_deadline(Deadline::after(COPY_TIMEOUT));
        if read == 0 {
            return connection.write(FrameKind::InputEnd, &[]);
        }
        connection.write(FrameKind::Input, &buffer[..read])?;
        unseen += u64::try_from(read).expect("a chunk is short");
        if unseen >= LOOK_BYTES {
            if connection.has_input() {
                return Ok(());
            }
            unseen = 0;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::pause;

    #[test]
    fn pauses_grow_with_the_wait() {
        for (waited_ms, pause_ms) in [(0, 100), (900, 100), (3_000, 300), (10_000, 1_000), (600_000, 1_000)] {
            assert_eq!(
                pause(Duration::from_millis(waited_ms)),
                Duration::from_millis(pause_ms),
                "{waited_ms}"
            );
        }
    }
}
