//! Advisory locks: held by an open file, gone with the process that held it.

use std::fs::{File, OpenOptions, TryLockError};
use std::io;
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};

use camino::Utf8Path;

use crate::host_file::{open_lock, open_plain_path};

/// A lock on a file, released when dropped.
#[derive(Debug)]
pub(crate) struct Lock {
    _file: File,
}

impl Lock {
    /// Waits for the lock on `path`, which is created if missing.
    pub(crate) fn exclusive(path: &Utf8Path) -> io::Result<Self> {
        let file = open_lock(path)?;
        file.lock()?;
        Ok(Self { _file: file })
    }

    /// Creates the file `path` and returns the lock on it, or `None` where a sweep took the file
    /// away before it was locked.
    pub(crate) fn create_new(path: &Utf8Path) -> io::Result<Option<Self>> {
        // Private: nobody else is to hold the lock.
        let file = OpenOptions::new().read(true).write(true).create_new(true).mode(0o600).open(path)?;
        match file.try_lock() {
            Ok(()) if file.metadata()?.nlink() > 0 => Ok(Some(Self { _file: file })),
            Ok(()) | Err(TryLockError::WouldBlock) => Ok(None),
            Err(TryLockError::Error(error)) => Err(error),
        }
    }

    /// Returns the lock on the existing file `path`, or `None` while another process holds it.
    pub(crate) fn try_existing(path: &Utf8Path) -> io::Result<Option<Self>> {
        let file = open_plain_path(path)?;
        match file.try_lock() {
            Ok(()) => Ok(Some(Self { _file: file })),
            Err(TryLockError::WouldBlock) => Ok(None),
            Err(TryLockError::Error(error)) => Err(error),
        }
    }
}
