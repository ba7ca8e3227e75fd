//! Copies of images: out of the store, and under another name within it.

use std::fs::{File, TryLockError};
use std::io;

use banger_ext4::copy_sparse;
use banger_tree::{Cancellation, LockedFile};
use camino::Utf8Path;

use super::error::StoreError;
use super::files::ROOTFS_FILE;
use super::image_store::ImageStore;
use super::lease::StoredImage;
use super::name::ImageName;
use super::record::{ClonedFrom, ImageRecord};
use crate::host_file::{open_directory, open_plain};
use crate::output::{OutputError, OutputFile, check_not_source};
use crate::time::now;

impl ImageStore {
    /// Copies the file system of the image with this name, id or unique beginning of an id to the file
    /// `output`, without the files of its kernel and without its hash tree. Returns the image's record, which has no
    /// hash tree, either. The copy keeps the holes and uses reflink where the host can. The file is complete when this
    /// returns, and absent if it fails.
    ///
    /// # Errors
    /// The image does not exist or is being edited, the file exists and must not be replaced, or it cannot be
    /// written.
    pub fn export(
        &self,
        wanted: &str,
        output: &Utf8Path,
        replace: bool,
        cancellation: &Cancellation,
    ) -> Result<ImageRecord, StoreError> {
        self.export_with(wanted, output, replace, cancellation, |_, record| Ok::<_, StoreError>(record))
    }

    /// Copies a file system as [`export`](Self::export) does. `change` may change the copy before it gets its name, and
    /// its record.
    pub(crate) fn export_with<E: From<StoreError>>(
        &self,
        wanted: &str,
        output: &Utf8Path,
        replace: bool,
        cancellation: &Cancellation,
        change: impl FnOnce(&Utf8Path, ImageRecord) -> Result<ImageRecord, E>,
    ) -> Result<ImageRecord, E> {
        let StoredImage { record, path, lease: _lease } = self.open(wanted, cancellation)?;
        check_not_source(output, &path).map_err(StoreError::from)?;
        let file = self.open_to_copy(&record)?;
        let metadata = file.metadata().map_err(|source| StoreError::io("read", &path, source))?;
        let target = OutputFile::create(output, replace).map_err(StoreError::from)?.limited_to(&metadata);
        copy(&file, &target.partial_path(), cancellation, |source| {
            OutputError::io("write", output)(source).into()
        })?;
        let record = change(&target.partial_path(), record)?;
        target.publish().map_err(StoreError::from)?;
        Ok(record.without_verity())
    }

    /// Copies an image with its kernel and its hash tree under a new name, as [`export`](Self::export) copies its file;
    /// returns the new image, kept in its place until it is dropped.
    ///
    /// # Errors
    /// The image does not exist or is being edited, the name is taken, the state directory cannot be written,
    /// or the caller asks to stop. Then nothing is published.
    pub fn clone_image(
        &self,
        wanted: &str,
        name: ImageName,
        cancellation: &Cancellation,
    ) -> Result<StoredImage, StoreError> {
        self.clone_with(wanted, name, cancellation, |_, record| Ok::<_, StoreError>(record))
    }

    /// Copies an image as [`clone_image`](Self::clone_image) does. `change` may change the copy before it is published,
    /// and its record.
    pub(crate) fn clone_with<E: From<StoreError>>(
        &self,
        wanted: &str,
        name: ImageName,
        cancellation: &Cancellation,
        change: impl FnOnce(&Utf8Path, ImageRecord) -> Result<ImageRecord, E>,
    ) -> Result<StoredImage, E> {
        let StoredImage { record: original, path: original_path, lease: _lease } =
            self.open(wanted, cancellation)?;
        // Looked at again when it is published: this saves the copy.
        self.check_vacant(&name)?;
        let file = self.open_to_copy(&original)?;
        let staged = self.stage(cancellation)?;
        let path = staged.rootfs_path();
        copy(&file, &path, cancellation, |source| StoreError::io("write", &path, source))?;
        staged.place_verity_of(&original, &original_path, cancellation)?;
        staged.place_kernel_of(&original, &original_path, cancellation)?;
        staged.place_referrers_of(&original, &original_path, cancellation)?;
        let cloned_from = Some(ClonedFrom::of(&original));
        let record = change(&path, original)?;
        let record = ImageRecord { name, created: now(), cloned_from, ..record };
        Ok(self.publish_new(staged, record, cancellation)?)
    }

    /// Opens an image's file with a lock against edits.
    fn open_to_copy(&self, record: &ImageRecord) -> Result<LockedFile, StoreError> {
        let path = self.rootfs_path(&record.id);
        let failed = |source| StoreError::io("read", &path, source);
        let directory = open_directory(&self.directory(&record.id)).map_err(failed)?;
        let file = open_plain(&directory, ROOTFS_FILE).map_err(failed)?;
        match file.try_lock_shared() {
            Ok(()) => Ok(LockedFile::of(file)),
            Err(TryLockError::WouldBlock) => Err(StoreError::InUse { path }),
            Err(TryLockError::Error(source)) => Err(failed(source)),
        }
    }
}

fn copy(
    from: &File,
    to: &Utf8Path,
    cancellation: &Cancellation,
    failed: impl FnOnce(io::Error) -> StoreError,
) -> Result<(), StoreError> {
    let copied = File::create_new(to).and_then(|to| copy_sparse(from, &to, cancellation));
    match cancellation.is_cancelled() {
        true => Err(StoreError::Cancelled),
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
        assert!(
            copy(&file, &path, &Cancellation::default(), |_| StoreError::Cancelled).is_err(),
            "it is there"
        );
        assert_eq!(std::fs::read(&path).unwrap(), b"x");
    }
}
