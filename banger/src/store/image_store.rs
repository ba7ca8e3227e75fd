//! Lists and opens the images of one state directory.

use std::io;

use banger_tree::Cancellation;
use camino::{Utf8Path, Utf8PathBuf};
use serde::Serialize;

use super::directory::{directory_names, make_directories};
use super::error::StoreError;
use super::files::{RECORD_FILE, ROOTFS_FILE};
use super::lease::{ImageLease, StoredImage, is_replaced};
use super::record::ImageRecord;
use crate::host_file::{open_directory, open_plain, read_at_most};
use crate::id::ImageId;

/// Largest size of a record: several times the largest configuration.
const MAX_RECORD_BYTES: u64 = 64 << 20;
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

/// An image whose record cannot be read.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct DamagedImage {
    /// Name of its directory.
    pub id: String,
    /// The fault of the record.
    pub reason: String,
    /// Whether the record is another user's: it may be sound.
    pub denied: bool,
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
        let listing = self.list()?;
        let by_name = listing.images.iter().find(|image| image.name.as_str() == wanted);
        if let Some(image) = by_name {
            return Ok(image.clone());
        }
        let is_prefix = |id: &str| !wanted.is_empty() && id.starts_with(wanted);
        let mut matches = listing.images.iter().filter(|image| is_prefix(image.id.as_str()));
        match (matches.next(), matches.next()) {
            (Some(image), None) => Ok(image.clone()),
            (Some(_), Some(_)) => Err(StoreError::Ambiguous { wanted: wanted.to_owned() }),
            (None, _) => match listing.damaged.into_iter().find(|image| image.denied || is_prefix(&image.id))
            {
                // It may be the one that is meant.
                Some(DamagedImage { reason, denied: true, .. }) => Err(StoreError::Denied { reason }),
                Some(DamagedImage { id, reason, .. }) => Err(StoreError::Damaged { id, reason }),
                None => Err(StoreError::NotFound { wanted: wanted.to_owned() }),
            },
        }
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

    /// Returns whether an image's file system exists and is a file.
    pub(crate) fn has_file(&self, id: &ImageId) -> bool {
        let directory = open_directory(&self.directory(id));
        directory.and_then(|directory| open_plain(&directory, ROOTFS_FILE)).is_ok()
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
        let directory = self.directory(id);
        let path = directory.join(RECORD_FILE);
        let damaged = |reason, denied| DamagedImage { id: id.to_string(), reason, denied };
        let unreadable = |path: &Utf8Path, error: io::Error| {
            let denied = error.kind() == io::ErrorKind::PermissionDenied;
            damaged(format!("cannot read {path}: {error}"), denied)
        };
        let opened = open_directory(&directory).map_err(|error| unreadable(&directory, error))?;
        let read = open_plain(&opened, RECORD_FILE).and_then(|file| read_at_most(&file, MAX_RECORD_BYTES));
        let text = read.map_err(|error| unreadable(&path, error))?;
        let record = ImageRecord::from_json(&text)
            .map_err(|error| damaged(format!("cannot understand {path}: {error}"), false))?;
        match record.id == *id {
            true => Ok(record),
            false => Err(damaged(format!("{path} is the record of the image {}", record.id), false)),
        }
    }
}
