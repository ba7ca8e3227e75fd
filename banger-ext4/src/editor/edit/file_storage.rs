//! Images in files of the host and on block devices.

use std::fs::{File, TryLockError};
use std::io;
use std::os::unix::fs::FileExt;
use std::time::Duration;

use camino::Utf8Path;

use super::in_use::{self, Refusal};
use crate::editor::disk::storage::Storage;
use crate::sparse::punch_hole;

/// How often a lock is tried, and how long to wait in between.
const LOCK_ATTEMPTS: usize = 50;
const LOCK_PAUSE: Duration = Duration::from_millis(10);

/// A file of the host, or a block device.
#[derive(Debug)]
pub(crate) struct FileStorage {
    file: File,
}

impl FileStorage {
    /// Opens `path` to read and write, or only to read if the host does not allow writes.
    pub(crate) fn open(path: &Utf8Path) -> io::Result<Self> {
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
        lock(|| file.try_lock_shared())?;
        Ok(Self { file })
    }

    /// Opens `path` to read and write, if no other program visibly uses it.
    pub(crate) fn open_alone(path: &Utf8Path) -> Result<Self, Refusal> {
        let file = in_use::open(path)?;
        let locked = lock(|| file.try_lock()).and_then(|()| lock(|| in_use::try_lock_for_monitors(&file)));
        locked.map_err(|error| match error.kind() {
            io::ErrorKind::ResourceBusy => Refusal::locked(),
            _ => Refusal::Io(error),
        })?;
        Ok(Self { file })
    }
}

/// Tries for a moment: a program that is just being started may share our descriptors, and with
/// them the locks of files that we closed.
fn lock(mut attempt: impl FnMut() -> Result<(), TryLockError>) -> io::Result<()> {
    for _ in 0..LOCK_ATTEMPTS {
        match attempt() {
            Ok(()) => return Ok(()),
            Err(TryLockError::WouldBlock) => std::thread::sleep(LOCK_PAUSE),
            Err(TryLockError::Error(error)) => return Err(error),
        }
    }
    Err(in_use())
}

fn in_use() -> io::Error {
    io::Error::new(io::ErrorKind::ResourceBusy, "another program has it open")
}

impl Storage for FileStorage {
    fn size_bytes(&self) -> io::Result<u64> {
        // A block device has no length in its metadata.
        rustix::fs::seek(&self.file, rustix::fs::SeekFrom::End(0)).map_err(io::Error::from)
    }

    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<()> {
        self.file.read_exact_at(buffer, offset)
    }

    fn write_at(&mut self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        self.file.write_all_at(bytes, offset)
    }

    fn sync(&mut self) -> io::Result<()> {
        self.file.sync_data()
    }

    fn set_size(&mut self, size_bytes: u64) -> io::Result<()> {
        self.file.set_len(size_bytes)
    }

    fn punch_hole(&mut self, offset: u64, length: u64) -> io::Result<()> {
        punch_hole(&self.file, offset, length);
        Ok(())
    }

    fn next_data(&self, offset: u64) -> io::Result<u64> {
        match rustix::fs::seek(&self.file, rustix::fs::SeekFrom::Data(offset)) {
            Ok(data) => Ok(data),
            Err(rustix::io::Errno::NXIO) => Ok(u64::MAX),
            // A device, or a file system, that knows no holes.
            Err(_) => Ok(offset),
        }
    }

    fn other_user(&self) -> Option<String> {
        // As with locks: a program that is just being started has our files open, too.
        let mut user = None;
        for _ in 0..LOCK_ATTEMPTS {
            user = Some(in_use::other_user_of(&self.file)?);
            std::thread::sleep(LOCK_PAUSE);
        }
        user
    }

    fn lock(&mut self) -> io::Result<()> {
        lock(|| self.file.try_lock())
    }
}
