//! Advisory locks: an open file holds the lock, and the kernel drops it with the process.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io;
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::time::Duration;

use banger_tree::{Cancellation, LockedFile};
use camino::{Utf8Path, Utf8PathBuf};

use crate::host_file::{open_lock, open_plain_path};

/// The first pause between two attempts to take a lock, which doubles up to the longest.
const FIRST_PAUSE: Duration = Duration::from_millis(1);
const LONGEST_PAUSE: Duration = Duration::from_millis(50);

/// The reason why a lock was not taken.
#[derive(Debug)]
pub(crate) enum LockError {
    /// The caller asked to stop.
    Cancelled,
    /// The host refuses.
    Io(io::Error),
}

impl From<io::Error> for LockError {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

/// Calls `attempt` until it takes a lock, or until the caller asks to stop. Calls `on_wait` once, before
/// the first pause.
pub(crate) fn wait_for(
    attempt: impl Fn() -> Result<(), TryLockError>,
    cancellation: &Cancellation,
    on_wait: impl FnOnce(),
) -> Result<(), LockError> {
    let (mut on_wait, mut pause) = (Some(on_wait), FIRST_PAUSE);
    loop {
        match attempt() {
            Ok(()) => return Ok(()),
            Err(TryLockError::Error(error)) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(TryLockError::Error(error)) => return Err(error.into()),
            Err(TryLockError::WouldBlock) => {
                if let Some(on_wait) = on_wait.take() {
                    on_wait();
                }
                if cancellation.sleep(pause) {
                    return Err(LockError::Cancelled);
                }
                pause = (pause * 2).min(LONGEST_PAUSE);
            }
        }
    }
}

/// Returns whether `path` still leads to the open file.
pub(crate) fn is_at(path: &Utf8Path, file: &File) -> io::Result<bool> {
    let open = file.metadata()?;
    match fs::symlink_metadata(path) {
        Ok(found) => Ok((found.dev(), found.ino()) == (open.dev(), open.ino())),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error),
    }
}

/// An exclusive lock on a file, released when dropped.
#[derive(Debug)]
pub(crate) struct Lock {
    _file: LockedFile,
}

impl Lock {
    /// Waits for the lock on `path`. The file is created if missing, and stays.
    pub(crate) fn wait(path: &Utf8Path, cancellation: &Cancellation) -> Result<Self, LockError> {
        let file = open_lock(path)?;
        wait_for(|| file.try_lock(), cancellation, || {})?;
        Ok(Self { _file: LockedFile::of(file) })
    }

    /// Creates the file `path` and returns the lock on it, or `None` if a sweep removed the file before the
    /// lock.
    pub(crate) fn create_new(path: &Utf8Path) -> io::Result<Option<Self>> {
        // Private: other users must not hold the lock.
        let file = OpenOptions::new().read(true).write(true).create_new(true).mode(0o600).open(path)?;
        match file.try_lock() {
            Ok(()) if file.metadata()?.nlink() > 0 => Ok(Some(Self { _file: LockedFile::of(file) })),
            Ok(()) | Err(TryLockError::WouldBlock) => Ok(None),
            Err(TryLockError::Error(error)) => Err(error),
        }
    }

    /// Returns the lock on the existing file `path`, or `None` while another process or thread holds it, or if the
    /// file was removed meanwhile: then another file may have its name, with another holder.
    pub(crate) fn try_existing(path: &Utf8Path) -> io::Result<Option<Self>> {
        let file = open_plain_path(path)?;
        match file.try_lock() {
            Ok(()) if is_at(path, &file)? => Ok(Some(Self { _file: LockedFile::of(file) })),
            Ok(()) => Ok(None),
            Err(TryLockError::WouldBlock) => Ok(None),
            Err(TryLockError::Error(error)) => Err(error),
        }
    }
}

/// An exclusive lock on a file that is only for the lock and is removed with it.
#[derive(Debug)]
pub(crate) struct TransientLock {
    path: Utf8PathBuf,
    _file: LockedFile,
}

impl TransientLock {
    /// Waits for the lock on `path`, which is created if missing. Calls `on_wait` once if another process or
    /// thread holds the lock.
    pub(crate) fn wait(
        path: &Utf8Path,
        cancellation: &Cancellation,
        on_wait: impl FnOnce(),
    ) -> Result<Self, LockError> {
        let mut on_wait = Some(on_wait);
        loop {
            let file = open_lock(path)?;
            let tell = || {
                if let Some(on_wait) = on_wait.take() {
                    on_wait();
                }
            };
            wait_for(|| file.try_lock(), cancellation, tell)?;
            // The one before removed the file.
            if is_at(path, &file)? {
                return Ok(Self { path: path.to_owned(), _file: LockedFile::of(file) });
            }
        }
    }

    /// Removes the file `path` if nobody holds the lock on it.
    pub(crate) fn remove_stale(path: &Utf8Path) -> io::Result<()> {
        let file = open_plain_path(path)?;
        if file.try_lock().is_ok() && is_at(path, &file)? {
            fs::remove_file(path)?;
        }
        Ok(())
    }
}

impl Drop for TransientLock {
    fn drop(&mut self) {
        // Before the lock is free, so that no other process holds the file. A leftover is swept later.
        let _ = fs::remove_file(&self.path);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};

    use super::*;

    #[test]
    fn one_holder_at_a_time_and_no_file_left() {
        const THREADS: u32 = 8;
        let dir = tempfile::tempdir().unwrap();
        let path = Utf8PathBuf::from_path_buf(dir.path().join("lock")).unwrap();
        let (inside, turns) = (AtomicU32::new(0), AtomicU32::new(0));
        std::thread::scope(|scope| {
            for _ in 0..THREADS {
                scope.spawn(|| {
                    for _ in 0..20 {
                        let lock = TransientLock::wait(&path, &Cancellation::new(), || {}).unwrap();
                        assert_eq!(inside.fetch_add(1, Ordering::SeqCst), 0, "two hold the lock");
                        turns.fetch_add(1, Ordering::SeqCst);
                        inside.fetch_sub(1, Ordering::SeqCst);
                        drop(lock);
                    }
                });
            }
        });
        assert_eq!(turns.into_inner(), THREADS * 20);
        assert!(!path.exists());
    }

    #[test]
    fn a_wait_is_told_once_and_ends_when_it_is_cancelled() {
        let dir = tempfile::tempdir().unwrap();
        let path = Utf8PathBuf::from_path_buf(dir.path().join("lock")).unwrap();
        let _held = TransientLock::wait(&path, &Cancellation::new(), || panic!("nobody holds it")).unwrap();
        let cancellation = Cancellation::new();
        let told = AtomicU32::new(0);
        std::thread::scope(|scope| {
            let waiter = scope.spawn(|| {
                TransientLock::wait(&path, &cancellation, || {
                    told.fetch_add(1, Ordering::SeqCst);
                })
            });
            while told.load(Ordering::SeqCst) == 0 {
                std::thread::yield_now();
            }
            TransientLock::remove_stale(&path).unwrap();
            assert!(path.exists(), "it is held");
            cancellation.cancel();
            assert!(matches!(waiter.join().unwrap(), Err(LockError::Cancelled)));
        });
        assert_eq!(told.into_inner(), 1);
    }
}
