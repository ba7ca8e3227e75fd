//! Lists and opens the images of one state directory.

use banger_tree::Cancellation;
use camino::{Utf8Path, Utf8PathBuf};

use super::directory::{directory_names, make_directories};
use super::error::StoreError;
use super::files::{KERNEL_DIRECTORY, RECORD_FILE, ROOTFS_FILE, VERITY_FILE};
use super::lease::{ImageLease, StoredImage, is_replaced};
use super::lookup::{DamagedImage, look_up, read_record};
use super::record::ImageRecord;
use crate::host_file::{open_directory, open_plain};
use crate::id::ImageId;

/// Number of times that the records are read again if images change meanwhile.
const MAX_READINGS: usize = 16;

/// The images published under one state directory.
#[derive(Clone, Debug)]
pub struct ImageStore {
    state: Utf8PathBuf,
    images: Utf8PathBuf,
}

/// Content of the store.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct Listing {
    /// The images, ordered by name.
    pub images: Vec<ImageRecord>,
    /// Directories that look like images but whose record cannot be read.
    pub damaged: Vec<DamagedImage>,
}

impl ImageStore {
    /// Returns the store under `state`; nothing is created before the first image is staged.
    pub fn new(state: &Utf8Path) -> Self {
        Self { state: state.to_owned(), images: state.join("images") }
    }

    /// Returns the path of an image's file system.
    pub fn rootfs_path(&self, id: &ImageId) -> Utf8PathBuf {
        self.directory(id).join(ROOTFS_FILE)
    }

    /// Returns all published images. They may be removed at any time: [`open`](Self::open) keeps one.
    ///
    /// # Errors
    /// The store's directory exists and cannot be read.
    pub fn list(&self) -> Result<Listing, StoreError> {
        let (mut images, damaged) = self.records()?;
        // A crash between publishing an image and replacing the older one leaves both.
        let replaced: Vec<ImageId> = images.iter().filter_map(|image| image.replaces.clone()).collect();
        images.retain(|image| !replaced.contains(&image.id));
        images.sort_by(|a, b| (&a.name, &a.id).cmp(&(&b.name, &b.id)));
        Ok(Listing { images, damaged })
    }

    /// Returns the record of the image with this name, id, or unique beginning of an id. The image may be
    /// removed at any time: [`open`](Self::open) keeps it.
    ///
    /// # Errors
    /// No image or several images fit, or its record is damaged.
    pub fn find(&self, wanted: &str) -> Result<ImageRecord, StoreError> {
        let Listing { images, damaged } = self.list()?;
        look_up(images, damaged, wanted)
    }

    /// Returns the image with this name, id, or unique beginning of an id. The image stays in its place until
    /// the result is dropped.
    ///
    /// # Errors
    /// The errors of [`find`](Self::find), or the caller asks to stop.
    pub fn open(&self, wanted: &str, cancellation: &Cancellation) -> Result<StoredImage, StoreError> {
        loop {
            // Replaced or removed since it was found, if it cannot be kept.
            if let Some(image) = self.keep(self.find(wanted)?, cancellation)? {
                return Ok(image);
            }
        }
    }

    /// Takes a lease on a found image; returns `None` if it was removed meanwhile.
    pub(crate) fn keep(
        &self,
        record: ImageRecord,
        cancellation: &Cancellation,
    ) -> Result<Option<StoredImage>, StoreError> {
        let lease = ImageLease::take(&self.directory(&record.id), cancellation)?;
        Ok(lease.map(|lease| StoredImage { path: self.rootfs_path(&record.id), record, lease }))
    }

    /// Returns whether an image's file system and its hash tree exist and are files, and whether its kernel exists.
    pub(crate) fn has_files(&self, record: &ImageRecord) -> bool {
        let path = self.directory(&record.id);
        let is_file = |name| open_directory(&path).and_then(|directory| open_plain(&directory, name)).is_ok();
        is_file(ROOTFS_FILE)
            && (record.verity.is_none() || is_file(VERITY_FILE))
            && (record.kernel.is_none() || path.join(KERNEL_DIRECTORY).is_dir())
    }

    /// Returns the directory of the images.
    pub(super) fn images(&self) -> &Utf8Path {
        &self.images
    }

    /// Returns the directory of one image.
    pub(super) fn directory(&self, id: &ImageId) -> Utf8PathBuf {
        self.images.join(id.as_str())
    }

    pub(super) fn make_directories(&self) -> Result<(), StoreError> {
        make_directories(&self.state, &self.images)
    }

    /// Returns all names in the directory of the images, in order.
    pub(super) fn directory_names(&self) -> Result<Vec<String>, StoreError> {
        directory_names(&self.state, &self.images)
    }

    /// Returns the records of the images that are not marked as replaced.
    pub(super) fn records(&self) -> Result<(Vec<ImageRecord>, Vec<DamagedImage>), StoreError> {
        let mut ids = self.ids()?;
        for _ in 0..MAX_READINGS {
            let records = self.records_of(&ids);
            let now = self.ids()?;
            // An image that was replaced meanwhile may be missing together with the newer one.
            if now == ids {
                return Ok(records);
            }
            ids = now;
        }
        Ok(self.records_of(&ids))
    }

    fn ids(&self) -> Result<Vec<ImageId>, StoreError> {
        let names = self.directory_names()?;
        let ids = names.iter().filter_map(|name| name.parse::<ImageId>().ok());
        Ok(ids.filter(|id| !is_replaced(&self.directory(id))).collect())
    }

    fn records_of(&self, ids: &[ImageId]) -> (Vec<ImageRecord>, Vec<DamagedImage>) {
        let (mut images, mut damaged) = (Vec::new(), Vec::new());
        for id in ids {
            match self.read_record(id) {
                Ok(record) => images.push(record),
                Err(error) => damaged.push(error),
            }
        }
        (images, damaged)
    }

    fn read_record(&self, id: &ImageId) -> Result<ImageRecord, DamagedImage> {
        read_record(&self.directory(id), id, RECORD_FILE, ImageRecord::from_json)
    }
}
