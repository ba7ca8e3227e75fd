//! A program that runs in a guest.

use std::io::{self, Write};
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use banger_guest::protocol::{
    Control, DATA_CHUNK_BYTES, ExitStatus, FrameKind, INPUT_WINDOW_BYTES, Outcome, ProtocolError, Pty,
    write_frame, write_message,
};
use banger_tree::CancelGuard;

use super::connection::Connection;
use super::deadline::Deadline;
use super::error::GuestError;
use super::socket::{TimedSocket, TimedStream};

/// A program that runs in a guest. It is killed where this is dropped before its end, or where the
/// [`Cancellation`](crate::Cancellation) of its client is set: then every call that waits ends with
/// [`GuestError::Cancelled`], and every write with [`io::ErrorKind::BrokenPipe`].
#[derive(Debug)]
pub struct ExecSession {
    connection: Connection,
    pid: u32,
    max_output_bytes: u64,
    input: ExecInput,
    /// Wakes those who wait for credit when the caller cancels.
    _ends_input: CancelGuard,
}

/// What a program does.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ExecEvent {
    /// It wrote to standard output, or to its terminal.
    Output(Vec<u8>),
    /// It wrote to standard error.
    ErrorOutput(Vec<u8>),
    /// It ended; nothing follows.
    Ended(ExitStatus),
}

/// What a program wrote, and how it ended.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ExecOutput {
    /// How it ended.
    pub status: ExitStatus,
    /// Its standard output.
    pub stdout: Vec<u8>,
    /// Its standard error.
    pub stderr: Vec<u8>,
}

impl ExecSession {
    /// A session; `write_timeout` is how long the agent may take for one frame.
    pub(super) fn new(
        connection: Connection,
        pid: u32,
        write_timeout: Duration,
        max_output_bytes: u64,
    ) -> Self {
        let state = InputState { credit: INPUT_WINDOW_BYTES, ended: false };
        let shared = Arc::new(SharedInput {
            socket: Mutex::new(connection.writer()),
            write_timeout,
            state: Mutex::new(state),
            changed: Condvar::new(),
        });
        let waiting = Arc::downgrade(&shared);
        let ends_input = connection.cancellation().on_cancel(move || {
            if let Some(shared) = waiting.upgrade() {
                shared.end();
            }
        });
        Self { connection, pid, max_output_bytes, input: ExecInput { shared }, _ends_input: ends_input }
    }

    /// The program's process id in the guest.
    pub fn pid(&self) -> u32 {
        self.pid
    }

    /// The program's input side, for other threads.
    pub fn input(&self) -> ExecInput {
        self.input.clone()
    }

    /// Waits for what the program does next.
    ///
    /// # Errors
    ///
    /// Where the connection breaks, the program's time limit has passed, or the caller cancels.
    pub fn next_event(&mut self) -> Result<ExecEvent, GuestError> {
        loop {
            if let Some(event) = self.read_frame()? {
                return Ok(event);
            }
        }
    }

    /// Waits for what the program does next, at most for `timeout`; `None` if it does nothing.
    ///
    /// # Errors
    ///
    /// As [`next_event`](Self::next_event).
    pub fn next_event_within(&mut self, timeout: Duration) -> Result<Option<ExecEvent>, GuestError> {
        let end = Deadline::after(timeout);
        while self.connection.wait_for_input(end.left().unwrap_or(Duration::MAX))? {
            if let Some(event) = self.read_frame()? {
                return Ok(Some(event));
            }
        }
        Ok(None)
    }

    /// Reads one frame; `None` if it is not for the caller.
    fn read_frame(&mut self) -> Result<Option<ExecEvent>, GuestError> {
        let frame = self.connection.read()?;
        match frame.kind {
            FrameKind::Output => return Ok(Some(ExecEvent::Output(frame.payload))),
            FrameKind::ErrorOutput => return Ok(Some(ExecEvent::ErrorOutput(frame.payload))),
            FrameKind::Credit => self.input.shared.grant(frame.credit().unwrap_or(0)),
            FrameKind::Reply => match self.connection.outcome(&frame)? {
                Some(Outcome::Exec(status)) => {
                    self.input.shared.end();
                    return Ok(Some(ExecEvent::Ended(status)));
                }
                Some(_) => return Err(self.connection.wrong_answer()),
                None => {}
            },
            found => return Err(self.connection.unexpected(found)),
        }
        Ok(None)
    }

    /// Waits for the program's end and returns what it wrote, at most
    /// [`with_max_output_bytes`](super::GuestClient::with_max_output_bytes) on both streams together: all of it is
    /// kept in memory.
    ///
    /// # Errors
    ///
    /// As [`output_up_to`](Self::output_up_to).
    pub fn output(self) -> Result<ExecOutput, GuestError> {
        let max_bytes = self.max_output_bytes;
        self.output_up_to(max_bytes)
    }

