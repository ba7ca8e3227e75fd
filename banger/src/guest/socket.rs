//! A socket on which nothing takes longer than it may, whatever the other end does.
//!
//! This is the only file of the client that touches a socket. So every write goes through
//! [`TimedStream`], which never raises SIGPIPE: a host that keeps that signal's default survives a VMM that
//! closes a connection.

use std::io::{self, Read, Write};
use std::net::Shutdown;
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::Arc;
use std::time::Duration;

use banger_tree::{CancelGuard, Cancellation};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::net::SendFlags;
use socket2::{Domain, SockAddr, Socket, Type};

use super::address::GuestAddress;
use super::deadline::Deadline;

/// How long to wait for room in the queue of a Unix socket, which no poll waits for.
const QUEUE_PAUSE: Duration = Duration::from_millis(10);

/// How often a wait for a connection looks whether it is cancelled: not every system ends it when the
/// socket is shut down.
const CONNECT_LOOK: Duration = Duration::from_millis(50);

/// How every byte is sent.
#[cfg(not(target_vendor = "apple"))]
const SEND_FLAGS: SendFlags = SendFlags::NOSIGNAL;
#[cfg(target_vendor = "apple")]
const SEND_FLAGS: SendFlags = SendFlags::empty();

/// A connected socket, which never blocks by itself and which its [`Cancellation`] shuts down. Clones
/// are the same socket.
#[derive(Clone, Debug)]
pub(super) struct TimedSocket(Arc<Watched>);

#[derive(Debug)]
struct Watched {
    socket: Arc<Socket>,
    cancellation: Cancellation,
    /// Ends every wait on the socket when the caller cancels.
    _shut_down: CancelGuard,
}

impl TimedSocket {
    /// Connects, by `deadline`.
    pub(super) fn connect(
        address: &GuestAddress,
        deadline: Deadline,
        cancellation: &Cancellation,
    ) -> io::Result<Self> {
        let (domain, socket_address) = match address {
            GuestAddress::Hybrid { path, .. } | GuestAddress::Unix(path) => {
                (Domain::UNIX, SockAddr::unix(path)?)
            }
            GuestAddress::Vsock { cid, port } => vsock(*cid, *port)?,
            GuestAddress::Tcp(address) => (Domain::for_address(*address), SockAddr::from(*address)),
        };
        let connected = Self::new(Socket::new(domain, Type::STREAM, None)?, cancellation)?;
        connected.connect_to(&socket_address, deadline)?;
        if let GuestAddress::Tcp(_) = address {
            // Frames are written whole: what waits for more only waits.
            connected.0.socket.set_tcp_nodelay(true)?;
        }
        Ok(connected)
    }

    fn new(socket: Socket, cancellation: &Cancellation) -> io::Result<Self> {
        socket.set_nonblocking(true)?;
        #[cfg(target_vendor = "apple")]
        rustix::net::sockopt::set_socket_nosigpipe(&socket, true)?;
        let socket = Arc::new(socket);
        let cancelled = Arc::clone(&socket);
        let shut_down = cancellation.on_cancel(move || shut_down(&cancelled));
        Ok(Self(Arc::new(Watched { socket, cancellation: cancellation.clone(), _shut_down: shut_down })))
    }

    fn connect_to(&self, address: &SockAddr, deadline: Deadline) -> io::Result<()> {
        let socket = &self.0.socket;
        loop {
            self.check(deadline)?;
            match socket.connect(address) {
                Ok(()) => return Ok(()),
                Err(error) if Errno::from_io_error(&error) == Some(Errno::INPROGRESS) => {
                    while !self.wait(PollFlags::OUT, deadline, Some(CONNECT_LOOK))? {}
                    // What shuts a socket down leaves no error in it.
                    self.check(deadline)?;
                    return socket.take_error()?.map_or(Ok(()), Err);
                }
                // A Unix socket whose queue is full does not let anybody wait for it.
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    let _ = self.0.cancellation.sleep(deadline.cut(QUEUE_PAUSE));
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
    }

    /// The socket for reads and writes that all end by `deadline`.
    pub(super) fn until(&self, deadline: Deadline) -> TimedStream<'_> {
        TimedStream { socket: self, deadline, once_begun: None }
    }

    /// The same, but once a byte was read the rest has to come within `limit`.
    pub(super) fn until_begun(&self, deadline: Deadline, limit: Duration) -> TimedStream<'_> {
        TimedStream { socket: self, deadline, once_begun: Some(limit) }
    }

