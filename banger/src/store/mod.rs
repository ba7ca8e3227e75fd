//! The image store: one directory an image, published by one rename.
//!
//! ```text
//! <state>/images/<id>/rootfs.ext4    the file system
//! <state>/images/<id>/image.json     its record
//! <state>/images/<id>.staging/       under construction
//! <state>/images/<id>.staging.lock   locked by the process that builds it, there before and after
//! <state>/images/<id>.removed/       on its way out
//! <state>/images/.lock               held while names change
//! ```
//! The record lies inside the directory that is renamed, so an image and its record appear
//! together or not at all. What no live process holds a lock on is swept at the next start.

mod copies;
mod directory;
mod error;
mod name;
mod record;
mod staged;
mod verify;

use std::fs;
use std::io;

use camino::{Utf8Path, Utf8PathBuf};
use serde::Serialize;

pub use copies::ClonedFrom;
pub use error::StoreError;
pub use name::{ImageName, NameError};
pub use record::{BuildOptions, GuestBuildOptions, ImageConfigRecord, ImageId, ImageRecord, LayerRecord};
pub use staged::StagedImage;
pub use verify::Verification;

use crate::host_file::{open_directory, open_plain, read_at_most};
use crate::lock::Lock;
use crate::staging::{remove_tree, sweep};

/// File name of the file system in an image's directory.
pub const ROOTFS_FILE: &str = "rootfs.ext4";
/// File name of the record in an image's directory.
pub const RECORD_FILE: &str = "image.json";

/// Bytes that a record may have: several times those of the largest configuration.
const MAX_RECORD_BYTES: u64 = 64 << 20;

const STAGING_SUFFIX: &str = ".staging";
const REMOVED_SUFFIX: &str = ".removed";

/// The images published under one state directory.
#[derive(Clone, Debug)]
pub struct ImageStore {
    state: Utf8PathBuf,
    images: Utf8PathBuf,
}

/// What the store holds.
#[derive(Clone, Debug, Default)]
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
    /// What is wrong with the record.
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

    /// Returns whether an image's file system is there, as a file.
    pub(crate) fn has_file(&self, id: &ImageId) -> bool {
        let directory = open_directory(&self.directory(id));
        directory.and_then(|directory| open_plain(&directory, ROOTFS_FILE)).is_ok()
    }

    fn directory(&self, id: &ImageId) -> Utf8PathBuf {
        self.images.join(id.as_str())
    }

    /// Returns all published images.
    ///
    /// # Errors
    /// The store's directory exists and cannot be read.
    pub fn list(&self) -> Result<Listing, StoreError> {
        let mut listing = Listing::default();
        for name in self.directory_names()? {
            let Ok(id) = name.parse::<ImageId>() else { continue };
            match self.read_record(&id) {
                Ok(record) => listing.images.push(record),
                Err(damaged) => listing.damaged.push(damaged),
            }
        }
        // A crash between publishing an image and removing the one it replaces leaves both.
        let replaced: Vec<ImageId> =
            listing.images.iter().filter_map(|image| image.replaces.clone()).collect();
        listing.images.retain(|image| !replaced.contains(&image.id));
        listing.images.sort_by(|a, b| (&a.name, &a.id).cmp(&(&b.name, &b.id)));
        Ok(listing)
    }

    /// Returns the image with this name, id, or unique beginning of an id.
    ///
    /// # Errors
    /// There is none, there are several, or its record is damaged.
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

    /// Starts a new image; what it becomes is written into its directory and then published.
    /// Sweeps what earlier runs left unfinished.
    ///
    /// # Errors
    /// The state directory cannot be written.
    pub fn stage(&self) -> Result<StagedImage, StoreError> {
        self.make_directories()?;
        self.sweep()?;
        StagedImage::create(&self.images)
    }

    /// Makes `staged` visible as the image `record` describes, in the place of an older image of
    /// the same name. Everything is on the disk when this returns.
    ///
    /// # Errors
    /// The state directory cannot be written; then nothing is published.
    pub fn publish(&self, staged: StagedImage, mut record: ImageRecord) -> Result<ImageRecord, StoreError> {
        let _names = self.lock_names()?;
        let older = self.list()?.images.into_iter().find(|image| image.name == record.name);
        record.id = staged.id().clone();
        record.replaces = older.as_ref().map(|image| image.id.clone());
        staged.publish(&record)?;
        if let Some(older) = older {
            self.discard(older.id.as_str())?;
        }
        Ok(record)
    }

    /// Removes the image with this name, id or unique beginning of an id, also a damaged one;
    /// returns its id.
    ///
    /// # Errors
    /// There is no such image, or the state directory cannot be written.
    pub fn remove(&self, wanted: &str) -> Result<String, StoreError> {
        let id = match self.find(wanted) {
            Ok(image) => image.id.as_str().to_owned(),
            Err(StoreError::Damaged { id, .. }) => id,
            Err(error) => return Err(error),
        };
        let _names = self.lock_names()?;
        self.discard(&id)?;
        Ok(id)
    }

    /// Gives an image another name; returns its new record.
    ///
    /// # Errors
    /// There is no such image, the name is taken, or the state directory cannot be written.
    pub fn rename(&self, wanted: &str, name: ImageName) -> Result<ImageRecord, StoreError> {
        let mut record = self.find(wanted)?;
        let _names = self.lock_names()?;
        if self.list()?.images.iter().any(|image| image.name == name && image.id != record.id) {
            return Err(StoreError::NameTaken { name });
        }
        record.name = name;
        record.replaces = None;
        staged::write_record(&self.directory(&record.id), &record)?;
        Ok(record)
    }

    fn lock_names(&self) -> Result<Lock, StoreError> {
        let path = self.images.join(".lock");
        Lock::exclusive(&path).map_err(|source| StoreError::io("create", &path, source))
    }

    /// Takes an image away in one step; its bytes follow.
    fn discard(&self, id: &str) -> Result<(), StoreError> {
        let from = self.images.join(id);
        let to = self.images.join(format!("{id}{REMOVED_SUFFIX}"));
        // Left by a run that was killed here.
        remove_tree(&to).map_err(|source| StoreError::io("remove", &to, source))?;
        fs::rename(&from, &to).map_err(|source| StoreError::io("remove", &from, source))?;
        remove_tree(&to).map_err(|source| StoreError::io("remove", &to, source))
    }

    /// Removes what a killed process left: staging directories that nobody holds, images that
    /// were replaced, and half-removed ones.
    fn sweep(&self) -> Result<(), StoreError> {
        let _names = self.lock_names()?;
        sweep(&self.images, "", STAGING_SUFFIX)
            .map_err(|source| StoreError::io("remove what is stale in", &self.images, source))?;
        for name in self.directory_names()? {
            let path = self.images.join(&name);
            if name.strip_suffix(REMOVED_SUFFIX).is_some_and(|id| id.parse::<ImageId>().is_ok()) {
                remove_tree(&path).map_err(|source| StoreError::io("remove", &path, source))?;
            }
        }
        let images: Vec<ImageRecord> = self
            .directory_names()?
            .iter()
            .filter_map(|name| self.read_record(&name.parse().ok()?).ok())
            .collect();
        for replaced in images.iter().filter_map(|image| image.replaces.as_ref()) {
            if images.iter().any(|image| image.id == *replaced) {
                self.discard(replaced.as_str())?;
            }
        }
        Ok(())
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

#[cfg(test)]
mod tests;
