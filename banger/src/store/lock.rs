//! Advisory locks: held by an open file, gone with the process that held it.

use std::fs::{File, OpenOptions, TryLockError};

use camino::Utf8Path;

use super::error::StoreError;

/// A lock on a file, released when dropped.
#[derive(Debug)]
pub(super) struct Lock {
    _file: File,
}

impl Lock {
    /// Waits for the lock on `path`, which is created if missing.
    pub(super) fn exclusive(path: &Utf8Path) -> Result<Self, StoreError> {
        let file = open(path)?;
        file.lock().map_err(|source| StoreError::io("lock", path, source))?;
        Ok(Self { _file: file })
    }

    /// Returns the lock on `path`, or `None` while another process holds it.
    pub(super) fn try_exclusive(path: &Utf8Path) -> Result<Option<Self>, StoreError> {
        let file = open(path)?;
        match file.try_lock() {
            Ok(()) => Ok(Some(Self { _file: file })),
            Err(TryLockError::WouldBlock) => Ok(None),
            Err(TryLockError::Error(source)) => Err(StoreError::io("lock", path, source)),
        }
    }
}

fn open(path: &Utf8Path) -> Result<File, StoreError> {
    OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .open(path)
        .map_err(|source| StoreError::io("create", path, source))
}