    /// Whether the other end has said something that was not read yet, or has gone.
    pub(super) fn has_input(&self) -> bool {
        let mut byte = [std::mem::MaybeUninit::uninit()];
        match self.0.socket.peek(&mut byte) {
            Ok(_) => true,
            Err(error) => error.kind() != io::ErrorKind::WouldBlock,
        }
    }

    /// Waits until the other end has said something that was not read yet or has gone, for `timeout`; whether
    /// it has.
    pub(super) fn wait_for_input(&self, deadline: Deadline, timeout: Duration) -> io::Result<bool> {
        let end = Deadline::after(timeout);
        loop {
            if self.wait(PollFlags::IN, deadline, end.left())? {
                return Ok(true);
            }
            if end.left() == Some(Duration::ZERO) {
                return Ok(false);
            }
        }
    }

    /// Ends the connection, whoever else has a handle of it.
    pub(super) fn shut_down(&self) {
        shut_down(&self.0.socket);
    }

    /// The flag that shuts it down.
    pub(super) fn cancellation(&self) -> &Cancellation {
        &self.0.cancellation
    }

    /// Fails where there is no time left or the caller has cancelled. It comes before every call, so that an
    /// end that always has a byte more gets no more time than one that is silent.
    fn check(&self, deadline: Deadline) -> io::Result<()> {
        if self.0.cancellation.is_cancelled() {
            return Err(cancelled());
        }
        match deadline.left() {
            Some(Duration::ZERO) => Err(io::ErrorKind::TimedOut.into()),
            _ => Ok(()),
        }
    }

    /// Waits until the socket may be read or written, until the deadline, or for `longest`; whether it may.
    /// A cancellation ends the wait too: it shuts the socket down.
    fn wait(&self, flags: PollFlags, deadline: Deadline, longest: Option<Duration>) -> io::Result<bool> {
        self.check(deadline)?;
        let left = match (deadline.left(), longest) {
            (Some(left), Some(longest)) => Some(left.min(longest)),
            (left, longest) => left.or(longest),
        };
        // A wait of nothing would spin until the deadline.
        let timeout = left.map(|left| left.max(Duration::from_millis(1))).map(|left| Timespec {
            tv_sec: i64::try_from(left.as_secs()).unwrap_or(i64::MAX),
            tv_nsec: left.subsec_nanos().into(),
        });
        match poll(&mut [PollFd::new(&self.0.socket, flags)], timeout.as_ref()) {
            Ok(ready) => Ok(ready > 0),
            Err(Errno::INTR) => Ok(false),
            Err(error) => Err(error.into()),
        }
    }

    /// What a call of the system has come to; a socket that a cancellation has shut down looks as if the
    /// other end had closed it.
    fn unless_cancelled<T>(&self, result: io::Result<T>) -> io::Result<T> {
        if self.0.cancellation.is_cancelled() { Err(cancelled()) } else { result }
    }
}

impl AsFd for TimedSocket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.socket.as_fd()
    }
}

/// Ends a connection. It fails where the other end has closed it, or there is none yet.
fn shut_down(socket: &Socket) {
    let _ = socket.shutdown(Shutdown::Both);
}

fn cancelled() -> io::Error {
    io::Error::other("cancelled")
}

/// Reads and writes with a deadline. Passing it is [`io::ErrorKind::TimedOut`].
#[derive(Debug)]
pub(super) struct TimedStream<'a> {
    socket: &'a TimedSocket,
    deadline: Deadline,
    once_begun: Option<Duration>,
}

impl TimedStream<'_> {
    /// The deadline that holds now.
    pub(super) fn deadline(&self) -> Deadline {
        self.deadline
    }
}

