//! `exec`: one loop that moves all streams of a program, and never waits for a single one.

use std::time::{Duration, Instant};

use banger_guest::protocol::{
    Accepted, Control, DATA_CHUNK_BYTES, ErrorCode, Exec, ExitStatus, Frame, FrameKind, INPUT_WINDOW_BYTES,
    Message,
};
use rustix::event::{PollFd, PollFlags};
use rustix::io::Errno;

use super::connection::{Connection, ConnectionError, WRITE_TIMEOUT, wait_for};
use super::error::OperationError;
use super::exec_child::{ExecChild, StreamRead, read_output};
use crate::root::Root;

/// Nothing is read from the program while so much waits for the host.
const OUTGOING_BYTES: usize = 64 * 1024;

/// How long after the program's end others may write to its streams.
const DRAIN_TIMEOUT: Duration = Duration::from_secs(1);

/// Number of bytes that are still read after that time: the capacity of a pipe.
const LAST_BYTES: usize = 1024 * 1024;

/// Interval of checks for events without a descriptor.
const PERIOD: Duration = Duration::from_secs(1);

/// The same, for kernels without a descriptor for the end of a process.
const SHORT_PERIOD: Duration = Duration::from_millis(20);

/// The terminal's end-of-file character.
const END_OF_FILE: u8 = 4;

struct ExecRun<'a> {
    connection: &'a mut Connection,
    child: ExecChild,
    on_terminal: bool,
    /// Bytes of the host that the program has not read yet.
    input: Vec<u8>,
    input_ended: bool,
    /// How much the host may still send.
    credit: u32,
    /// How much was read since credit was last granted.
    consumed: u32,
    last_input: u8,
    deadline: Option<Instant>,
    timed_out: bool,
    ended_at: Option<Instant>,
}

/// Runs a program to its end.
pub(crate) fn run(
    root: &Root,
    connection: &mut Connection,
    exec: &Exec,
) -> Result<ExitStatus, OperationError> {
    let child = ExecChild::start(root, exec)?;
    let pid = child.pid.as_raw_nonzero().get().unsigned_abs();
    connection.send_message(&Accepted::Exec { pid })?;
    let timeout = exec.timeout_ms.map(Duration::from_millis);
    let mut run = ExecRun {
        connection,
        child,
        on_terminal: exec.pty.is_some(),
        input: Vec::new(),
        input_ended: false,
        credit: INPUT_WINDOW_BYTES,
        consumed: 0,
        last_input: b'\n',
        deadline: timeout.and_then(|timeout| Instant::now().checked_add(timeout)),
        timed_out: false,
        ended_at: None,
    };
    // An error drops the program, which kills its process group.
    let status = run.until_end()?;
    if run.timed_out {
        return Err(OperationError::new(
            ErrorCode::TimedOut,
            "the program was killed when its time was over",
        ));
    }
    Ok(status)
}

