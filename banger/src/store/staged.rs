//! An image under construction.

use std::fs::Permissions;
use std::io::{self, Write as _};
use std::os::unix::fs::PermissionsExt as _;

use camino::{Utf8Path, Utf8PathBuf};

use super::error::StoreError;
use super::record::{ImageId, ImageRecord};
use super::{RECORD_FILE, ROOTFS_FILE, STAGING_SUFFIX};
use crate::staging::{StagingDir, sync};

/// A directory that nobody sees yet, removed on drop unless it was published.
#[derive(Debug)]
pub struct StagedImage {
    id: ImageId,
    images: Utf8PathBuf,
    dir: StagingDir,
}

impl StagedImage {
    /// Makes a directory of a new id.
    pub(super) fn create(images: &Utf8Path) -> Result<Self, StoreError> {
        loop {
            let id = ImageId::random();
            let path = images.join(format!("{id}{STAGING_SUFFIX}"));
            match StagingDir::create(path.clone()) {
                Ok(dir) => return Ok(Self { id, images: images.to_owned(), dir }),
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                Err(source) => return Err(StoreError::io("create", &path, source)),
            }
        }
    }

    /// Returns the id that the image will have.
    pub fn id(&self) -> &ImageId {
        &self.id
    }

    /// Returns where the file system is to be written.
    pub fn rootfs_path(&self) -> Utf8PathBuf {
        self.dir.path().join(ROOTFS_FILE)
    }

    /// Flushes everything to the disk and makes it visible with one rename.
    pub(super) fn publish(self, record: &ImageRecord) -> Result<(), StoreError> {
        let rootfs = self.rootfs_path();
        sync(&rootfs).map_err(|source| StoreError::io("flush", &rootfs, source))?;
        write_record(self.dir.path(), record)?;
        let published = self.images.join(self.id.as_str());
        self.dir.publish(&published).map_err(|source| StoreError::io("publish", &published, source))
    }
}

/// Writes an image's record into its directory, all of it or nothing.
pub(super) fn write_record(dir: &Utf8Path, record: &ImageRecord) -> Result<(), StoreError> {
    let path = dir.join(RECORD_FILE);
    let failed = |source| StoreError::io("write", &path, source);
    let mut json = serde_json::to_vec_pretty(record).expect("a record has only string keys");
    json.push(b'\n');
    // As readable as the image beside it; what the umask takes is taken here, too.
    let permissions = Permissions::from_mode(0o666);
    let mut file = tempfile::Builder::new().permissions(permissions).tempfile_in(dir).map_err(failed)?;
    file.write_all(&json).and_then(|()| file.as_file().sync_all()).map_err(failed)?;
    file.persist(&path).map_err(|error| failed(error.error))?;
    sync(dir).map_err(failed)
}