impl Read for TimedStream<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            self.socket.check(self.deadline)?;
            match (&*self.socket.0.socket).read(buffer) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    self.socket.wait(PollFlags::IN, self.deadline, None)?;
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                read => {
                    if read.is_ok()
                        && let Some(limit) = self.once_begun.take()
                    {
                        self.deadline = self.deadline.earlier(Deadline::after(limit));
                    }
                    return self.socket.unless_cancelled(read);
                }
            }
        }
    }
}

impl Write for TimedStream<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        loop {
            self.socket.check(self.deadline)?;
            match rustix::net::send(&self.socket.0.socket, bytes, SEND_FLAGS) {
                Err(Errno::WOULDBLOCK) => {
                    self.socket.wait(PollFlags::OUT, self.deadline, None)?;
                }
                Err(Errno::INTR) => {}
                sent => return self.socket.unless_cancelled(sent.map_err(io::Error::from)),
            }
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(target_os = "linux")]
#[allow(clippy::unnecessary_wraps, reason = "other systems have no vsock")]
fn vsock(cid: u32, port: u32) -> io::Result<(Domain, SockAddr)> {
    Ok((Domain::VSOCK, SockAddr::vsock(cid, port)))
}

#[cfg(not(target_os = "linux"))]
fn vsock(_cid: u32, _port: u32) -> io::Result<(Domain, SockAddr)> {
    Err(io::Error::new(io::ErrorKind::Unsupported, "vsock is Linux only"))
}

#[cfg(test)]
mod tests {
    use std::sync::Weak;

    use super::*;

    fn pair(cancellation: &Cancellation) -> (TimedSocket, Socket) {
        let (ours, theirs) = Socket::pair(Domain::UNIX, Type::STREAM, None).expect("a pair of sockets");
        (TimedSocket::new(ours, cancellation).expect("a socket can be made not to block"), theirs)
    }

    /// A callback holds its socket: one that stayed registered would keep it.
    #[test]
    fn no_callback_outlives_its_socket() {
        let cancellation = Cancellation::new();
        let sockets: Vec<Weak<Socket>> = (0..10_000)
            .map(|_| {
                let (ours, _theirs) = pair(&cancellation);
                // The descriptors are closed at once; 10,000 of them would be too many.
                Arc::downgrade(&ours.0.socket)
            })
            .collect();
        assert_eq!(sockets.iter().filter(|socket| socket.strong_count() > 0).count(), 0);
        let (kept, _theirs) = pair(&cancellation);
        assert_eq!(Arc::strong_count(&kept.0.socket), 2, "the callback is registered while the socket lives");
        cancellation.cancel();
        assert_eq!(Arc::strong_count(&kept.0.socket), 1);
    }

    /// Nothing looks at the flag here but what the callback wakes: there is no deadline, and no other end.
    #[test]
    fn a_cancellation_ends_reads_and_writes_that_wait_for_ever() {
        let cancellation = Cancellation::new();
        let ((reads, _silent), (writes, _full)) = (pair(&cancellation), pair(&cancellation));
        std::thread::scope(|scope| {
            let read = scope.spawn(|| reads.until(Deadline::NEVER).read(&mut [0; 8]));
            let write = scope.spawn(|| writes.until(Deadline::NEVER).write_all(&vec![0; 64 << 20]));
            std::thread::sleep(Duration::from_millis(20));
            cancellation.cancel();
            assert!(read.join().expect("no panic").is_err());
            assert!(write.join().expect("no panic").is_err());
        });
        // And what begins afterwards does not begin.
        let (late, _theirs) = pair(&cancellation);
        assert!(late.until(Deadline::NEVER).read(&mut [0; 8]).is_err());
    }

    #[test]
    fn a_write_to_an_end_that_is_closed_is_an_error() {
        let (ours, theirs) = pair(&Cancellation::new());
        drop(theirs);
        let error = ours.until(Deadline::NEVER).write_all(b"x").expect_err("nobody reads it");
        assert_eq!(error.kind(), io::ErrorKind::BrokenPipe);
    }
}
