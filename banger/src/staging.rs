//! Directories under construction: invisible to users, and swept when their process is gone.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, PermissionsExt as _};
use std::time::Duration;

use camino::{Utf8Path, Utf8PathBuf};
use rustix::process::geteuid;

use crate::host_file::open_directory;
use crate::id::ImageId;
use crate::lock::Lock;

/// Suffix of the name of a directory's lock. The lock file lies beside the directory; it is made before the
/// directory and removed after it. A directory without a lock belongs to nobody.
const LOCK_SUFFIX: &str = ".lock";

/// How often a lock is made again that a sweep of another thread or process took for a leftover, and the pause
/// between: the sweep removes the file at once.
const SWEPT_ATTEMPTS: u32 = 2000;
const SWEPT_PAUSE: Duration = Duration::from_millis(1);

/// A directory that its process holds a lock on, removed on drop unless it was given another name.
#[derive(Debug)]
pub(crate) struct StagingDir {
    path: Utf8PathBuf,
    _lock: Lock,
}

impl StagingDir {
    /// Makes the directory `path`, which must not exist.
    pub(crate) fn create(path: Utf8PathBuf) -> io::Result<Self> {
        let lock_path = lock_path(&path);
        let mut attempts_left = SWEPT_ATTEMPTS;
        let lock = loop {
            match Lock::create_new(&lock_path) {
                Ok(Some(lock)) => break lock,
                // A sweep took the new file for a leftover, and removes it now.
                Ok(None) if attempts_left > 0 => {}
                Err(error)
                    if error.kind() == io::ErrorKind::AlreadyExists
                        && (1..SWEPT_ATTEMPTS).contains(&attempts_left) =>
                {
                    std::thread::sleep(SWEPT_PAUSE);
                }
                Ok(None) => return Err(io::ErrorKind::AlreadyExists.into()),
                Err(error) => return Err(error),
            }
            attempts_left -= 1;
        };
        // Other users cannot read an image before it is published, and never a managed one.
        match fs::DirBuilder::new().mode(0o700).create(&path) {
            Ok(()) => Ok(Self { path, _lock: lock }),
            Err(error) => {
                // A leftover is swept later.
                let _ = fs::remove_file(&lock_path);
                Err(error)
            }
        }
    }

    /// Returns the path of the directory.
    pub(crate) fn path(&self) -> &Utf8Path {
        &self.path
    }

    /// Opens the directory.
    pub(crate) fn open(&self) -> io::Result<File> {
        open_directory(&self.path)
    }

    /// Flushes the directory and gives it its final name.
    pub(crate) fn publish(self, path: &Utf8Path) -> io::Result<()> {
        sync(&self.path)?;
        fs::rename(&self.path, path)?;
        path.parent().map_or(Ok(()), sync)
    }
}

impl Drop for StagingDir {
    /// Leaves a published directory alone: it has its final name then.
    fn drop(&mut self) {
        // A leftover is swept later.
        let _ = remove_staging(&self.path);
    }
}

fn lock_path(path: &Utf8Path) -> Utf8PathBuf {
    Utf8PathBuf::from(format!("{path}{LOCK_SUFFIX}"))
}

