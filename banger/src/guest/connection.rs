//! One connection to an agent, with its frames. Each operation on it ends by its deadline, whatever the other
//! end sends.

use std::io::{self, Read as _, Write as _};
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use banger_guest::protocol::{
    Accepted, Frame, FrameError, FrameKind, Message as _, Operation, Outcome, ProtocolError, Reply, Request,
    read_frame, write_frame, write_message,
};
use banger_tree::Cancellation;

use super::address::GuestAddress;
use super::deadline::Deadline;
use super::error::GuestError;
use super::socket::TimedSocket;

/// The longest line with which a VMM answers `CONNECT`.
const CONNECT_ANSWER_BYTES: usize = 64;

/// Number of the last request of this process. On a serial line, a reply to an earlier request may still arrive:
/// no two requests have one number.
static LAST_REQUEST: AtomicU64 = AtomicU64::new(0);

/// Time limit of a frame that has begun, without another limit.
const FRAME_TIMEOUT: Duration = Duration::from_secs(30);

/// The purpose of a connection, and its time limits.
#[derive(Clone, Debug)]
pub(super) struct GuestCall<'a> {
    pub(super) address: &'a GuestAddress,
    /// The operation, for errors.
    pub(super) name: &'static str,
    /// For connecting, with the VMM's answer.
    pub(super) connect: Duration,
    /// From the request to the answer.
    pub(super) reply: Duration,
    /// For all of it together.
    pub(super) all: Deadline,
    pub(super) cancellation: &'a Cancellation,
}

/// A connection with one operation on it.
#[derive(Debug)]
pub(super) struct Connection {
    socket: TimedSocket,
    address: GuestAddress,
    operation: &'static str,
    request_id: u64,
    deadline: Deadline,
}

/// The agent's first answer.
#[derive(Debug)]
pub(super) enum Answer {
    /// Streams begin.
    Accepted(Accepted),
    /// That was it.
    Done(Outcome),
}

impl Connection {
    /// Connects and sends the request. The deadline of the connection is that of the answer then.
    pub(super) fn open(call: &GuestCall<'_>, operation: Operation) -> Result<Self, GuestError> {
        let address = call.address;
        let deadline = Deadline::after(call.connect).earlier(call.all);
        let unreachable = |source: io::Error| match call.cancellation.is_cancelled() {
            true => GuestError::Cancelled,
            false => GuestError::Unreachable { address: address.clone(), source },
        };
        let socket = TimedSocket::connect(address, deadline, call.cancellation).map_err(unreachable)?;
        let request_id = next_request_id();
        let mut connection =
            Self { socket, address: address.clone(), operation: call.name, request_id, deadline };
        if let GuestAddress::Hybrid { port, .. } = address {
            connection.ask_vmm(*port)?;
        }
        connection.set_deadline(Deadline::after(call.reply).earlier(call.all));
        let request = Request::new(request_id, operation);
        match write_message(&mut connection.socket.until(connection.deadline), FrameKind::Request, &request) {
            Ok(()) => Ok(connection),
            Err(ProtocolError::Frame(FrameError::Oversize { length })) => {
                Err(GuestError::RequestTooLarge { operation: call.name, bytes: length })
            }
            Err(source) => Err(connection.error(source)),
        }
    }

    /// `CONNECT <port>`, answered with `OK <port>`.
    fn ask_vmm(&self, port: u32) -> Result<(), GuestError> {
        let failed = |source: io::Error| self.error(ProtocolError::Io(source));
        let mut stream = self.socket.until(self.deadline);
        stream.write_all(format!("CONNECT {port}\n").as_bytes()).map_err(failed)?;
        // Byte by byte: bytes after the line belong to the agent.
        let mut line = Vec::new();
        let mut byte = [0];
        while line.len() < CONNECT_ANSWER_BYTES && line.last() != Some(&b'\n') {
            match stream.read(&mut byte) {
                Ok(0) => break,
                Ok(_) => line.extend_from_slice(&byte),
                // A VMM closes the connection where nothing listens, with a reset or without.
                Err(error) if error.kind() == io::ErrorKind::ConnectionReset => break,
                Err(error) if is_timeout(&error) => {
                    let after = self.deadline.limit;
                    return Err(GuestError::VmmSilent { address: self.address.clone(), after });
                }
                Err(error) => return Err(failed(error)),
            }
        }
        if line.starts_with(b"OK ") && line.ends_with(b"\n") {
            return Ok(());
        }
        let answer = String::from_utf8_lossy(&line).trim_end().to_owned();
        Err(GuestError::NoAgent { address: self.address.clone(), answer })
    }

    /// Until when reads and writes may last from now on.
    pub(super) fn set_deadline(&mut self, deadline: Deadline) {
        self.deadline = deadline;
    }

