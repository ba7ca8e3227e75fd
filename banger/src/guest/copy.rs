//! Files into and out of a guest.

use std::io::{Read, Write};
use std::time::Duration;

use banger_guest::protocol::{
    Accepted, CopyIn, CopyOut, CopyTarget, DATA_CHUNK_BYTES, FrameKind, Operation, Outcome,
};

use super::client::GuestClient;
use super::connection::{Answer, Connection};
use super::deadline::Deadline;
use super::error::GuestError;

/// How long a copy may take for each [`COPY_PROGRESS_BYTES`], and for its end: the agent flushes before
/// it answers.
const COPY_TIMEOUT: Duration = Duration::from_secs(120);
/// What a copy has to move within [`COPY_TIMEOUT`]: a peer that sends a byte at a time gets no more time
/// than a silent one.
const COPY_PROGRESS_BYTES: u64 = 64 << 10;
/// How much longer than announced a file of the guest may become while it is copied: somebody writes to
/// it, or it is one of `/proc`, which have no size.
const COPY_GROWTH_BYTES: u64 = 64 << 20;
/// After so many bytes of a copy the connection is looked at for an early answer.
const LOOK_BYTES: u64 = 1 << 20;

impl GuestClient {
    /// Writes a file of the guest with the bytes of `content`; returns how many they were. An earlier file
    /// stays until everything has arrived.
    ///
    /// A cancellation ends the call while it waits for the guest. It does not end a read of `content`
    /// that blocks: such a reader has to end by itself, as [`PatientReader`](crate::rootfs::PatientReader) does.
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
        let sent = send(&mut connection, content);
        connection.set_deadline(Deadline::after(COPY_TIMEOUT));
        let reply = match sent {
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
    /// came. Mode, size and name are the guest's: do not trust them with anything.
    ///
    /// # Errors
    ///
    /// Where `content` cannot be written, the guest cannot be reached or cannot read the file, or the file is
    /// larger than it may be or than the guest announced.
    pub fn copy_out(&self, path: &str, content: &mut dyn Write) -> Result<(CopyTarget, u64), GuestError> {
        let mut connection = self.open("copy_out", Operation::CopyOut(CopyOut { path: path.to_owned() }))?;
        let target = match connection.answer()? {
            Answer::Accepted(Accepted::CopyOut(target)) => target,
            _ => return Err(connection.wrong_answer()),
        };
        // Before anything is written: the size is known.
        self.check_size(path, target.size_bytes, target.size_bytes)?;
        let mut progress = CopyProgress::begin(&mut connection);
        let mut received = 0_u64;
        loop {
            let frame = connection.read()?;
            match frame.kind {
                FrameKind::Output => {
                    let bytes = u64::try_from(frame.payload.len()).expect("a frame is short");
                    self.check_size(path, target.size_bytes, received + bytes)?;
                    content.write_all(&frame.payload).map_err(|source| {
                        match connection.cancellation().is_cancelled() {
                            true => GuestError::Cancelled,
                            false => GuestError::Content { action: "write", source },
                        }
                    })?;
                    received += bytes;
                    progress.moved(&mut connection, bytes);
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

    /// Whether so many bytes of a file may come, which was announced with another size.
    fn check_size(&self, path: &str, announced_bytes: u64, bytes: u64) -> Result<(), GuestError> {
        if bytes > self.max_copy_bytes() {
            return Err(GuestError::CopyTooLarge { path: path.to_owned(), max_bytes: self.max_copy_bytes() });
        }
        if bytes > announced_bytes.saturating_add(COPY_GROWTH_BYTES) {
            return Err(GuestError::CopyGrew { path: path.to_owned(), announced_bytes, bytes });
        }
        Ok(())
    }
}

/// Gives a copy more time for each [`COPY_PROGRESS_BYTES`] that it has moved.
struct CopyProgress {
    since: u64,
}

impl CopyProgress {
    fn begin(connection: &mut Connection) -> Self {
        connection.set_deadline(Deadline::after(COPY_TIMEOUT));
        Self { since: 0 }
    }

    fn moved(&mut self, connection: &mut Connection, bytes: u64) {
        self.since += bytes;
        if self.since >= COPY_PROGRESS_BYTES {
            *self = Self::begin(connection);
        }
    }
}

/// Sends `content` and its end, or stops early where the agent has answered.
fn send(connection: &mut Connection, content: &mut dyn Read) -> Result<(), GuestError> {
    let mut buffer = vec![0; DATA_CHUNK_BYTES];
    let mut unseen = 0_u64;
    loop {
        let read = match content.read(&mut buffer) {
            Ok(read) => read,
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => continue,
            // A reader that the same flag ends fails for that reason.
            Err(_) if connection.cancellation().is_cancelled() => return Err(GuestError::Cancelled),
            Err(source) => return Err(GuestError::Content { action: "read", source }),
        };
        // What the host's own file or pipe takes is not the guest's fault.
        connection.set_deadline(Deadline::after(COPY_TIMEOUT));
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
