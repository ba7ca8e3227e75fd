//! An archive that the caller gives as an open file or a reader.

use std::fmt;
use std::fs::File;
use std::io::{self, PipeReader, Read, Seek as _, Write as _, pipe};
use std::os::fd::{AsFd, OwnedFd};
use std::sync::{Arc, Mutex, PoisonError};

use banger_tree::{Advice, Setting};
use rustix::event::{PollFd, PollFlags, poll};

use crate::registry::cache::{BlobCache, READ_LEN};
use crate::registry::cap::Cap;
use crate::registry::error::PullError;
use crate::registry::stop::PullStop;

/// The input in messages.
pub(crate) const INPUT_NAME: &str = "the given input";

/// An archive for the references `docker-archive:-` and `oci-archive:-`. Clones share it.
///
/// A regular file at its start is read in place. Anything else is copied to an unnamed file beside the cache, up to
/// [`PullOptions::max_download_bytes`](crate::PullOptions::max_download_bytes). That file vanishes with the last
/// clone or with the process. Several pulls may read an archive, one after the other, unless the copy failed.
#[derive(Clone)]
pub struct ArchiveInput(Arc<Mutex<InputState>>);

enum InputState {
    File(File),
    Reader(Box<dyn Read + Send>),
    /// A file that can be read at any place.
    Ready(File),
    /// Its bytes are lost.
    Taken,
}

impl ArchiveInput {
    /// Takes an archive from an open file: a pipe, a socket or a regular file. A cancelled pull ends at once, also
    /// while the other end of a pipe writes nothing.
    pub fn from_file(file: impl Into<OwnedFd>) -> Self {
        Self::of(InputState::File(File::from(file.into())))
    }

    /// Takes an archive from a reader. A read that blocks delays the end of a cancelled pull.
    pub fn from_reader(reader: impl Read + Send + 'static) -> Self {
        Self::of(InputState::Reader(Box::new(reader)))
    }

    fn of(input: InputState) -> Self {
        Self(Arc::new(Mutex::new(input)))
    }

    /// Returns the archive as a file that can be read at any place.
    pub(crate) fn file(&self, cache: &BlobCache, cap: Cap, stop: &PullStop) -> Result<File, PullError> {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let file = match std::mem::replace(&mut *state, InputState::Taken) {
            InputState::Taken => return Err(unusable("it was read before", "give it anew for each pull")),
            InputState::Ready(file) => file,
            InputState::Reader(reader) => spool(reader, cache, cap, stop)?,
            InputState::File(file) => seekable(file, cache, cap, stop)?,
        };
        let ready = file.try_clone().map_err(read_error)?;
        *state = InputState::Ready(file);
        Ok(ready)
    }
}

/// Returns a file that can be read at any place: `file` itself, or a copy of what comes.
fn seekable(mut file: File, cache: &BlobCache, cap: Cap, stop: &PullStop) -> Result<File, PullError> {
    let advice = "write an archive to it by a pipe or from a file";
    if rustix::termios::isatty(&file) {
        return Err(unusable("it is a terminal", advice));
    }
    let metadata = file.metadata().map_err(read_error)?;
    if metadata.is_dir() {
        return Err(unusable("it is a directory", advice));
    }
    if metadata.is_file() && file.stream_position().map_err(read_error)? == 0 {
        return match metadata.len() {
            0 => Err(empty()),
            _ => Ok(file),
        };
    }
    spool(Interruptible::new(file, stop)?, cache, cap, stop)
}

impl fmt::Debug for ArchiveInput {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ArchiveInput")
    }
}

/// Returns the error of a reference to an input that nobody gave.
pub(crate) fn no_input() -> PullError {
    PullError::Input {
        reason: "the reference means an input, and none is given".to_owned(),
        advice: Advice::with_setting(
            "give an open file by {setting}, or name a file in the reference",
            Setting("input"),
        ),
    }
}

fn unusable(reason: &str, advice: &'static str) -> PullError {
    PullError::Input { reason: reason.to_owned(), advice: Advice::new(advice) }
}

fn empty() -> PullError {
    unusable("it is empty", "check the program that writes it")
}

fn read_error(error: io::Error) -> PullError {
    PullError::io("read", INPUT_NAME.into())(error)
}

/// Copies a stream to an unnamed file beside the cache.
fn spool(mut reader: impl Read, cache: &BlobCache, cap: Cap, stop: &PullStop) -> Result<File, PullError> {
    let mut copy = SpooledFile::new(cache, cap, INPUT_NAME)?;
    let mut buffer = vec![0; READ_LEN];
    loop {
        stop.check()?;
        match reader.read(&mut buffer) {
            Ok(0) => break,
            Ok(count) => copy.push(&buffer[..count])?,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => {
                stop.check()?;
                return Err(read_error(error));
            }
        }
    }
    match copy.len {
        0 => Err(empty()),
        _ => Ok(copy.file),
    }
}

/// An unnamed file beside the cache that a stream is copied to.
#[derive(Debug)]
pub(crate) struct SpooledFile {
    pub(crate) file: File,
    pub(crate) len: u64,
    what: String,
    cap: Cap,
}

impl SpooledFile {
    pub(crate) fn new(cache: &BlobCache, cap: Cap, what: &str) -> Result<Self, PullError> {
        Ok(Self { file: cache.scratch_file()?, len: 0, what: what.to_owned(), cap })
    }

    pub(crate) fn push(&mut self, bytes: &[u8]) -> Result<(), PullError> {
        self.len += bytes.len() as u64;
        self.cap.check(self.len, &self.what)?;
        self.file.write_all(bytes).map_err(PullError::io("write a copy of", self.what.as_str().into()))
    }
}

/// A pipe or socket whose reads end when the pull is cancelled.
struct Interruptible {
    file: File,
    wake: PipeReader,
    _guard: banger_tree::CancelGuard,
}

impl Interruptible {
    fn new(file: File, stop: &PullStop) -> Result<Self, PullError> {
        let (wake, ring) = pipe().map_err(read_error)?;
        // The end of the pipe wakes.
        let guard = stop.on_stop(move || drop(ring));
        Ok(Self { file, wake, _guard: guard })
    }
}

impl Read for Interruptible {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let mut waits = [
            PollFd::from_borrowed_fd(self.file.as_fd(), PollFlags::IN),
            PollFd::from_borrowed_fd(self.wake.as_fd(), PollFlags::IN),
        ];
        poll(&mut waits, None)?;
        if !waits[1].revents().is_empty() {
            return Err(PullError::Cancelled.into_io());
        }
        match self.file.read(buffer) {
            // Another holder of the same open file may have made it so, and may have taken the bytes.
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Err(io::ErrorKind::Interrupted.into()),
            read => read,
        }
    }
}