/// Removes a staging directory, if it exists, then its lock. In the other order, a crash would leave a
/// directory without a lock.
fn remove_staging(path: &Utf8Path) -> io::Result<()> {
    remove_tree(path)?;
    match fs::remove_file(lock_path(path)) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

/// Removes the staging directories in `parent` with names `<prefix><id><suffix>` that this user's processes
/// made and no process holds any more.
pub(crate) fn sweep(parent: &Utf8Path, prefix: &str, suffix: &str) -> io::Result<()> {
    sweep_after(parent, prefix, suffix, |_| Ok(()))
}

/// Like [`sweep`], but calls `prepare` with each directory before its removal.
pub(crate) fn sweep_after(
    parent: &Utf8Path,
    prefix: &str,
    suffix: &str,
    prepare: impl Fn(&Utf8Path) -> io::Result<()>,
) -> io::Result<()> {
    for entry in parent.read_dir_utf8()? {
        let entry = entry?;
        let name = entry.file_name();
        let staging = name.strip_suffix(LOCK_SUFFIX).unwrap_or(name);
        let id = staging.strip_prefix(prefix).and_then(|rest| rest.strip_suffix(suffix));
        if !id.is_some_and(ImageId::is_id) {
            continue;
        }
        // Gone since the directory was read, if not.
        let Ok(metadata) = fs::symlink_metadata(entry.path()) else { continue };
        if metadata.uid() != geteuid().as_raw() {
            continue;
        }
        let path = parent.join(staging);
        match Lock::try_existing(&lock_path(&path)) {
            Ok(Some(_lock)) => {
                prepare(&path)?;
                remove_staging(&path)?;
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound && metadata.is_dir() => {
                prepare(&path)?;
                remove_tree(&path)?;
            }
            Ok(None) | Err(_) => {}
        }
    }
    Ok(())
}

/// Removes a directory and everything in it, or another file of its name, if it exists. Follows no symlink.
pub(crate) fn remove_tree(path: &Utf8Path) -> io::Result<()> {
    let removed = match fs::remove_dir_all(path) {
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
            open_directories(path);
            fs::remove_dir_all(path)
        }
        Err(error) if error.kind() == io::ErrorKind::NotADirectory => fs::remove_file(path),
        other => other,
    };
    match removed {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

/// Gives their owner the permissions to remove what is in the directories at and below `top`: copies of an image have its
/// modes. Follows no symlink.
fn open_directories(top: &Utf8Path) {
    let mut pending = vec![top.as_std_path().to_owned()];
    while let Some(dir) = pending.pop() {
        if !fs::symlink_metadata(&dir).is_ok_and(|metadata| metadata.is_dir()) {
            continue;
        }
        // A failure shows when the directory is removed.
        let _ = fs::set_permissions(&dir, fs::Permissions::from_mode(0o700));
        for entry in fs::read_dir(&dir).into_iter().flatten().flatten() {
            if entry.file_type().is_ok_and(|file_type| file_type.is_dir()) {
                pending.push(entry.path());
            }
        }
    }
}

/// Waits until a file or directory is on the disk.
pub(crate) fn sync(path: &Utf8Path) -> io::Result<()> {
    File::open(path)?.sync_all()
}

/// Waits until a directory with thousands of files is on the disk.
#[cfg(target_os = "linux")]
pub(crate) fn sync_tree(directory: &Utf8Path) -> io::Result<()> {
    // One call for the file system is much faster than one for each file.
    Ok(rustix::fs::syncfs(File::open(directory)?)?)
}

/// Waits until a directory with thousands of files is on the disk.
#[cfg(not(target_os = "linux"))]
pub(crate) fn sync_tree(directory: &Utf8Path) -> io::Result<()> {
    for entry in directory.read_dir_utf8()? {
        let entry = entry?;
        match entry.file_type()?.is_dir() {
            true => sync_tree(entry.path())?,
            false => sync(entry.path())?,
        }
    }
    File::open(directory)?.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sweep_beside_a_creation_does_no_harm() {
        let dir = tempfile::tempdir().unwrap();
        let parent = Utf8Path::from_path(dir.path()).unwrap();
        let stop = std::sync::atomic::AtomicBool::new(false);
        std::thread::scope(|scope| {
            for _ in 0..2 {
                scope.spawn(|| {
                    while !stop.load(std::sync::atomic::Ordering::Relaxed) {
                        sweep(parent, "", ".staging").unwrap();
                    }
                });
            }
            for _ in 0..500 {
                let path = parent.join(format!("{}.staging", ImageId::random()));
                let made = StagingDir::create(path.clone());
                let is_there = made.as_ref().is_ok_and(|made| made.path().is_dir());
                stop.fetch_or(!is_there, std::sync::atomic::Ordering::Relaxed);
                assert!(is_there, "{made:?}");
            }
            stop.store(true, std::sync::atomic::Ordering::Relaxed);
        });
    }

    #[test]
    fn only_what_nobody_holds_is_swept() {
        let dir = tempfile::tempdir().unwrap();
        let parent = Utf8Path::from_path(dir.path()).unwrap();
        let names = || {
            let mut names: Vec<String> =
                parent.read_dir_utf8().unwrap().map(|entry| entry.unwrap().file_name().to_owned()).collect();
            names.sort();
            names
        };
        let live = StagingDir::create(parent.join("00000000000a.staging")).unwrap();
        // Killed after each step that a creation and a publication have.
        fs::write(parent.join("00000000000b.staging.lock"), "").unwrap();
        fs::write(parent.join("00000000000c.staging.lock"), "").unwrap();
        fs::create_dir(parent.join("00000000000c.staging")).unwrap();
        fs::write(parent.join("00000000000d.staging.lock"), "").unwrap();
        fs::create_dir(parent.join("00000000000d")).unwrap();
        fs::create_dir(parent.join("00000000000e.staging")).unwrap();
        // A directory of the user.
        fs::create_dir(parent.join("mine.staging")).unwrap();
        sweep(parent, "", ".staging").unwrap();
        let kept = ["00000000000a.staging", "00000000000a.staging.lock", "00000000000d", "mine.staging"];
        assert_eq!(names(), kept);
        drop(live);
        assert_eq!(names(), ["00000000000d", "mine.staging"]);
    }
}
