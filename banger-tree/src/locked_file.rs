//! An open file with an advisory lock, which ends at once when the file is closed.

use std::fs::File;
use std::ops::Deref;
use std::os::fd::{AsFd, BorrowedFd};

/// An open file with a `flock` lock. Dropping it releases the lock.
///
/// Closing a file does not always release its lock: a child process between `fork` and `exec`, or one that never
/// calls `exec`, has a copy of the descriptor, and the lock lives as long as any copy. So the lock is released
/// first, for all copies.
#[derive(Debug)]
pub struct LockedFile(File);

impl LockedFile {
    /// Takes over a file that the caller has locked. Other copies of its descriptor lose the lock with this one.
    #[must_use]
    pub fn of(file: File) -> Self {
        Self(file)
    }
}

impl Deref for LockedFile {
    type Target = File;

    fn deref(&self) -> &File {
        &self.0
    }
}

impl AsFd for LockedFile {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

impl Drop for LockedFile {
    fn drop(&mut self) {
        // If the host has no locks of this kind, there was none.
        let _ = self.0.unlock();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_copy_of_the_descriptor_does_not_keep_the_lock() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("file");
        let file = File::create_new(&path).unwrap();
        // As a child has it after fork.
        let copy = file.try_clone().unwrap();
        file.lock().unwrap();
        let locked = LockedFile::of(file);
        let other = File::open(&path).unwrap();
        assert!(other.try_lock_shared().is_err());
        drop(locked);
        other.try_lock().unwrap();
        drop(copy);
    }
}
