//! Directories under construction: seen by nobody, and swept when their process is gone.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, PermissionsExt as _};
use std::time::{Duration, SystemTime};

use camino::{Utf8Path, Utf8PathBuf};
use rustix::process::geteuid;

use crate::lock::Lock;

/// Name of the file in a staging directory that its process holds a lock on.
const LOCK_FILE: &str = "lock";
/// A directory without that file is one whose process is about to make it, or died right there.
const LOCK_GRACE: Duration = Duration::from_secs(60);

/// A directory that its process holds a lock on, removed on drop unless it was given another name.
#[derive(Debug)]
pub(crate) struct StagingDir {
    path: Utf8PathBuf,
    _lock: Lock,
}

impl StagingDir {
    /// Makes the directory `path`, which must not exist.
    pub(crate) fn create(path: Utf8PathBuf) -> io::Result<Self> {
        // What an image holds is nobody else's to read before it is published.
        fs::DirBuilder::new().mode(0o700).create(&path)?;
        // Locked under another name first: a lock file that is there is one that somebody holds.
        let unlocked = path.join("lock.new");
        let locked = Lock::exclusive(&unlocked)
            .and_then(|lock| fs::rename(&unlocked, path.join(LOCK_FILE)).map(|()| lock));
        match locked {
            Ok(lock) => Ok(Self { path, _lock: lock }),
            Err(error) => {
                // What cannot be removed now is swept later.
                let _ = fs::remove_dir_all(&path);
                Err(error)
            }
        }
    }

    /// Returns where the directory is.
    pub(crate) fn path(&self) -> &Utf8Path {
        &self.path
    }

    /// Flushes the directory and gives it its final name.
    pub(crate) fn publish(self, path: &Utf8Path) -> io::Result<()> {
        fs::remove_file(self.path.join(LOCK_FILE))?;
        fs::set_permissions(&self.path, fs::Permissions::from_mode(0o755))?;
        sync(&self.path)?;
        fs::rename(&self.path, path)?;
        path.parent().map_or(Ok(()), sync)
    }
}

impl Drop for StagingDir {
    /// Does nothing after a publication: the directory has its final name then.
    fn drop(&mut self) {
        // What cannot be removed now is swept later.
        let _ = remove_tree(&self.path);
    }
}

/// Returns whether no live process builds in the staging directory `path`.
pub(crate) fn is_abandoned(path: &Utf8Path) -> bool {
    match Lock::try_existing(&path.join(LOCK_FILE)) {
        Ok(lock) => lock.is_some(),
        Err(error) if error.kind() == io::ErrorKind::NotFound => fs::metadata(path)
            .and_then(|metadata| metadata.modified())
            .is_ok_and(|made| SystemTime::now().duration_since(made).is_ok_and(|age| age > LOCK_GRACE)),
        Err(_) => false,
    }
}

/// Removes the staging directories in `parent` whose names start and end like this, that this
/// user's processes made and that none of them holds any more.
pub(crate) fn sweep(parent: &Utf8Path, prefix: &str, suffix: &str) -> io::Result<()> {
    for entry in parent.read_dir_utf8()? {
        let entry = entry?;
        let name = entry.file_name();
        if !name.starts_with(prefix) || !name.ends_with(suffix) {
            continue;
        }
        // Gone since the directory was read, if not.
        let Ok(metadata) = fs::symlink_metadata(entry.path()) else { continue };
        let is_ours = metadata.is_dir() && metadata.uid() == geteuid().as_raw();
        if is_ours && is_abandoned(entry.path()) {
            remove_tree(entry.path())?;
        }
    }
    Ok(())
}

/// Removes a directory and all in it, if it is there.
pub(crate) fn remove_tree(path: &Utf8Path) -> io::Result<()> {
    match fs::remove_dir_all(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

/// Waits until a file or directory is on the disk.
pub(crate) fn sync(path: &Utf8Path) -> io::Result<()> {
    File::open(path)?.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_nobody_holds_is_abandoned() {
        let dir = tempfile::tempdir().unwrap();
        let path = Utf8PathBuf::from_path_buf(dir.path().join("x.staging")).unwrap();
        let staging = StagingDir::create(path.clone()).unwrap();
        assert!(!is_abandoned(&path));
        drop(staging);
        assert!(!path.exists());
        fs::create_dir(&path).unwrap();
        assert!(!is_abandoned(&path), "its process may be about to lock it");
        let old = SystemTime::now() - LOCK_GRACE * 2;
        File::open(&path).unwrap().set_modified(old).unwrap();
        assert!(is_abandoned(&path));
        fs::write(path.join(LOCK_FILE), "").unwrap();
        assert!(is_abandoned(&path));
    }
}