    /// Waits for the program's end and returns what it wrote, at most `max_bytes` on both streams together.
    ///
    /// # Errors
    ///
    /// As [`next_event`](Self::next_event), and [`GuestError::TooMuchOutput`], which kills the program.
    pub fn output_up_to(mut self, max_bytes: u64) -> Result<ExecOutput, GuestError> {
        let (mut stdout, mut stderr) = (Vec::new(), Vec::new());
        let mut total = 0_u64;
        loop {
            let (kept, bytes) = match self.next_event()? {
                ExecEvent::Output(bytes) => (&mut stdout, bytes),
                ExecEvent::ErrorOutput(bytes) => (&mut stderr, bytes),
                ExecEvent::Ended(status) => return Ok(ExecOutput { status, stdout, stderr }),
            };
            total += u64::try_from(bytes.len()).expect("a frame is short");
            if total > max_bytes {
                return Err(GuestError::TooMuchOutput { max_bytes });
            }
            kept.extend_from_slice(&bytes);
        }
    }
}

/// The connection to the guest: it can be read when the program did something. For event loops, which then
/// call [`next_event_within`](ExecSession::next_event_within) with no time to wait; nobody else may read it.
impl AsFd for ExecSession {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.connection.as_fd()
    }
}

impl Drop for ExecSession {
    fn drop(&mut self) {
        self.input.shared.end();
        self.connection.shut_down();
    }
}

/// The input side of a program that runs in a guest: bytes, signals, the size of its terminal.
///
/// Bytes are sent as the program takes them: [`write`](Write::write) waits while it does not. Once
/// the program has ended, everything fails with [`io::ErrorKind::BrokenPipe`].
#[derive(Clone, Debug)]
pub struct ExecInput {
    shared: Arc<SharedInput>,
}

#[derive(Debug)]
struct SharedInput {
    /// Writers take turns, a frame each.
    socket: Mutex<TimedSocket>,
    write_timeout: Duration,
    state: Mutex<InputState>,
    changed: Condvar,
}

#[derive(Debug)]
struct InputState {
    /// Bytes of input that may be sent.
    credit: u32,
    /// Nothing may be sent any more.
    ended: bool,
}

impl ExecInput {
    /// Sends a signal to the program's process group; the number is Linux's.
    ///
    /// # Errors
    ///
    /// Where the program has ended or the connection breaks.
    pub fn signal(&self, number: i32) -> io::Result<()> {
        self.control(&Control::Signal { number })
    }

    /// Gives the program's terminal another size.
    ///
    /// # Errors
    ///
    /// Where the program has ended or the connection breaks.
    pub fn resize(&self, size: Pty) -> io::Result<()> {
        self.control(&Control::Resize(size))
    }

    /// Ends the program's standard input; on a terminal it is the end-of-file character.
    ///
    /// # Errors
    ///
    /// Where the program has ended or the connection breaks.
    pub fn close(&self) -> io::Result<()> {
        self.send(|socket| write_frame(socket, FrameKind::InputEnd, &[]))
    }

    fn control(&self, control: &Control) -> io::Result<()> {
        self.send(|socket| write_message(socket, FrameKind::Control, control))
    }

    fn send(&self, write: impl FnOnce(&mut TimedStream<'_>) -> Result<(), ProtocolError>) -> io::Result<()> {
        let socket = lock(&self.shared.socket);
        if lock(&self.shared.state).ended {
            return Err(io::ErrorKind::BrokenPipe.into());
        }
        let sent = write(&mut socket.until(Deadline::after(self.shared.write_timeout)));
        sent.map_err(|error| match error {
            ProtocolError::Io(error) => {
                // Half a frame may have gone: nothing that follows would be understood.
                self.shared.end();
                socket.shut_down();
                error
            }
            other => io::Error::new(io::ErrorKind::InvalidInput, other),
        })
    }
}

impl Write for ExecInput {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let wanted = u32::try_from(bytes.len().min(DATA_CHUNK_BYTES)).expect("a chunk is short");
        if wanted == 0 {
            return Ok(0);
        }
        let taken = self.shared.take(wanted)?;
        let count = usize::try_from(taken).expect("usize has 32 bits at least");
        self.send(|socket| write_frame(socket, FrameKind::Input, &bytes[..count]))?;
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl SharedInput {
    /// Takes up to `wanted` bytes of credit, and waits while there is none.
    fn take(&self, wanted: u32) -> io::Result<u32> {
        let mut state = lock(&self.state);
        loop {
            if state.ended {
                return Err(io::ErrorKind::BrokenPipe.into());
            }
            if state.credit > 0 {
                let taken = wanted.min(state.credit);
                state.credit -= taken;
                return Ok(taken);
            }
            state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }

    fn grant(&self, bytes: u32) {
        let mut state = lock(&self.state);
        state.credit = state.credit.saturating_add(bytes);
        self.changed.notify_all();
    }

    fn end(&self) {
        lock(&self.state).ended = true;
        self.changed.notify_all();
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
