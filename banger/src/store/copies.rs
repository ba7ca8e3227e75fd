//! Copies of images: out of the store, and under another name within it.

use std::fs::{File, TryLockError};
use std::io;

use banger_ext4::copy_sparse;
use banger_tree::Cancellation;
use camino::Utf8Path;
use serde::{Deserialize, Serialize};

use super::error::StoreError;
use super::name::ImageName;
use super::record::{ImageId, ImageRecord};
use super::{ImageStore, ROOTFS_FILE, StagedImage};
use crate::error::Error;
use crate::host_file::{open_directory, open_plain};
use crate::identity::now;
use crate::output::{OutputFile, check_not_source};

/// The image that another one was cloned from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClonedFrom {
    /// Its id.
    pub id: ImageId,
    /// The name it had.
    pub name: ImageName,
}

impl ImageStore {
    /// Copies the file system of the image with this name, id or unique beginning of an id to the
    /// file `output`, with its holes, by reflink where the host can; returns the image's record.
    /// The file is complete when this returns and absent when it fails.
    ///
    /// # Errors
    /// There is no such image, somebody is editing it, the file exists and is not to be replaced, or
    /// it cannot be written.
    pub fn export(
        &self,
        wanted: &str,
        output: &Utf8Path,
        replace: bool,
        cancellation: &Cancellation,
    ) -> Result<ImageRecord, Error> {
        let record = self.find(wanted)?;
        let path = self.rootfs_path(&record.id);
        check_not_source(output, &path)?;
        let file = self.open_to_copy(&record)?;
        let metadata = file.metadata().map_err(|source| StoreError::io("read", &path, source))?;
        let target = OutputFile::create(output, replace)?.limited_to(&metadata);
        copy(&file, &target.partial_path(), cancellation, |source| Error::Output {
            action: "write",
            path: output.to_owned(),
            source,
        })?;
        target.publish()?;
        Ok(record)
    }

    /// Copies an image under a new name, as [`export`](Self::export) copies its file; returns the
    /// new image's record.
    ///
    /// # Errors
    /// There is no such image, somebody is editing it, the name is taken, or the state directory
    /// cannot be written; then nothing is published.
    pub fn clone_image(
        &self,
        wanted: &str,
        name: ImageName,
        cancellation: &Cancellation,
    ) -> Result<ImageRecord, Error> {
        let original = self.find(wanted)?;
        // Looked at again when it is published: this saves the copy.
        self.check_vacant(&name)?;
        let file = self.open_to_copy(&original)?;
        let staged = self.stage()?;
        let path = staged.rootfs_path();
        copy(&file, &path, cancellation, |source| StoreError::io("write", &path, source).into())?;
        let cloned_from = Some(ClonedFrom { id: original.id.clone(), name: original.name.clone() });
        let record = ImageRecord { name, created: now(), cloned_from, ..original };
        Ok(self.publish_new(staged, record)?)
    }

    fn check_vacant(&self, name: &ImageName) -> Result<(), StoreError> {
        match self.list()?.images.iter().any(|image| image.name == *name) {
            true => Err(StoreError::NameTaken { name: name.clone() }),
            false => Ok(()),
        }
    }

    /// Makes `staged` visible as the image `record` describes, whose name is not taken.
    fn publish_new(&self, staged: StagedImage, mut record: ImageRecord) -> Result<ImageRecord, StoreError> {
        let _names = self.lock_names()?;
        self.check_vacant(&record.name)?;
        record.id = staged.id().clone();
        record.replaces = None;
        staged.publish(&record)?;
        Ok(record)
    }

    /// Opens an image's file so that nobody edits it meanwhile.
    fn open_to_copy(&self, record: &ImageRecord) -> Result<File, StoreError> {
        let path = self.rootfs_path(&record.id);
        let failed = |source| StoreError::io("read", &path, source);
        let directory = open_directory(&self.directory(&record.id)).map_err(failed)?;
        let file = open_plain(&directory, ROOTFS_FILE).map_err(failed)?;
        match file.try_lock_shared() {
            Ok(()) => Ok(file),
            Err(TryLockError::WouldBlock) => Err(StoreError::InUse { path }),
            Err(TryLockError::Error(source)) => Err(failed(source)),
        }
    }
}

fn copy(
    from: &File,
    to: &Utf8Path,
    cancellation: &Cancellation,
    failed: impl FnOnce(io::Error) -> Error,
) -> Result<(), Error> {
    let copied = File::create_new(to).and_then(|to| copy_sparse(from, &to, cancellation));
    match cancellation.is_cancelled() {
        true => Err(Error::Cancelled),
        false => copied.map_err(failed),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_overwritten() {
        let dir = tempfile::tempdir().unwrap();
        let path = camino::Utf8PathBuf::from_path_buf(dir.path().join("there")).unwrap();
        std::fs::write(&path, "x").unwrap();
        let file = File::open(&path).unwrap();
        assert!(copy(&file, &path, &Cancellation::default(), |_| Error::Cancelled).is_err(), "it is there");
        assert_eq!(std::fs::read(&path).unwrap(), b"x");
    }
}
