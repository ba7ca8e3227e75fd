//! One connection to an agent: made, and frames over it.

use std::io::{self, Read, Write};
use std::time::{Duration, Instant};

use banger_guest::protocol::{
    Accepted, Frame, FrameKind, Message as _, Operation, Outcome, ProtocolError, Reply, Request, read_frame,
    write_frame, write_message,
};
use socket2::{Domain, SockAddr, Socket, Type};

use super::address::GuestAddress;
use super::error::GuestError;

/// The longest line with which a VMM answers `CONNECT`.
const CONNECT_ANSWER_BYTES: usize = 64;

/// The request of a connection; it has one.
const REQUEST_ID: u64 = 1;

/// A connection with one operation on it.
#[derive(Debug)]
pub(super) struct Connection {
    socket: Socket,
    address: GuestAddress,
    operation: &'static str,
    timeout: Option<Duration>,
}

/// What the agent answered first.
#[derive(Debug)]
pub(super) enum Answer {
    /// Streams begin.
    Accepted(Accepted),
    /// That was it.
    Done(Outcome),
}

impl Connection {
    /// Connects and sends the request. `operation_name` is for errors.
    pub(super) fn open(
        address: &GuestAddress,
        operation_name: &'static str,
        operation: Operation,
        connect_timeout: Duration,
        reply_timeout: Option<Duration>,
    ) -> Result<Self, GuestError> {
        let socket = connect(address, connect_timeout)
            .map_err(|source| GuestError::Unreachable { address: address.clone(), source })?;
        let mut connection = Self {
            socket,
            address: address.clone(),
            operation: operation_name,
            timeout: Some(connect_timeout),
        };
        if let GuestAddress::Hybrid { port, .. } = address {
            connection.ask_vmm(*port, connect_timeout)?;
        }
        connection.set_timeout(reply_timeout)?;
        let request = Request { id: REQUEST_ID, operation };
        let sent = write_message(&mut &connection.socket, FrameKind::Request, &request);
        match sent {
            Ok(()) => Ok(connection),
            Err(source) => Err(connection.error(source)),
        }
    }

