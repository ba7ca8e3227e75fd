//! Leases: an image that is used is not removed.

use std::fs::{self, File, TryLockError};
use std::io;
use std::sync::Arc;

use banger_kernel::Kernel;
use banger_tree::{Cancellation, LockedFile};
use camino::{Utf8Path, Utf8PathBuf};

use super::error::StoreError;
use super::files::{REPLACED_FILE, ROOTFS_FILE};
use super::record::ImageRecord;
use crate::host_file::{open_directory, open_plain};
use crate::lock::{is_at, wait_for};

/// Keeps an image and its file in their place. While a lease or a clone of it lives, in any thread or
/// process, the image is not removed or swept. Another image may take its name, but the leased image keeps
/// its path. A lease ends with its process.
#[derive(Clone, Debug)]
pub struct ImageLease {
    /// The image's directory, with a shared lock.
    _directory: Arc<LockedFile>,
}

/// An image of the store, kept in its place.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct StoredImage {
    /// Its record.
    pub record: ImageRecord,
    /// Its ext4 file.
    pub path: Utf8PathBuf,
    /// Keeps the file at its path.
    pub lease: ImageLease,
}

impl StoredImage {
    /// Returns the kernel that came with the image, with its files; `None` if there is none. The files stay in
    /// their places as long as the lease.
    pub fn kernel(&self) -> Option<Kernel> {
        self.record.kernel_beside(&self.path)
    }
}

impl ImageLease {
    /// Takes a lease on a directory that is not published yet.
    pub(crate) fn of_new(directory: File) -> io::Result<Self> {
        directory.lock_shared()?;
        Ok(Self { _directory: Arc::new(LockedFile::of(directory)) })
    }

    /// Takes a lease on the image in `directory`, or returns `None` if the image no longer exists.
    pub(crate) fn take(
        directory: &Utf8Path,
        cancellation: &Cancellation,
    ) -> Result<Option<Self>, StoreError> {
        let failed = |source| StoreError::io("read", directory, source);
        let file = match open_directory(directory) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(failed(error)),
        };
        // Who removes an image has it alone for as long as a rename takes.
        wait_for(|| file.try_lock_shared(), cancellation, || {})
            .map_err(|error| StoreError::lock(directory, error))?;
        let is_there = is_at(directory, &file).map_err(failed)? && !is_replaced(directory);
        Ok(is_there.then(|| Self { _directory: Arc::new(LockedFile::of(file)) }))
    }
}

/// Returns whether another image has taken the name of the one in `directory`.
pub(super) fn is_replaced(directory: &Utf8Path) -> bool {
    fs::symlink_metadata(directory.join(REPLACED_FILE)).is_ok()
}

/// An unused image: nobody can take a lease while this lives.
#[derive(Debug)]
pub(crate) struct UnusedImage {
    _locked: Vec<LockedFile>,
}

impl UnusedImage {
    /// Returns `None` if the image in `directory` is leased, or its file is being edited or copied.
    pub(crate) fn take(directory: &Utf8Path) -> Option<Self> {
        // A place that cannot be opened, or is not a directory, is not in use.
        let Ok(opened) = open_directory(directory) else { return Some(Self { _locked: Vec::new() }) };
        let rootfs = open_plain(&opened, ROOTFS_FILE).ok();
        let mut locked = Vec::new();
        for file in [Some(opened), rootfs].into_iter().flatten() {
            // If the host has no locks of this kind, nobody holds one.
            if matches!(file.try_lock(), Err(TryLockError::WouldBlock)) {
                return None;
            }
            locked.push(LockedFile::of(file));
        }
        Some(Self { _locked: locked })
    }
}
