//! The client of a guest's agent.

use std::time::{Duration, Instant};

use banger_guest::config::NetworkConfig;
use banger_guest::protocol::{
    Accepted, Exec, ExitStatus, Grown, Health, Info, Operation, Outcome, SetNetwork, Shutdown,
    ShutdownAction, Wait,
};
use banger_tree::Cancellation;

use super::address::GuestAddress;
use super::connection::{Answer, Connection, GuestCall};
use super::deadline::Deadline;
use super::error::GuestError;
use super::exec::{ExecOutput, ExecSession};

/// How long the kernel may take to grow a file system.
const GROW_TIMEOUT: Duration = Duration::from_secs(600);
/// How many bytes a file that is copied out of a guest may have by default.
pub const DEFAULT_MAX_COPY_BYTES: u64 = 64 << 30;
/// How many bytes of a program's output are kept by default.
pub const DEFAULT_MAX_OUTPUT_BYTES: u64 = 64 << 20;
/// Time limit of one attempt of [`GuestClient::wait_until_ready`]. A request that a VMM accepted before the
/// guest was up may never get an answer.
const ATTEMPT_TIMEOUT: Duration = Duration::from_secs(2);
/// Time left for the last attempt of [`GuestClient::wait_until_ready`].
const LAST_ATTEMPT: Duration = Duration::from_millis(100);
/// The bounds of the pause between two attempts, see [`pause`].
const ATTEMPT_PAUSES: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(1));
/// The time limits of a [`GuestClient`]. They hold for everything together that the guest sends, whether
/// it is silent or sends something else without end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct GuestTimeouts {
    /// To connect, with the VMM's answer to `CONNECT`: 10 s by default.
    pub connect: Duration,
    /// From the request to the answer, or to the beginning of a copy or a program: 30 s by default.
    pub reply: Duration,
}

impl GuestTimeouts {
    /// Returns the limits with another time limit for connecting.
    #[must_use]
    pub fn with_connect(mut self, connect: Duration) -> Self {
        self.connect = connect;
        self
    }

    /// Returns the limits with another time limit for the answer.
    #[must_use]
    pub fn with_reply(mut self, reply: Duration) -> Self {
        self.reply = reply;
        self
    }
}

impl Default for GuestTimeouts {
    fn default() -> Self {
        Self { connect: Duration::from_secs(10), reply: Duration::from_secs(30) }
    }
}

/// Client of a guest's agent. Every call uses a new connection, so threads may share a client.
///
/// Every call ends by its time limit. It ends with [`GuestError::Cancelled`] as soon as another thread sets
/// the flag of [`with_cancellation`](Self::with_cancellation). A clone is cheap. To cancel one call alone,
/// give a clone a [`child`](Cancellation::child) of the flag.
#[derive(Clone, Debug)]
pub struct GuestClient {
    address: GuestAddress,
    timeouts: GuestTimeouts,
    max_copy_bytes: u64,
    max_output_bytes: u64,
    cancellation: Cancellation,
}

impl GuestClient {
    /// Returns a client for the agent at `address`; nothing is connected yet.
    pub fn new(address: GuestAddress) -> Self {
        Self {
            address,
            timeouts: GuestTimeouts::default(),
            max_copy_bytes: DEFAULT_MAX_COPY_BYTES,
            max_output_bytes: DEFAULT_MAX_OUTPUT_BYTES,
            cancellation: Cancellation::default(),
        }
    }

    /// Returns the client with other time limits.
    #[must_use]
    pub fn with_timeouts(mut self, timeouts: GuestTimeouts) -> Self {
        self.timeouts = timeouts;
        self
    }

    /// Returns the client with another limit for files that are copied out of the guest:
    /// [`DEFAULT_MAX_COPY_BYTES`] by default.
    #[must_use]
    pub fn with_max_copy_bytes(mut self, max_copy_bytes: u64) -> Self {
        self.max_copy_bytes = max_copy_bytes;
        self
    }

    /// Returns the client with another limit for the output that [`run`](Self::run) and
    /// [`ExecSession::output`] keep in memory: [`DEFAULT_MAX_OUTPUT_BYTES`] by default.
    #[must_use]
    pub fn with_max_output_bytes(mut self, max_output_bytes: u64) -> Self {
        self.max_output_bytes = max_output_bytes;
        self
    }

    /// Returns the client with a stop flag. The flag ends its calls, also those that wait for a silent guest,
    /// and the programs of its sessions.
    #[must_use]
    pub fn with_cancellation(mut self, cancellation: Cancellation) -> Self {
        self.cancellation = cancellation;
        self
    }

