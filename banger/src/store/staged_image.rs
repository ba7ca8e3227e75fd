//! An image under construction.

use std::fs::Permissions;
use std::io;
use std::os::unix::fs::PermissionsExt as _;

use banger_oci::PulledReferrer;
use banger_tree::{Cancellation, write_new_file};
use camino::{Utf8Path, Utf8PathBuf};

use super::error::StoreError;
use super::files::{
    KERNEL_DIRECTORY, RECORD_FILE, REFERRERS_DIRECTORY, ROOTFS_FILE, STAGING_SUFFIX, VERITY_FILE,
};
use super::lease::ImageLease;
use super::record::ImageRecord;
use super::referrers::write_referrers;
use crate::host_file::open_plain_path;
use crate::id::ImageId;
use crate::kernel::{place_directory, place_file, place_kernel};
use crate::staging::{StagingDir, sync_tree};

/// Mode of an image and its record: images hold secrets, for example hashes of passwords.
const PRIVATE: u32 = 0o600;

/// A directory that is not published yet; removed on drop unless it was published.
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

    /// Returns the path for the file system.
    pub fn rootfs_path(&self) -> Utf8PathBuf {
        self.dir.path().join(ROOTFS_FILE)
    }

    /// Returns the path for the hash tree of dm-verity.
    pub(crate) fn verity_path(&self) -> Utf8PathBuf {
        self.dir.path().join(VERITY_FILE)
    }

    /// Puts the files of the kernel that came with an image into place, if one did. `rootfs` is the file of the image.
    pub(crate) fn place_kernel_of(
        &self,
        image: &ImageRecord,
        rootfs: &Utf8Path,
        cancellation: &Cancellation,
    ) -> Result<(), StoreError> {
        let Some(kernel) = &image.kernel else { return Ok(()) };
        place_kernel(kernel, &rootfs.with_file_name(KERNEL_DIRECTORY), &self.kernel_path(), cancellation)
    }

    /// Puts the hash tree of an image into place, if it has one. `rootfs` is the file of the image.
    pub(crate) fn place_verity_of(
        &self,
        image: &ImageRecord,
        rootfs: &Utf8Path,
        cancellation: &Cancellation,
    ) -> Result<(), StoreError> {
        match image.verity {
            Some(_) => place_file(&rootfs.with_file_name(VERITY_FILE), &self.verity_path(), cancellation),
            None => Ok(()),
        }
    }

    /// Puts the artifacts that refer to an image into place, if there are any. `rootfs` is the file of the image.
    pub(crate) fn place_referrers_of(
        &self,
        image: &ImageRecord,
        rootfs: &Utf8Path,
        cancellation: &Cancellation,
    ) -> Result<(), StoreError> {
        match image.referrers.is_empty() {
            true => Ok(()),
            false => place_directory(
                &rootfs.with_file_name(REFERRERS_DIRECTORY),
                &self.referrers_path(),
                cancellation,
            ),
        }
    }

    /// Writes the artifacts that refer to the image, if there are any.
    pub(crate) fn write_referrers(&self, referrers: &[PulledReferrer]) -> Result<(), StoreError> {
        match referrers {
            [] => Ok(()),
            referrers => write_referrers(&self.referrers_path(), referrers),
        }
    }

    fn referrers_path(&self) -> Utf8PathBuf {
        self.dir.path().join(REFERRERS_DIRECTORY)
    }

    /// Returns the path for the directory with the files of the kernel.
    pub(crate) fn kernel_path(&self) -> Utf8PathBuf {
        self.dir.path().join(KERNEL_DIRECTORY)
    }

    /// Flushes everything to the disk and publishes it with one rename. The image is leased before others can
    /// see it.
    pub(super) fn publish(self, record: &ImageRecord) -> Result<ImageLease, StoreError> {
        let verity = record.verity.as_ref().map(|_| self.verity_path());
        for path in [self.rootfs_path()].into_iter().chain(verity) {
            let flush = || {
                let file = open_plain_path(&path)?;
                file.set_permissions(Permissions::from_mode(PRIVATE))?;
                file.sync_all()
            };
            flush().map_err(|source| StoreError::io("flush", &path, source))?;
        }
        for directory in [self.kernel_path(), self.referrers_path()] {
            if directory.exists() {
                sync_tree(&directory).map_err(|source| StoreError::io("flush", &directory, source))?;
            }
        }
        write_record(self.dir.path(), record)?;
        let published = self.images.join(self.id.as_str());
        let failed = |source| StoreError::io("publish", &published, source);
        let lease = self.dir.open().and_then(ImageLease::of_new).map_err(failed)?;
        self.dir.publish(&published).map_err(failed)?;
        Ok(lease)
    }
}

/// Writes an image's record into its directory, all of it or nothing.
pub(super) fn write_record(dir: &Utf8Path, record: &ImageRecord) -> Result<(), StoreError> {
    write_json(dir, RECORD_FILE, record)
}

/// Writes a record into a directory of a store, all of it or nothing.
pub(crate) fn write_json(
    dir: &Utf8Path,
    file_name: &str,
    record: &impl serde::Serialize,
) -> Result<(), StoreError> {
    let path = dir.join(file_name);
    let mut json = serde_json::to_vec_pretty(record).expect("a record has only string keys");
    json.push(b'\n');
    let written = write_new_file(path.as_std_path(), PRIVATE, &json);
    written.map_err(|source| StoreError::io("write", &path, source.into()))
}
