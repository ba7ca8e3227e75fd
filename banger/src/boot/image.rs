//! The image that is booted.

use banger_ext4::Ext4Editor;
use banger_kernel::VerityDisk;
use banger_tree::{Cancellation, RootfsError};
use camino::{Utf8Path, Utf8PathBuf};

use crate::dirs::Dirs;
use crate::error::Error;
use crate::inject::architecture_in;
use crate::rootfs::in_file;
use crate::store::{ImageLease, ImageRecord, ImageStore, StoreError, StoredImage};

/// An image that is to boot: a managed one or an ext4 file.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct BootImage {
    /// Its ext4 file.
    pub path: Utf8PathBuf,
    /// Its record, if it is a managed image.
    pub record: Option<ImageRecord>,
    /// Keeps the file of a managed image at its path.
    pub lease: Option<ImageLease>,
}

banger_tree::setters! {
    BootImage {
        with_record => record: Option<ImageRecord>,
        with_lease => lease: Option<ImageLease>,
    }
}

impl From<StoredImage> for BootImage {
    fn from(image: StoredImage) -> Self {
        let StoredImage { record, path, lease } = image;
        Self { path, record: Some(record), lease: Some(lease) }
    }
}

impl BootImage {
    /// Returns the ext4 file `path`, which is not opened here.
    pub fn file(path: impl Into<Utf8PathBuf>) -> Self {
        Self { path: path.into(), record: None, lease: None }
    }

    /// Returns the managed image with the name, the id or the unique prefix of an id `wanted`. Without one, `wanted`
    /// is the path of an ext4 file. A text with a slash is always a path.
    ///
    /// # Errors
    /// Neither a managed image nor a file is there, the store cannot be read, or the caller asks to stop.
    pub fn open(wanted: &str, dirs: &Dirs, cancellation: &Cancellation) -> Result<Self, Error> {
        if wanted.contains('/') {
            return Ok(Self::file(wanted));
        }
        match ImageStore::new(&dirs.state).open(wanted, cancellation) {
            Ok(image) => Ok(image.into()),
            Err(StoreError::NotFound { .. }) if Utf8Path::new(wanted).exists() => Ok(Self::file(wanted)),
            Err(error) => Err(error.into()),
        }
    }

    /// Returns the hash tree by which a guest verifies the image, for [`BootRequest::verity`]; `None` if the image
    /// has none, or has no record.
    ///
    /// [`BootRequest::verity`]: crate::boot::BootRequest::verity
    pub fn verity_disk(&self) -> Option<VerityDisk> {
        self.record.as_ref()?.verity_beside(&self.path)
    }

    /// Returns the processor of the image's programs by its OCI name: from the record, else from the programs.
    ///
    /// # Errors
    /// The image cannot be read, or the caller asks to stop.
    pub fn architecture(&self, cancellation: &Cancellation) -> Result<Option<String>, Error> {
        match self.recorded_architecture() {
            Some(architecture) => Ok(Some(architecture)),
            None => self.detected_architecture(&self.editor(cancellation)?),
        }
    }

    /// Returns the processor that the record names: `linux/arm/v7` is for `arm`.
    pub(super) fn recorded_architecture(&self) -> Option<String> {
        let platform = &self.record.as_ref()?.platform;
        platform.split('/').nth(1).map(str::to_owned)
    }

    pub(super) fn detected_architecture(&self, rootfs: &Ext4Editor) -> Result<Option<String>, Error> {
        let found = architecture_in(rootfs).map_err(self.failed())?;
        Ok(found.map(str::to_owned))
    }

    /// Opens the file system for reading.
    pub(super) fn editor(&self, cancellation: &Cancellation) -> Result<Ext4Editor, Error> {
        let mut editor = Ext4Editor::open(&self.path).map_err(self.failed())?;
        editor.set_cancellation(cancellation);
        Ok(editor)
    }

    /// Returns a function that makes the error of this image's file.
    pub(super) fn failed(&self) -> impl FnOnce(RootfsError) -> Error + use<'_> {
        in_file(&self.path)
    }
}