    /// Address of the agent.
    pub fn address(&self) -> &GuestAddress {
        &self.address
    }

    pub(super) fn max_copy_bytes(&self) -> u64 {
        self.max_copy_bytes
    }

    /// Asks whether the agent answers.
    ///
    /// # Errors
    ///
    /// The agent cannot be reached or does not answer in time.
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
    /// The error of the last attempt, if no attempt succeeds within `timeout`. An error that no later attempt
    /// can change is returned at once.
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
            if self.cancellation.sleep(pause(waited).min(left - LAST_ATTEMPT)) {
                return Err(GuestError::Cancelled);
            }
            limit = ATTEMPT_TIMEOUT.min(timeout.saturating_sub(started.elapsed()));
        }
    }

    /// Returns whether bytes of an earlier peer may cause this error. A Unix socket may be a virtio port,
    /// which has no connections.
    fn is_remnant(&self, error: &GuestError) -> bool {
        matches!(self.address, GuestAddress::Unix(_)) && error.is_out_of_step()
    }

    /// Asks for the state of the guest and of its first boot.
    ///
    /// # Errors
    ///
    /// The agent cannot be reached or does not answer in time.
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
    /// The agent cannot be reached, or the program cannot be started.
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
                Ok(ExecSession::new(connection, pid, reply, self.max_output_bytes))
            }
            _ => Err(connection.wrong_answer()),
        }
    }

    /// Runs a program to its end, without input, and returns its output, at most
    /// [`with_max_output_bytes`](Self::with_max_output_bytes).
    ///
    /// # Errors
    ///
    /// The errors of [`exec`](Self::exec), or the connection breaks. A failed program is not an error.
    pub fn run(&self, exec: &Exec) -> Result<ExecOutput, GuestError> {
        self.exec(exec)?.output()
    }

    /// Configures the guest's network, and with `persist` for the boots to come; returns the name
    /// of the interface.
    ///
    /// # Errors
    ///
    /// The agent cannot be reached, or its kernel refuses.
    pub fn set_network(&self, network: &NetworkConfig, persist: bool) -> Result<String, GuestError> {
        let request = SetNetwork::new(network.clone()).with_persist(persist);
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
    /// The agent cannot be reached, or its kernel refuses.
    pub fn grow(&self) -> Result<Grown, GuestError> {
        let mut connection = self.open("grow", Operation::Grow)?;
        connection.set_deadline(Deadline::after(GROW_TIMEOUT));
        match connection.reply()? {
            Outcome::Grow(grown) => Ok(grown),
            _ => Err(connection.wrong_answer()),
        }
    }

    /// Powers the guest off or reboots it. The guest goes down after its answer.
    ///
    /// # Errors
    ///
    /// The agent cannot be reached.
    pub fn shutdown(&self, action: ShutdownAction) -> Result<(), GuestError> {
        let connection = self.open("shutdown", Operation::Shutdown(Shutdown::new(action)))?;
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
    /// The agent cannot be reached, the guest has no entry point, or the entry point still runs.
    pub fn wait(&self, timeout: Option<Duration>) -> Result<ExitStatus, GuestError> {
        let timeout_ms = timeout.map(|timeout| u64::try_from(timeout.as_millis()).unwrap_or(u64::MAX));
        let mut connection =
            self.open("wait", Operation::Wait(Wait::default().with_timeout_ms(timeout_ms)))?;
        connection.set_deadline(match timeout {
            Some(timeout) => Deadline::after(timeout.saturating_add(self.timeouts.reply)),
            None => Deadline::NEVER,
        });
        match connection.reply()? {
            Outcome::Wait(status) => Ok(status),
            _ => Err(connection.wrong_answer()),
        }
    }

    pub(super) fn open(&self, name: &'static str, operation: Operation) -> Result<Connection, GuestError> {
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
        Connection::open(
            &GuestCall { address: &self.address, name, connect, reply, all, cancellation },
            operation,
        )
    }
}

/// How long to wait for the next attempt after `waited` in all: a tenth of that, within bounds.
///
/// The pause between attempts. It grows, because a connection may do harm. With vhost-device-vsock 0.3, a
/// connection while a guest's driver sets the device up ends the only thread of the device. After that,
/// nobody gets an answer. Fewer attempts rarely meet that instant.
fn pause(waited: Duration) -> Duration {
    let (shortest, longest) = ATTEMPT_PAUSES;
    (waited / 10).clamp(shortest, longest)
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
