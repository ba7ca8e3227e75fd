//! What can be asked of a guest.

use std::io::{Read, Write};
use std::time::{Duration, Instant};

use banger_guest::config::NetworkConfig;
use banger_guest::protocol::{
    Accepted, CopyIn, CopyOut, CopyTarget, DATA_CHUNK_BYTES, Exec, ExitStatus, FrameKind, Grown, Health,
    Info, Operation, Outcome, SetNetwork, Shutdown, ShutdownAction, Wait,
};

use super::address::GuestAddress;
use super::connection::{Answer, Connection};
use super::error::GuestError;
use super::exec::{ExecOutput, ExecSession};

/// How long the kernel may take to grow a file system.
const GROW_TIMEOUT: Duration = Duration::from_secs(600);
/// How long a copy may stand still: the agent flushes before it answers.
const COPY_TIMEOUT: Duration = Duration::from_secs(120);
/// How long one attempt of [`GuestClient::wait_until_ready`] takes: what a VMM took for a guest
/// that was not there yet may never be answered.
const ATTEMPT_TIMEOUT: Duration = Duration::from_secs(2);
/// The bounds of the pause between two attempts, see [`pause`].
const ATTEMPT_PAUSES: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(1));
/// After so many bytes of a copy the connection is looked at for an early answer.
const LOOK_BYTES: u64 = 1 << 20;

/// The time limits of a [`GuestClient`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GuestTimeouts {
    /// To connect, and for the VMM's answer to `CONNECT`.
    pub connect: Duration,
    /// For the answer to what is done at once.
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
}

impl GuestClient {
    /// Returns a client for the agent at `address`; nothing is connected yet.
    pub fn new(address: GuestAddress) -> Self {
        Self { address, timeouts: GuestTimeouts::default() }
    }

    /// Returns the client with other time limits.
    pub fn with_timeouts(mut self, timeouts: GuestTimeouts) -> Self {
        self.timeouts = timeouts;
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
        let connection = self.open("health", Operation::Health)?;
        match connection.reply()? {
            Outcome::Health(health) => Ok(health),
            _ => Err(connection.wrong_answer()),
        }
    }

    /// Asks again and again until the agent answers.
    ///
    /// # Errors
    ///
    /// The last attempt's error, where none succeeds within `timeout`, or at once where no later
    /// attempt can.
    pub fn wait_until_ready(&self, timeout: Duration) -> Result<Health, GuestError> {
        let started = Instant::now();
        let limit = |duration: Duration| duration.min(ATTEMPT_TIMEOUT);
        let attempts = self.clone().with_timeouts(GuestTimeouts {
            connect: limit(self.timeouts.connect),
            reply: limit(self.timeouts.reply),
        });
        loop {
            match attempts.health() {
                Err(error) if error.is_transient() && started.elapsed() < timeout => {
                    let waited = started.elapsed();
                    std::thread::sleep(pause(waited).min(timeout.saturating_sub(waited)));
                }
                answer => return answer,
            }
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
        match connection.answer()? {
            Answer::Accepted(Accepted::Exec { pid }) => {
                // A program may be silent for as long as it likes.
                connection.set_timeout(None)?;
                ExecSession::new(connection, pid)
            }
            _ => Err(connection.wrong_answer()),
        }
    }

    /// Runs a program to its end, without input, and returns what it wrote, all of it kept in memory.
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
        connection.set_timeout(Some(COPY_TIMEOUT))?;
        let reply = match send(&connection, content) {
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
    /// came.
    ///
    /// # Errors
    ///
    /// Where `content` cannot be written, the guest cannot be reached, or cannot read the file.
    pub fn copy_out(&self, path: &str, content: &mut dyn Write) -> Result<(CopyTarget, u64), GuestError> {
        let mut connection = self.open("copy_out", Operation::CopyOut(CopyOut { path: path.to_owned() }))?;
        let target = match connection.answer()? {
            Answer::Accepted(Accepted::CopyOut(target)) => target,
            _ => return Err(connection.wrong_answer()),
        };
        connection.set_timeout(Some(COPY_TIMEOUT))?;
        let mut received = 0_u64;
        loop {
            let frame = connection.read()?;
            match frame.kind {
                FrameKind::Output => {
                    content
                        .write_all(&frame.payload)
                        .map_err(|source| GuestError::Content { action: "write", source })?;
                    received += u64::try_from(frame.payload.len()).expect("a frame is short");
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
        connection.set_timeout(Some(GROW_TIMEOUT))?;
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
        connection.set_timeout(timeout.map(|timeout| timeout.saturating_add(self.timeouts.reply)))?;
        match connection.reply()? {
            Outcome::Wait(status) => Ok(status),
            _ => Err(connection.wrong_answer()),
        }
    }

    fn open(&self, name: &'static str, operation: Operation) -> Result<Connection, GuestError> {
        let GuestTimeouts { connect, reply } = self.timeouts;
        Connection::open(&self.address, name, operation, connect, Some(reply))
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
fn send(connection: &Connection, content: &mut dyn Read) -> Result<(), GuestError> {
    let mut buffer = vec![0; DATA_CHUNK_BYTES];
    let mut unseen = 0_u64;
    loop {
        let read = match content.read(&mut buffer) {
            Ok(read) => read,
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => continue,
            Err(source) => return Err(GuestError::Content { action: "read", source }),
        };
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