    /// `CONNECT <port>`, answered with `OK <port>`.
    fn ask_vmm(&self, port: u32, timeout: Duration) -> Result<(), GuestError> {
        let failed = |source: io::Error| self.error(ProtocolError::Io(source));
        self.socket.set_read_timeout(Some(timeout)).map_err(failed)?;
        self.socket.set_write_timeout(Some(timeout)).map_err(failed)?;
        (&self.socket).write_all(format!("CONNECT {port}\n").as_bytes()).map_err(failed)?;
        // Byte by byte: what follows the line is the agent's.
        let mut line = Vec::new();
        let mut byte = [0];
        while line.len() < CONNECT_ANSWER_BYTES && line.last() != Some(&b'\n') {
            match (&self.socket).read(&mut byte) {
                Ok(0) => break,
                Ok(_) => line.extend_from_slice(&byte),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                // A VMM closes the connection where nothing listens, with a reset or without.
                Err(error) if error.kind() == io::ErrorKind::ConnectionReset => break,
                Err(error) if is_timeout(&error) => {
                    return Err(GuestError::VmmSilent { address: self.address.clone(), after: timeout });
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

    /// How long each read and write may take from now on; `None` for ever.
    pub(super) fn set_timeout(&mut self, timeout: Option<Duration>) -> Result<(), GuestError> {
        self.timeout = timeout;
        self.socket
            .set_read_timeout(timeout)
            .and_then(|()| self.socket.set_write_timeout(timeout))
            .map_err(|source| self.error(ProtocolError::Io(source)))
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
                // On a serial line these may be for somebody who is gone.
                FrameKind::Output | FrameKind::ErrorOutput | FrameKind::Credit => {}
                found => return Err(self.unexpected(found)),
            }
        }
    }

    /// The reply, where nothing else may come first.
    pub(super) fn reply(&self) -> Result<Outcome, GuestError> {
        match self.answer()? {
            Answer::Done(outcome) => Ok(outcome),
            Answer::Accepted(_) => Err(self.wrong_answer()),
        }
    }

    /// What a reply says: an error, the outcome, or `None` where it answers somebody else.
    pub(super) fn outcome(&self, frame: &Frame) -> Result<Option<Outcome>, GuestError> {
        let reply = Reply::from_frame(frame).map_err(|source| self.error(source))?;
        match reply.outcome {
            // Id 0 answers what the agent could not read.
            Outcome::Error(failure) if reply.id == REQUEST_ID || reply.id == 0 => Err(GuestError::Refused {
                operation: self.operation,
                code: failure.code,
                message: failure.message,
            }),
            outcome => Ok((reply.id == REQUEST_ID).then_some(outcome)),
        }
    }

    pub(super) fn read(&self) -> Result<Frame, GuestError> {
        read_frame(&mut &self.socket).map_err(|source| self.error(source))?.ok_or_else(|| self.closed())
    }

    pub(super) fn write(&self, kind: FrameKind, payload: &[u8]) -> Result<(), GuestError> {
        write_frame(&mut &self.socket, kind, payload).map_err(|source| self.error(source))
    }

    /// Whether the agent has said something that was not read yet.
    pub(super) fn has_input(&self) -> bool {
        let mut byte = [std::mem::MaybeUninit::uninit()];
        if self.socket.set_nonblocking(true).is_err() {
            return false;
        }
        let peeked = self.socket.peek(&mut byte);
        // A socket that stays non-blocking fails at its next use, and says so.
        let _ = self.socket.set_nonblocking(false);
        match peeked {
            Ok(_) => true,
            Err(error) => error.kind() != io::ErrorKind::WouldBlock,
        }
    }

    /// Another handle of the same socket, for a thread that only writes.
    pub(super) fn writer(&self) -> Result<Socket, GuestError> {
        self.socket.try_clone().map_err(|source| self.error(ProtocolError::Io(source)))
    }

    /// Ends the connection, whoever else has a handle of it.
    pub(super) fn shut_down(&self) {
        // It fails where the agent has closed it.
        let _ = self.socket.shutdown(std::net::Shutdown::Both);
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
        let (address, operation) = (self.address.clone(), self.operation);
        let ProtocolError::Io(error) = &source else {
            return GuestError::Protocol { address, operation, source };
        };
        match error.kind() {
            _ if is_timeout(error) => {
                GuestError::TimedOut { address, operation, after: self.timeout.unwrap_or_default() }
            }
            io::ErrorKind::UnexpectedEof | io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe => {
                GuestError::Closed { address, operation }
            }
            _ => GuestError::Protocol { address, operation, source },
        }
    }
}

/// Whether a socket's time limit ran out.
fn is_timeout(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut)
}

fn connect(address: &GuestAddress, timeout: Duration) -> io::Result<Socket> {
    let (domain, socket_address) = match address {
        GuestAddress::Hybrid { path, .. } | GuestAddress::Unix(path) => (Domain::UNIX, SockAddr::unix(path)?),
        GuestAddress::Vsock { cid, port } => vsock(*cid, *port)?,
        GuestAddress::Tcp(address) => (Domain::for_address(*address), SockAddr::from(*address)),
    };
    let socket = Socket::new(domain, Type::STREAM, None)?;
    let deadline = Instant::now() + timeout;
    loop {
        let left = deadline.saturating_duration_since(Instant::now()).max(Duration::from_millis(1));
        match socket.connect_timeout(&socket_address, left) {
            Ok(()) => break,
            // A Unix socket whose queue is full does not let anybody wait.
            Err(error) if error.kind() == io::ErrorKind::WouldBlock && Instant::now() < deadline => {
                std::thread::sleep(Duration::from_millis(10));
            }
            Err(error) => return Err(error),
        }
    }
    if let GuestAddress::Tcp(_) = address {
        // Frames are written whole: what waits for more only waits.
        socket.set_tcp_nodelay(true)?;
    }
    Ok(socket)
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
