//! Documents about the store and the cache, as programs get them: the command line and the C library
//! print the same ones.

use std::borrow::Cow;
use std::time::SystemTime;

use banger_oci::{CacheEntry, CacheVerification, PruneReport};
use camino::{Utf8Path, Utf8PathBuf};
use serde::Serialize;

use crate::request::PulledFile;
use crate::store::{
    DamagedImage, ImagePruneReport, ImageRecord, ImageStore, KERNEL_DIRECTORY, Listing, REFERRERS_DIRECTORY,
    StoredImage,
};

/// A record with where the image's file is.
#[derive(Clone, Debug, Serialize)]
pub struct ImageDocument<'a> {
    #[serde(flatten)]
    record: &'a ImageRecord,
    path: Cow<'a, Utf8Path>,
    /// The directory with the files of its kernel.
    #[serde(skip_serializing_if = "Option::is_none")]
    kernel_path: Option<Utf8PathBuf>,
    /// The OCI layout with the artifacts that refer to it.
    #[serde(skip_serializing_if = "Option::is_none")]
    referrers_path: Option<Utf8PathBuf>,
    #[serde(skip_serializing_if = "Option::is_none")]
    unchanged: Option<bool>,
}

impl<'a> ImageDocument<'a> {
    /// Returns the document of the managed image `record` whose file is at `path`.
    pub fn new(record: &'a ImageRecord, path: impl Into<Cow<'a, Utf8Path>>) -> Self {
        let path = path.into();
        let kernel_path = record.kernel.as_ref().map(|_| path.with_file_name(KERNEL_DIRECTORY));
        let has_referrers = !record.referrers.is_empty();
        let referrers_path = has_referrers.then(|| path.with_file_name(REFERRERS_DIRECTORY));
        Self { record, path, kernel_path, referrers_path, unchanged: None }
    }

    /// Returns the document of a copy `path` of the file of the image `record`, which has no kernel beside it.
    pub fn exported(record: &'a ImageRecord, path: impl Into<Cow<'a, Utf8Path>>) -> Self {
        Self { kernel_path: None, referrers_path: None, ..Self::new(record, path) }
    }
}

impl<'a> From<&'a StoredImage> for ImageDocument<'a> {
    fn from(image: &'a StoredImage) -> Self {
        Self::new(&image.record, image.path.as_path())
    }
}

impl<'a> From<&'a PulledFile> for ImageDocument<'a> {
    fn from(pulled: &'a PulledFile) -> Self {
        let path = pulled.path.as_path();
        let document = match pulled.lease {
            Some(_) => Self::new(&pulled.record, path),
            None => Self::exported(&pulled.record, path),
        };
        Self { unchanged: Some(pulled.unchanged), ..document }
    }
}

/// What the store holds.
#[derive(Clone, Debug, Serialize)]
pub struct ListingDocument<'a> {
    version: u32,
    images: Vec<ImageDocument<'a>>,
    damaged: &'a [DamagedImage],
}

impl<'a> ListingDocument<'a> {
    /// Returns the document of `listing`, which `store` gave.
    pub fn new(listing: &'a Listing, store: &ImageStore) -> Self {
        let listed = |record: &'a ImageRecord| ImageDocument::new(record, store.rootfs_path(&record.id));
        Self { version: 1, images: listing.images.iter().map(listed).collect(), damaged: &listing.damaged }
    }
}

/// A blob of the cache.
#[derive(Clone, Debug, Serialize)]
#[non_exhaustive]
pub struct BlobDocument {
    /// The blob's digest.
    pub digest: String,
    /// Bytes of the file.
    pub size_bytes: u64,
    /// Seconds since it was last used.
    pub unused_seconds: u64,
    /// Whether it is the beginning of a download.
    pub partial: bool,
    /// Whether a process is using it now.
    pub in_use: bool,
}

impl From<&CacheEntry> for BlobDocument {
    fn from(entry: &CacheEntry) -> Self {
        Self {
            digest: entry.digest.to_string(),
            size_bytes: entry.size_bytes,
            unused_seconds: SystemTime::now().duration_since(entry.used).map_or(0, |age| age.as_secs()),
            partial: entry.partial,
            in_use: entry.in_use,
        }
    }
}

/// What the cache holds.
#[derive(Clone, Debug, Serialize)]
#[non_exhaustive]
pub struct CacheDocument {
    version: u32,
    /// The blobs, the longest unused first.
    pub blobs: Vec<BlobDocument>,
}

impl CacheDocument {
    /// Returns the document of what a cache lists.
    pub fn new(entries: &[CacheEntry]) -> Self {
        Self { version: 1, blobs: entries.iter().map(BlobDocument::from).collect() }
    }
}

/// What was removed of the cache.
#[derive(Clone, Debug, Serialize)]
pub struct PruneDocument {
    version: u32,
    removed: Vec<BlobDocument>,
    in_use: Vec<BlobDocument>,
    kept_bytes: u64,
    dry_run: bool,
}

impl PruneDocument {
    /// Returns the document of `report`; `dry_run` says that nothing was removed.
    pub fn new(report: &PruneReport, dry_run: bool) -> Self {
        let rows = |entries: &[CacheEntry]| entries.iter().map(BlobDocument::from).collect();
        Self {
            version: 1,
            removed: rows(&report.removed),
            in_use: rows(&report.in_use),
            kept_bytes: report.kept_bytes,
            dry_run,
        }
    }
}

/// The damage in the cache.
#[derive(Clone, Debug, Serialize)]
pub struct CacheVerificationDocument {
    version: u32,
    checked: u64,
    checked_bytes: u64,
    partial: u64,
    damaged: Vec<DamagedBlobDocument>,
}

#[derive(Clone, Debug, Serialize)]
struct DamagedBlobDocument {
    digest: String,
    found: String,
    size_bytes: u64,
    removed: bool,
}

impl CacheVerificationDocument {
    /// Returns the document of `report`.
    pub fn new(report: &CacheVerification) -> Self {
        let CacheVerification { checked, checked_bytes, partial, ref damaged, .. } = *report;
        let rows = damaged.iter().map(|blob| DamagedBlobDocument {
            digest: blob.digest.to_string(),
            found: blob.found.to_string(),
            size_bytes: blob.size_bytes,
            removed: blob.removed,
        });
        Self { version: 1, checked, checked_bytes, partial, damaged: rows.collect() }
    }
}

/// What was removed of the store.
#[derive(Clone, Debug, Serialize)]
pub struct ImagePruneDocument {
    version: u32,
    removed: Vec<PrunedImage>,
    in_use: Vec<PrunedImage>,
    kept: u64,
    dry_run: bool,
}

#[derive(Clone, Debug, Serialize)]
struct PrunedImage {
    id: String,
    name: String,
    created: String,
    size_bytes: u64,
}

impl ImagePruneDocument {
    /// Returns the document of `report`; `dry_run` says that nothing was removed.
    pub fn new(report: &ImagePruneReport, dry_run: bool) -> Self {
        let rows = |images: &[ImageRecord]| {
            let row = |image: &ImageRecord| PrunedImage {
                id: image.id.to_string(),
                name: image.name.to_string(),
                created: image.created.clone(),
                size_bytes: image.size_bytes,
            };
            images.iter().map(row).collect()
        };
        Self {
            version: 1,
            removed: rows(&report.removed),
            in_use: rows(&report.in_use),
            kept: report.kept,
            dry_run,
        }
    }
}
