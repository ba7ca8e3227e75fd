//! One peer: frames in and out over a descriptor that never blocks, with a time for everything.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;
use std::time::{Duration, Instant};

use banger_guest::protocol::{
    ErrorCode, Frame, FrameDecoder, FrameError, FrameKind, Message, Outcome, ProtocolError, Refusal, Reply,
};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use thiserror::Error;

use crate::bounded;

/// How long a frame that has begun may take to arrive.
pub(crate) const FRAME_TIMEOUT: Duration = Duration::from_secs(30);

/// Time limit for a peer that does not read while data waits for it.
pub(crate) const WRITE_TIMEOUT: Duration = Duration::from_secs(60);

/// Characters of the message of an error.
const MAX_MESSAGE: usize = 2048;

/// How much is read at once.
const READ_BYTES: usize = 16 * 1024;

/// Why a connection ends.
#[derive(Debug, Error)]
pub(crate) enum ConnectionError {
    #[error("the peer closed the connection")]
    Closed,
    #[error("the peer took too long")]
    TimedOut,
    #[error("{0}")]
    Io(Errno),
    #[error(transparent)]
    Frame(#[from] FrameError),
    #[error(transparent)]
    Message(ProtocolError),
    #[error("the host sent more input than it has credit for")]
    Credit,
}

/// One peer.
#[derive(Debug)]
pub(crate) struct Connection {
    descriptor: Arc<OwnedFd>,
    decoder: FrameDecoder,
    /// Bytes to send, from `sent` on.
    outgoing: Vec<u8>,
    sent: usize,
    /// When the peer last took something, or there was nothing for it.
    progress: Instant,
}

impl Connection {
    /// A connection over a socket or a device, which is made not to block.
    pub(crate) fn new(descriptor: Arc<OwnedFd>) -> Result<Self, Errno> {
        let flags = rustix::fs::fcntl_getfl(&descriptor)?;
        rustix::fs::fcntl_setfl(&descriptor, flags | rustix::fs::OFlags::NONBLOCK)?;
        Ok(Self {
            descriptor,
            decoder: FrameDecoder::default(),
            outgoing: Vec::new(),
            sent: 0,
            progress: Instant::now(),
        })
    }

    /// Returns the next frame; waits for its beginning for `idle`, or without limit.
    pub(crate) fn next_frame(&mut self, idle: Option<Duration>) -> Result<Frame, ConnectionError> {
        let mut deadline = idle.map(|idle| Instant::now() + idle);
        let mut within = false;
        loop {
            if let Some(frame) = self.decoder.next_frame()? {
                return Ok(frame);
            }
            if !within && self.decoder.is_within_frame() {
                within = true;
                deadline = Some(Instant::now() + FRAME_TIMEOUT);
            }
            let wait = deadline.map(|deadline| deadline.saturating_duration_since(Instant::now()));
            if wait == Some(Duration::ZERO) {
                return Err(ConnectionError::TimedOut);
            }
            let mut waiting = [PollFd::new(&self.descriptor, PollFlags::IN)];
            wait_for(&mut waiting, wait)?;
            self.receive()?;
        }
    }

    /// A frame that has arrived, without waiting.
    pub(crate) fn arrived_frame(&mut self) -> Result<Option<Frame>, ConnectionError> {
        Ok(self.decoder.next_frame()?)
    }

    /// Reads arrived bytes without a wait; an error at the end of the stream.
    pub(crate) fn receive(&mut self) -> Result<(), ConnectionError> {
        let mut buffer = [0; READ_BYTES];
        match rustix::io::read(&self.descriptor, &mut buffer) {
            Ok(0) => Err(ConnectionError::Closed),
            Ok(read) => {
                self.decoder.push(&buffer[..read]);
                Ok(())
            }
            Err(Errno::WOULDBLOCK | Errno::INTR) => Ok(()),
            Err(Errno::CONNRESET | Errno::PIPE) => Err(ConnectionError::Closed),
            Err(error) => Err(ConnectionError::Io(error)),
        }
    }

    /// Sends a frame, and waits until the peer's system has it.
    pub(crate) fn send(&mut self, kind: FrameKind, payload: &[u8]) -> Result<(), ConnectionError> {
        self.queue(kind, payload)?;
        self.flush()
    }

