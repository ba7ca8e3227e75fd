//! Images in files of the host and on block devices.

use std::fs::{File, TryLockError};
use std::io;
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::time::{Duration, Instant};

use banger_tree::LockedFile;
use camino::Utf8Path;

use super::in_use::{self, Refusal};
use crate::editor::disk::storage::Storage;
use crate::sparse::punch_hole;

/// How long a lock is tried, and how long to wait in between. A caller cannot cancel the wait, so it is short.
const LOCK_TIME: Duration = Duration::from_millis(150);
const LOCK_PAUSE: Duration = Duration::from_millis(10);
/// How often to look for other users.
const LOOKS: usize = 50;

/// All bytes of a file.
pub(crate) const WHOLE: Range<u64> = 0..u64::MAX;

/// A file of the host, or a block device.
#[derive(Debug)]
pub(crate) struct FileStorage {
    file: LockedFile,
    /// Whether nobody else knows the file, and the caller flushes it.
    is_unpublished: bool,
    /// The bytes of the file that hold the file system. An open end is `u64::MAX`.
    range: Range<u64>,
}

impl FileStorage {
    /// Opens `path` to read and write, or only to read if the host does not allow writes.
    pub(crate) fn open(path: &Utf8Path, range: Range<u64>) -> io::Result<Self> {
        let file = match File::options().read(true).write(true).open(path) {
            Err(error)
                if matches!(
                    error.kind(),
                    io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem
                ) =>
            {
                File::open(path)?
            }
            other => other?,
        };
        // Kept until the file is closed: an disk that is about to commit sees its readers.
        lock(Instant::now(), || file.try_lock_shared())?;
        Ok(Self { file: LockedFile::of(file), is_unpublished: false, range })
    }

    /// Opens `path` to read and write, if no other program visibly uses it.
    pub(crate) fn open_alone(path: &Utf8Path, range: Range<u64>) -> Result<Self, Refusal> {
        let file = in_use::open(path)?;
        let started = Instant::now();
        let locked = lock(started, || file.try_lock())
            .and_then(|()| lock(started, || in_use::try_lock_for_monitors(&file)));
        locked.map_err(|error| match error.kind() {
            io::ErrorKind::ResourceBusy => Refusal::locked(),
            _ => Refusal::Io(error),
        })?;
        Ok(Self { file: LockedFile::of(file), is_unpublished: false, range })
    }

    /// Opens the file at `path`, which nobody else knows and which the caller flushes.
    pub(crate) fn open_unpublished(path: &Utf8Path) -> io::Result<Self> {
        let file = File::options().read(true).write(true).open(path)?;
        lock(Instant::now(), || file.try_lock())?;
        Ok(Self { file: LockedFile::of(file), is_unpublished: true, range: WHOLE })
    }
}

impl FileStorage {
    /// Returns the place of `length` bytes at `offset` in the file.
    fn at(&self, offset: u64, length: usize) -> io::Result<u64> {
        let at = self.range.start.checked_add(offset);
        let end = at.and_then(|at| at.checked_add(length as u64));
        match (at, end) {
            (Some(at), Some(end)) if end <= self.range.end => Ok(at),
            _ => Err(io::ErrorKind::UnexpectedEof.into()),
        }
    }
}

/// Tries for a moment, counted from `started`: another program may just be about to close the file.
fn lock(started: Instant, mut attempt: impl FnMut() -> Result<(), TryLockError>) -> io::Result<()> {
    loop {
        match attempt() {
            Ok(()) => return Ok(()),
            Err(TryLockError::WouldBlock) if started.elapsed() < LOCK_TIME => std::thread::sleep(LOCK_PAUSE),
            Err(TryLockError::WouldBlock) => return Err(in_use()),
            Err(TryLockError::Error(error)) => return Err(error),
        }
    }
}

fn in_use() -> io::Error {
    io::Error::new(io::ErrorKind::ResourceBusy, "another program has it open")
}

impl Drop for FileStorage {
    fn drop(&mut self) {
        in_use::unlock_for_monitors(&self.file);
    }
}

impl Storage for FileStorage {
    fn size_bytes(&self) -> io::Result<u64> {
        // A block device has no length in its metadata.
        let end = rustix::fs::seek(&self.file, rustix::fs::SeekFrom::End(0)).map_err(io::Error::from)?;
        Ok(end.min(self.range.end).saturating_sub(self.range.start))
    }

    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<()> {
        self.file.read_exact_at(buffer, self.at(offset, buffer.len())?)
    }

    fn write_at(&mut self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        self.file.write_all_at(bytes, self.at(offset, bytes.len())?)
    }

    fn sync(&mut self) -> io::Result<()> {
        if self.is_unpublished { Ok(()) } else { self.file.sync_data() }
    }

    fn set_size(&mut self, size_bytes: u64) -> io::Result<()> {
        let unsupported = |reason| Err(io::Error::new(io::ErrorKind::Unsupported, reason));
        let is_smaller = size_bytes < self.size_bytes()?;
        if is_smaller && !self.file.metadata()?.is_file() {
            return unsupported("a device has a fixed size");
        }
        if is_smaller && self.range.start > 0 {
            return unsupported("what lies behind a file system in the middle of a file is not its own");
        }
        match self.range.start.checked_add(size_bytes) {
            Some(end) if self.range.end == u64::MAX => self.file.set_len(end),
            _ => unsupported("the partition has a fixed size"),
        }
    }

    fn punch_hole(&mut self, offset: u64, length: u64) -> io::Result<()> {
        punch_hole(&self.file, self.at(offset, usize::try_from(length).unwrap_or(usize::MAX))?, length);
        Ok(())
    }

    fn next_data(&self, offset: u64) -> io::Result<u64> {
        let Some(start) = self.range.start.checked_add(offset) else { return Ok(u64::MAX) };
        match rustix::fs::seek(&self.file, rustix::fs::SeekFrom::Data(start)) {
            Ok(data) => Ok(data - self.range.start),
            Err(rustix::io::Errno::NXIO) => Ok(u64::MAX),
            // A device, or a file system, that knows no holes.
            Err(_) => Ok(offset),
        }
    }

    fn other_user(&self) -> Option<String> {
        if self.is_unpublished {
            return None;
        }
        // A program that is just being started has our files open, too.
        let mut user = None;
        for _ in 0..LOOKS {
            user = Some(in_use::other_user_of(&self.file)?);
            std::thread::sleep(LOCK_PAUSE);
        }
        user
    }

    fn is_unpublished(&self) -> bool {
        self.is_unpublished
    }

    fn lock(&mut self) -> io::Result<()> {
        lock(Instant::now(), || self.file.try_lock())
    }
}
