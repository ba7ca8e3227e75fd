//! What can be asked of a guest.

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
/// How long one attempt of [`GuestClient::wait_until_ready`] takes: what a VMM took for a guest
/// that was not there yet may never be answered.
const ATTEMPT_TIMEOUT: Duration = Duration::from_secs(2);
/// What is left for the last attempt of [`GuestClient::wait_until_ready`].
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
    /// Returns the limits with another one for connecting.
    #[must_use]
    pub fn with_connect(mut self, connect: Duration) -> Self {
        self.connect = connect;
        self
    }

    /// Returns the limits with another one for the answer.
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

/// Asks a guest's agent. Every call is a connection of its own, so threads may share a client.
///
/// Every call ends by its time limit. It ends with [`GuestError::Cancelled`] as soon as another thread sets
/// the flag of [`with_cancellation`](Self::with_cancellation). A clone is cheap: give it a
/// [`child`](Cancellation::child) of the flag to cancel one call alone.
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

    /// Returns the client with a flag that ends its calls, also those that wait for a silent guest, and
    /// the programs of its sessions.
    #[must_use]
    pub fn with_cancellation(mut self, cancellation: Cancellation) -> Self {
        self.cancellation = cancellation;
        self
    }

    /// Where the agent is.
    pub fn address(&self) -> &GuestAddress {
        &self.address
    }

    pub(super) fn max_copy_bytes(&self) -> u64 {
        self.max_copy_bytes
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
            if self.cancellation.sleep(pause(waited).min(left - LAST_ATTEMPT)) {
                return Err(GuestError::Cancelled);
            }
            limit = ATTEMPT_TIMEOUT.min(timeout.saturating_sub(started.elapsed()));
        }
    }

    /// Whether an error may come of what an earlier peer left on a line: a Unix socket may be a virtio
    /// port, which has no connections.
    fn is_remnant(&self, error: &GuestError) -> bool {
        matches!(self.address, GuestAddress::Unix(_)) && error.is_out_of_step()
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
                Ok(ExecSession::new(connection, pid, reply, self.max_output_bytes))
            }
            _ => Err(connection.wrong_answer()),
        }
    }

    /// Runs a program to its end, without input, and returns what it wrote, at most
    /// [`with_max_output_bytes`](Self::with_max_output_bytes).
    ///
    /// # Errors
    ///
    /// As [`exec`](Self::exec), and where the connection breaks. How the program ended is no error.
    pub fn run(&self, exec: &Exec) -> Result<ExecOutput, GuestError> {
        self.exec(exec)?.output()
    }

    /// Configures the guest's network, and with `persist` for the boots to come; returns the name
    /// of the interface.
    ///
    /// # Errors
    ///
    /// Where the agent cannot be reached, or its kernel refuses.
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
    /// Where the agent cannot be reached, there is no entry point, or it runs still.
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
/// Not as often as can be, because a connection may do harm: one that meets vhost-device-vsock 0.3
/// while a guest's driver sets the device up ends the device's only thread, and nobody is answered
/// any more. What is asked for less often is rarely asked for at that instant.
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