    /// The agent's first answer.
    pub(super) fn answer(&self) -> Result<Answer, GuestError> {
        loop {
            let frame = self.read()?;
            match frame.kind {
                FrameKind::Accepted => {
                    let accepted = Accepted::from_frame(&frame).map_err(|source| self.error(source))?;
                    return Ok(Answer::Accepted(accepted));
                }
                FrameKind::Reply => {
                    if let Some(outcome) = self.outcome(&frame)? {
                        return Ok(Answer::Done(outcome));
                    }
                }
                // On a serial line these may be for an earlier host.
                FrameKind::Output | FrameKind::ErrorOutput | FrameKind::Credit => {}
                found => return Err(self.unexpected(found)),
            }
        }
    }

    /// Returns the reply; no other frame may come first.
    pub(super) fn reply(&self) -> Result<Outcome, GuestError> {
        match self.answer()? {
            Answer::Done(outcome) => Ok(outcome),
            Answer::Accepted(_) => Err(self.wrong_answer()),
        }
    }

    /// Returns the outcome of a reply or its error; `None` if it answers another request.
    pub(super) fn outcome(&self, frame: &Frame) -> Result<Option<Outcome>, GuestError> {
        let reply = Reply::from_frame(frame).map_err(|source| self.error(source))?;
        match reply.outcome {
            // Id 0 answers a request that the agent could not read.
            Outcome::Error(failure) if reply.id == self.request_id || reply.id == 0 => {
                Err(GuestError::Refused {
                    operation: self.operation,
                    code: failure.code,
                    message: failure.message,
                })
            }
            outcome => Ok((reply.id == self.request_id).then_some(outcome)),
        }
    }

    /// Returns the next frame. A frame that has begun must arrive in time, also without a deadline.
    pub(super) fn read(&self) -> Result<Frame, GuestError> {
        let mut stream = self.socket.until_begun(self.deadline, FRAME_TIMEOUT);
        let read = read_frame(&mut stream);
        let limit = stream.deadline().limit;
        read.map_err(|source| self.error_after(source, limit))?.ok_or_else(|| self.closed())
    }

    pub(super) fn write(&self, kind: FrameKind, payload: &[u8]) -> Result<(), GuestError> {
        write_frame(&mut self.socket.until(self.deadline), kind, payload).map_err(|source| self.error(source))
    }

    /// Returns whether bytes of the agent wait.
    pub(super) fn has_input(&self) -> bool {
        self.socket.has_input()
    }

    /// Waits until there is a frame to read, for `timeout`; whether there is.
    pub(super) fn wait_for_input(&self, timeout: Duration) -> Result<bool, GuestError> {
        let waited = self.socket.wait_for_input(self.deadline, timeout);
        waited.map_err(|source| self.error(ProtocolError::Io(source)))
    }

    /// The flag that ends the connection.
    pub(super) fn cancellation(&self) -> &Cancellation {
        self.socket.cancellation()
    }

    /// Another handle of the same socket, for a thread that only writes.
    pub(super) fn writer(&self) -> TimedSocket {
        self.socket.clone()
    }

    /// Ends the connection for all its handles.
    pub(super) fn shut_down(&self) {
        self.socket.shut_down();
    }

    pub(super) fn closed(&self) -> GuestError {
        GuestError::Closed { address: self.address.clone(), operation: self.operation }
    }

    pub(super) fn wrong_answer(&self) -> GuestError {
        GuestError::Answer { address: self.address.clone(), operation: self.operation }
    }

    pub(super) fn unexpected(&self, found: FrameKind) -> GuestError {
        self.error(ProtocolError::Unexpected { found, expected: FrameKind::Reply })
    }

    fn error(&self, source: ProtocolError) -> GuestError {
        self.error_after(source, self.deadline.limit)
    }

    /// The error; `after` is the limit that held.
    fn error_after(&self, source: ProtocolError, after: Duration) -> GuestError {
        let (address, operation) = (self.address.clone(), self.operation);
        let ProtocolError::Io(error) = &source else {
            return GuestError::Protocol { address, operation, source };
        };
        match error.kind() {
            _ if self.socket.cancellation().is_cancelled() => GuestError::Cancelled,
            _ if is_timeout(error) => GuestError::TimedOut { address, operation, after },
            io::ErrorKind::UnexpectedEof | io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe => {
                GuestError::Closed { address, operation }
            }
            _ => GuestError::Protocol { address, operation, source },
        }
    }
}

impl AsFd for Connection {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

/// Returns a number that no other request of this process has, and hardly one of another process.
fn next_request_id() -> u64 {
    let count = LAST_REQUEST.fetch_add(1, Ordering::Relaxed).wrapping_add(1);
    (u64::from(std::process::id()) << 24) | (count & 0xff_ffff)
}

/// Whether a time limit ran out: this side's, or the kernel's for a peer that is gone.
fn is_timeout(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::TimedOut
}