    /// Sends a message, and waits until the peer's system has it.
    pub(crate) fn send_message<M: Message>(&mut self, message: &M) -> Result<(), ConnectionError> {
        let json = serde_json::to_vec(message)
            .map_err(|source| ConnectionError::Message(ProtocolError::Message { kind: M::KIND, source }))?;
        self.send(M::KIND, &json)
    }

    /// Sends the reply to a request.
    pub(crate) fn reply(&mut self, id: u64, outcome: Outcome) -> Result<(), ConnectionError> {
        self.send_message(&Reply::new(id, outcome))
    }

    /// Sends the reply with an error.
    pub(crate) fn reply_error(
        &mut self,
        id: u64,
        code: ErrorCode,
        message: String,
    ) -> Result<(), ConnectionError> {
        // It repeats a part of the request, which may be as long as a frame.
        let message = bounded::clip(message, MAX_MESSAGE);
        self.reply(id, Outcome::Error(Refusal::new(code, message)))
    }

    /// Appends a frame to the bytes to send.
    pub(crate) fn queue(&mut self, kind: FrameKind, payload: &[u8]) -> Result<(), ConnectionError> {
        if self.waiting_bytes() == 0 {
            self.progress = Instant::now();
        }
        Ok(Frame::encode_into(kind, payload, &mut self.outgoing)?)
    }

    /// How many bytes wait to be sent.
    pub(crate) fn waiting_bytes(&self) -> usize {
        self.outgoing.len() - self.sent
    }

    /// Sends as many bytes as the peer takes, without a wait; an error if it has taken nothing for too long.
    pub(crate) fn transmit(&mut self) -> Result<(), ConnectionError> {
        while self.waiting_bytes() > 0 {
            match rustix::io::write(&self.descriptor, &self.outgoing[self.sent..]) {
                Ok(written) => {
                    self.sent += written;
                    self.progress = Instant::now();
                }
                Err(Errno::INTR) => {}
                Err(Errno::WOULDBLOCK) if self.progress.elapsed() > WRITE_TIMEOUT => {
                    return Err(ConnectionError::TimedOut);
                }
                Err(Errno::WOULDBLOCK) => break,
                Err(Errno::PIPE | Errno::CONNRESET) => return Err(ConnectionError::Closed),
                Err(error) => return Err(ConnectionError::Io(error)),
            }
        }
        if self.waiting_bytes() == 0 {
            self.outgoing.clear();
            self.sent = 0;
        } else if self.sent > READ_BYTES {
            self.outgoing.drain(..self.sent);
            self.sent = 0;
        }
        Ok(())
    }

    /// Drops bytes that have arrived and were not returned.
    pub(crate) fn forget_received(&mut self) {
        self.decoder = FrameDecoder::default();
    }

    fn flush(&mut self) -> Result<(), ConnectionError> {
        loop {
            self.transmit()?;
            if self.waiting_bytes() == 0 {
                return Ok(());
            }
            let mut waiting = [PollFd::new(&self.descriptor, PollFlags::OUT)];
            wait_for(&mut waiting, Some(Duration::from_secs(1)))?;
        }
    }

    /// Waits until something arrives or `timeout` is over; whether something did.
    pub(crate) fn wait_readable(&self, timeout: Duration) -> Result<bool, ConnectionError> {
        let mut waiting = [PollFd::new(&self.descriptor, PollFlags::IN)];
        wait_for(&mut waiting, Some(timeout))?;
        Ok(!waiting[0].revents().is_empty())
    }
}

impl AsFd for Connection {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.descriptor.as_fd()
    }
}

/// Waits for descriptors; an interruption counts as the end of the wait.
pub(crate) fn wait_for(waiting: &mut [PollFd<'_>], timeout: Option<Duration>) -> Result<(), ConnectionError> {
    let timeout = timeout.map(|timeout| Timespec {
        tv_sec: i64::try_from(timeout.as_secs()).unwrap_or(i64::MAX),
        tv_nsec: timeout.subsec_nanos().into(),
    });
    match poll(waiting, timeout.as_ref()) {
        Ok(_) | Err(Errno::INTR) => Ok(()),
        Err(error) => Err(ConnectionError::Io(error)),
    }
}
