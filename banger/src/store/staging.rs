//! An image under construction.

use std::fs::{self, File};
use std::io::{self, Write as _};

use camino::{Utf8Path, Utf8PathBuf};

use super::error::StoreError;
use super::lock::Lock;
use super::record::{ImageId, ImageRecord};
use super::{RECORD_FILE, ROOTFS_FILE, STAGING_SUFFIX, remove_tree};

const LOCK_FILE: &str = "lock";

/// A directory that nobody sees yet, removed on drop unless it was published.
#[derive(Debug)]
pub struct StagedImage {
    id: ImageId,
    images: Utf8PathBuf,
    dir: Utf8PathBuf,
    _lock: Lock,
}

impl StagedImage {
    /// Makes a directory of a new id. The caller holds the lock on names, so that no sweep comes
    /// between making the directory and locking it.
    pub(super) fn create(images: &Utf8Path, _names: &Lock) -> Result<Self, StoreError> {
        let (id, dir) = loop {
            let id = ImageId::random();
            let dir = images.join(format!("{id}{STAGING_SUFFIX}"));
            match fs::create_dir(&dir) {
                Ok(()) => break (id, dir),
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                Err(source) => return Err(StoreError::io("create", &dir, source)),
            }
        };
        let lock = Lock::exclusive(&dir.join(LOCK_FILE))?;
        Ok(Self { id, images: images.to_owned(), dir, _lock: lock })
    }

    /// Returns the id that the image will have.
    pub fn id(&self) -> &ImageId {
        &self.id
    }

    /// Returns where the file system is to be written.
    pub fn rootfs_path(&self) -> Utf8PathBuf {
        self.dir.join(ROOTFS_FILE)
    }

    /// Flushes everything to the disk and makes it visible with one rename.
    pub(super) fn publish(self, record: &ImageRecord) -> Result<(), StoreError> {
        sync(&self.rootfs_path())?;
        write_record(&self.dir, record)?;
        let lock = self.dir.join(LOCK_FILE);
        fs::remove_file(&lock).map_err(|source| StoreError::io("remove", &lock, source))?;
        let published = self.images.join(self.id.as_str());
        fs::rename(&self.dir, &published).map_err(|source| StoreError::io("publish", &published, source))?;
        sync(&self.images)
    }
}

impl Drop for StagedImage {
    /// Does nothing after a publication: the directory has its final name then.
    fn drop(&mut self) {
        // What cannot be removed now is swept at the next start.
        let _ = remove_tree(&self.dir);
    }
}

/// Returns whether no live process builds in this staging directory. The caller holds the lock on
/// names.
pub(super) fn is_abandoned(dir: &Utf8Path) -> bool {
    matches!(Lock::try_exclusive(&dir.join(LOCK_FILE)), Ok(Some(_)))
}

/// Writes an image's record into its directory, all of it or nothing.
pub(super) fn write_record(dir: &Utf8Path, record: &ImageRecord) -> Result<(), StoreError> {
    let path = dir.join(RECORD_FILE);
    let failed = |source| StoreError::io("write", &path, source);
    let mut json = serde_json::to_vec_pretty(record).expect("a record has only string keys");
    json.push(b'\n');
    let mut file = tempfile::NamedTempFile::new_in(dir).map_err(failed)?;
    file.write_all(&json).and_then(|()| file.as_file().sync_all()).map_err(failed)?;
    file.persist(&path).map_err(|error| failed(error.error))?;
    sync(dir)
}

/// Waits until a file or directory is on the disk.
pub(crate) fn sync(path: &Utf8Path) -> Result<(), StoreError> {
    File::open(path).and_then(|file| file.sync_all()).map_err(|source| StoreError::io("flush", path, source))
}
