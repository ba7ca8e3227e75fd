//! A socket on which nothing takes longer than it may, whatever the other end does.

use std::io::{self, Read, Write};
use std::sync::Arc;
use std::time::{Duration, Instant};

use banger_tree::Cancellation;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use socket2::Socket;

/// How long to wait for room in the queue of a Unix socket.
const CONNECT_PAUSE: Duration = Duration::from_millis(10);

/// How often a wait looks whether it is cancelled.
const LOOK_INTERVAL: Duration = Duration::from_millis(50);

/// A connected socket, which never blocks by itself. Clones are the same socket.
#[derive(Clone, Debug)]
pub(super) struct TimedSocket {
    socket: Arc<Socket>,
    cancellation: Cancellation,
}

/// Until when something may go on.
#[derive(Clone, Copy, Debug)]
pub(super) struct Deadline {
    at: Option<Instant>,
    /// How long that was at the beginning, for messages.
    pub(super) limit: Duration,
}

impl Deadline {
    /// So long from now on; for ever where that is beyond what a clock can tell.
    pub(super) fn after(limit: Duration) -> Self {
        Self { at: Instant::now().checked_add(limit), limit }
    }

    /// No limit.
    pub(super) const NEVER: Self = Self { at: None, limit: Duration::MAX };

    /// Whichever comes first.
    pub(super) fn earlier(self, other: Self) -> Self {
        match (self.at, other.at) {
            (Some(one), Some(two)) if two < one => other,
            (None, Some(_)) => other,
            _ => self,
        }
    }

    /// What is left; `None` without a limit.
    pub(super) fn left(self) -> Option<Duration> {
        self.at.map(|at| at.saturating_duration_since(Instant::now()))
    }
}

impl TimedSocket {
    /// Takes a connected socket over.
    pub(super) fn new(socket: Socket, cancellation: Cancellation) -> io::Result<Self> {
        socket.set_nonblocking(true)?;
        Ok(Self { socket: Arc::new(socket), cancellation })
    }

    /// The socket for reads and writes that all end by `deadline`.
    pub(super) fn until(&self, deadline: Deadline) -> Until<'_> {
        Until { socket: self, deadline, once_begun: None }
    }

    /// The same, but once a byte was read the rest has to come within `limit`.
    pub(super) fn until_begun(&self, deadline: Deadline, limit: Duration) -> Until<'_> {
        Until { socket: self, deadline, once_begun: Some(limit) }
    }

    /// Whether the other end has said something that was not read yet, or has gone.
    pub(super) fn has_input(&self) -> bool {
        let mut byte = [std::mem::MaybeUninit::uninit()];
        match self.socket.peek(&mut byte) {
            Ok(_) => true,
            Err(error) => error.kind() != io::ErrorKind::WouldBlock,
        }
    }

    /// Ends the connection, whoever else has a handle of it.
    pub(super) fn shut_down(&self) {
        // It fails where the other end has closed it.
        let _ = self.socket.shutdown(std::net::Shutdown::Both);
    }

    /// Whether its user asked to stop.
    pub(super) fn is_cancelled(&self) -> bool {
        self.cancellation.is_cancelled()
    }

    /// Fails where there is no time left. It comes before every call, so that an end that always has
    /// a byte more gets no more time than one that is silent.
    fn check(&self, deadline: Deadline) -> io::Result<()> {
        check(&self.cancellation, deadline)
    }

    fn wait(&self, flags: PollFlags, deadline: Deadline) -> io::Result<()> {
        wait(&self.socket, flags, deadline, &self.cancellation).map(|_| ())
    }
}

/// Waits until a socket may be read or written, but not for long; whether it may. An unconnected Unix
/// socket is always ready for nothing, so that a wait for no flag is a pause.
pub(super) fn wait(
    socket: &Socket,
    flags: PollFlags,
    deadline: Deadline,
    cancellation: &Cancellation,
) -> io::Result<bool> {
    check(cancellation, deadline)?;
    if flags.is_empty() {
        std::thread::sleep(CONNECT_PAUSE);
        return Ok(false);
    }
    let left = deadline.left().map_or(LOOK_INTERVAL, |left| left.min(LOOK_INTERVAL));
    // A wait of nothing would spin until the deadline.
    let left = left.max(Duration::from_millis(1));
    let timeout = Timespec { tv_sec: 0, tv_nsec: left.subsec_nanos().into() };
    match poll(&mut [PollFd::new(socket, flags)], Some(&timeout)) {
        Ok(ready) => Ok(ready > 0),
        Err(rustix::io::Errno::INTR) => Ok(false),
        Err(error) => Err(error.into()),
    }
}

/// Fails where the deadline has passed or somebody asked to stop.
fn check(cancellation: &Cancellation, deadline: Deadline) -> io::Result<()> {
    if cancellation.is_cancelled() {
        return Err(io::Error::other("cancelled"));
    }
    match deadline.left() {
        Some(Duration::ZERO) => Err(io::ErrorKind::TimedOut.into()),
        _ => Ok(()),
    }
}

/// Reads and writes with a deadline. Passing it is [`io::ErrorKind::TimedOut`].
#[derive(Debug)]
pub(super) struct Until<'a> {
    socket: &'a TimedSocket,
    deadline: Deadline,
    once_begun: Option<Duration>,
}

impl Until<'_> {
    /// The deadline that holds now.
    pub(super) fn deadline(&self) -> Deadline {
        self.deadline
    }
}

impl Read for Until<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            self.socket.check(self.deadline)?;
            match (&*self.socket.socket).read(buffer) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    self.socket.wait(PollFlags::IN, self.deadline)?;
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                read => {
                    if read.is_ok()
                        && let Some(limit) = self.once_begun.take()
                    {
                        self.deadline = self.deadline.earlier(Deadline::after(limit));
                    }
                    return read;
                }
            }
        }
    }
}

impl Write for Until<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        loop {
            self.socket.check(self.deadline)?;
            match (&*self.socket.socket).write(bytes) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    self.socket.wait(PollFlags::OUT, self.deadline)?;
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                written => return written,
            }
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