impl ExecRun<'_> {
    fn until_end(&mut self) -> Result<ExitStatus, ConnectionError> {
        loop {
            self.take_frames()?;
            self.write_input()?;
            self.read_outputs()?;
            self.connection.transmit()?;
            if let Some(status) = self.child.status() {
                let ended_at = *self.ended_at.get_or_insert_with(Instant::now);
                let streams_ended = self.child.output.is_none() && self.child.error_output.is_none();
                if streams_ended {
                    return Ok(status);
                }
                let drained = self.connection.waiting_bytes() == 0 && ended_at.elapsed() >= DRAIN_TIMEOUT;
                if drained {
                    self.read_last()?;
                    return Ok(status);
                }
            } else if self.deadline.is_some_and(|deadline| deadline <= Instant::now()) {
                self.timed_out = true;
                self.child.kill();
            }
            self.wait()?;
        }
    }

    /// Waits until bytes can be moved, or a check is due.
    fn wait(&self) -> Result<(), ConnectionError> {
        let mut waiting = Vec::with_capacity(5);
        let mut events = PollFlags::IN;
        if self.connection.waiting_bytes() > 0 {
            events |= PollFlags::OUT;
        }
        waiting.push(PollFd::new(&*self.connection, events));
        if let Some(stdin) = self.child.input.as_ref().filter(|_| !self.input.is_empty()) {
            waiting.push(PollFd::new(stdin, PollFlags::OUT));
        }
        if self.may_read() {
            let outputs = [&self.child.output, &self.child.error_output];
            waiting.extend(outputs.into_iter().flatten().map(|stream| PollFd::new(stream, PollFlags::IN)));
        }
        if let Some(ended) = self.child.ended.as_ref().filter(|_| self.ended_at.is_none()) {
            waiting.push(PollFd::new(ended, PollFlags::IN));
        }
        let unwatched = self.child.ended.is_none() || self.ended_at.is_some();
        let period = if unwatched { SHORT_PERIOD } else { PERIOD };
        let left = self.deadline.map(|deadline| deadline.saturating_duration_since(Instant::now()));
        let timeout = left.map_or(period, |left| left.min(period)).max(Duration::from_millis(1));
        debug_assert!(timeout < WRITE_TIMEOUT, "stalls are noticed between two waits");
        wait_for(&mut waiting, Some(timeout))
    }

    fn may_read(&self) -> bool {
        self.connection.waiting_bytes() < OUTGOING_BYTES
    }

    /// Handles a frame of the host.
    fn take_frames(&mut self) -> Result<(), ConnectionError> {
        self.connection.receive()?;
        while let Some(frame) = self.connection.arrived_frame()? {
            match frame.kind {
                FrameKind::Input => self.take_input(&frame)?,
                FrameKind::InputEnd => self.input_ended = true,
                FrameKind::Control => self.control(&frame)?,
                _ => {
                    return Err(ConnectionError::Message(
                        banger_guest::protocol::ProtocolError::Unexpected {
                            found: frame.kind,
                            expected: FrameKind::Control,
                        },
                    ));
                }
            }
        }
        Ok(())
    }

    fn take_input(&mut self, frame: &Frame) -> Result<(), ConnectionError> {
        let bytes = u32::try_from(frame.payload.len()).unwrap_or(u32::MAX);
        self.credit = self.credit.checked_sub(bytes).ok_or(ConnectionError::Credit)?;
        if self.child.input.is_some() && !self.input_ended {
            self.input.extend_from_slice(&frame.payload);
        } else {
            // The program does not want it: it counts as read, so that the host gets rid of it.
            self.grant(bytes)?;
        }
        Ok(())
    }

    fn control(&mut self, frame: &Frame) -> Result<(), ConnectionError> {
        match Control::from_frame(frame).map_err(ConnectionError::Message)? {
            // An unknown signal number or an ended program does no harm.
            Control::Signal { number } => drop(self.child.signal(number)),
            Control::Resize(size) => self.child.resize(size),
            _ => {}
        }
        Ok(())
    }

    /// Writes as many bytes to the program as it takes.
    fn write_input(&mut self) -> Result<(), ConnectionError> {
        let Some(stdin) = &self.child.input else {
            return Ok(());
        };
        let mut gone = false;
        while !self.input.is_empty() {
            match rustix::io::write(stdin, &self.input) {
                Ok(written) => {
                    self.last_input = self.input[written.saturating_sub(1)];
                    self.input.drain(..written);
                    self.consumed = self.consumed.saturating_add(u32::try_from(written).unwrap_or(u32::MAX));
                }
                Err(Errno::WOULDBLOCK) => break,
                Err(Errno::INTR) => {}
                Err(_) => {
                    gone = true;
                    break;
                }
            }
        }
        if self.input.is_empty() && self.input_ended && !gone {
            if self.on_terminal {
                // Within a line the first one only ends the line.
                let marks: &[u8] = if self.last_input == b'\n' { &[END_OF_FILE] } else { &[END_OF_FILE; 2] };
                let _ = rustix::io::write(stdin, marks);
            }
            gone = true;
        }
        let consumed = std::mem::take(&mut self.consumed);
        if gone {
            self.child.input = None;
            let unread = u32::try_from(self.input.len()).unwrap_or(u32::MAX);
            self.input = Vec::new();
            return self.grant(consumed.saturating_add(unread));
        }
        self.grant(consumed)
    }

    /// Lets the host send so much more, once that is worth a frame.
    fn grant(&mut self, consumed: u32) -> Result<(), ConnectionError> {
        self.consumed = self.consumed.saturating_add(consumed);
        if self.consumed < INPUT_WINDOW_BYTES / 4 {
            return Ok(());
        }
        let granted = std::mem::take(&mut self.consumed);
        self.credit = self.credit.saturating_add(granted);
        self.connection.queue(FrameKind::Credit, &granted.to_le_bytes())
    }

    fn read_outputs(&mut self) -> Result<(), ConnectionError> {
        let mut buffer = [0; DATA_CHUNK_BYTES];
        if self.may_read() {
            Self::read_stream(self.connection, &mut self.child.output, FrameKind::Output, &mut buffer)?;
        }
        if self.may_read() {
            Self::read_stream(
                self.connection,
                &mut self.child.error_output,
                FrameKind::ErrorOutput,
                &mut buffer,
            )?;
        }
        Ok(())
    }

    /// Reads once; how much there was. A stream at its end is closed.
    fn read_stream(
        connection: &mut Connection,
        stream: &mut Option<std::os::fd::OwnedFd>,
        kind: FrameKind,
        buffer: &mut [u8],
    ) -> Result<usize, ConnectionError> {
        let Some(descriptor) = stream else {
            return Ok(0);
        };
        match read_output(descriptor, buffer) {
            StreamRead::Bytes(read) => {
                connection.queue(kind, &buffer[..read])?;
                Ok(read)
            }
            StreamRead::Nothing => Ok(0),
            StreamRead::End => {
                *stream = None;
                Ok(0)
            }
        }
    }

    /// Reads the rest of the program's output. Other processes may still hold the streams open.
    fn read_last(&mut self) -> Result<(), ConnectionError> {
        let mut buffer = [0; DATA_CHUNK_BYTES];
        let mut left = LAST_BYTES;
        while left > 0 {
            let connection = &mut *self.connection;
            let mut read =
                Self::read_stream(connection, &mut self.child.output, FrameKind::Output, &mut buffer)?;
            read += Self::read_stream(
                connection,
                &mut self.child.error_output,
                FrameKind::ErrorOutput,
                &mut buffer,
            )?;
            if read == 0 {
                break;
            }
            left = left.saturating_sub(read);
        }
        Ok(())
    }
}
