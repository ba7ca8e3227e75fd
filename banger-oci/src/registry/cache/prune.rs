//! Lists the cache and removes blobs.

use std::fs::{self, TryLockError};
use std::io;
use std::time::{Duration, SystemTime};

use banger_tree::LockedFile;
use camino::{Utf8DirEntry, Utf8Path, Utf8PathBuf};

use super::place::{self, Place, Purpose};
use super::{BlobCache, NEW_LIFE, NEW_PREFIX, age, is_at};
use crate::digest::Digest;
use crate::registry::error::PullError;

/// A file of the cache.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct CacheEntry {
    /// The blob.
    pub digest: Digest,
    /// The file.
    pub path: Utf8PathBuf,
    /// Its size.
    pub size_bytes: u64,
    /// When it was last used.
    pub used: SystemTime,
    /// Whether it is the beginning of a download.
    pub partial: bool,
    /// Whether a process is using it now.
    pub in_use: bool,
}

/// Options of [`BlobCache::prune`]. By default it removes nothing.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct PruneOptions {
    /// Remove blobs that are unused for longer than this.
    pub older_than: Option<Duration>,
    /// Remove the least recently used blobs until the cache fits this size.
    pub max_size_bytes: Option<u64>,
    /// Remove everything.
    pub all: bool,
    /// Only report the blobs; remove nothing.
    pub dry_run: bool,
}

banger_tree::setters! {
    PruneOptions {
        with_older_than => older_than: Option<Duration>,
        with_max_size_bytes => max_size_bytes: Option<u64>,
        with_all => all: bool,
        with_dry_run => dry_run: bool,
    }
}

/// Result of [`BlobCache::prune`].
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct PruneReport {
    /// The removed blobs.
    pub removed: Vec<CacheEntry>,
    /// Selected blobs that stay because they are in use.
    pub in_use: Vec<CacheEntry>,
    /// The size of the remaining blobs.
    pub kept_bytes: u64,
}

/// Result of an attempt to remove a blob.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Removal {
    /// It was removed.
    Removed,
    /// It stays, a running pull uses it.
    InUse,
    /// It was not there.
    Absent,
}

impl BlobCache {
    /// Returns all blobs of the cache, the least recently used first.
    ///
    /// # Errors
    ///
    /// [`PullError::Io`].
    pub fn list(&self) -> Result<Vec<CacheEntry>, PullError> {
        let mut entries = Vec::new();
        for algorithm in ["sha256", "sha512"] {
            let dir = self.root().join("blobs").join(algorithm);
            for item in items(&dir)? {
                let item = item.map_err(PullError::io("read", &dir))?;
                let name = item.file_name();
                let (hex, partial) = match name.strip_suffix(".partial") {
                    Some(hex) => (hex, true),
                    None => (name, false),
                };
                let Ok(digest) = format!("{algorithm}:{hex}").parse() else {
                    continue;
                };
                // Another process has removed it since the directory was read, or it is not a blob.
                let Some(metadata) = item.metadata().ok().filter(std::fs::Metadata::is_file) else {
                    continue;
                };
                entries.push(CacheEntry {
                    digest,
                    path: item.path().to_owned(),
                    size_bytes: metadata.len(),
                    used: metadata.modified().unwrap_or(SystemTime::UNIX_EPOCH),
                    partial,
                    in_use: exclusive(item.path())?.is_none_or(|file| file.is_none()),
                });
            }
        }
        entries.sort_by(|a, b| (a.used, &a.digest).cmp(&(b.used, &b.digest)));
        Ok(entries)
    }

    /// Removes a blob and its partial download.
    ///
    /// # Errors
    ///
    /// [`PullError::Io`].
    pub fn remove(&self, digest: &Digest) -> Result<Removal, PullError> {
        let blob = remove_unused(&self.blob_path(digest))?;
        let partial = remove_unused(&self.partial_path(digest))?;
        Ok(match (blob, partial) {
            (Removal::InUse, _) | (_, Removal::InUse) => Removal::InUse,
            (Removal::Removed, _) | (_, Removal::Removed) => Removal::Removed,
            (Removal::Absent, Removal::Absent) => Removal::Absent,
        })
    }

    /// Removes the blobs that `options` select, except those of a running pull.
    ///
    /// # Errors
    ///
    /// [`PullError::Io`].
    pub fn prune(&self, options: &PruneOptions) -> Result<PruneReport, PullError> {
        if !options.dry_run {
            self.sweep()?;
        }
        let entries = self.list()?;
        let mut left: u64 = entries.iter().map(|entry| entry.size_bytes).sum();
        let mut report = PruneReport::default();
        for entry in entries {
            let old = options.older_than.is_some_and(|limit| age(entry.used) > limit);
            let over = options.max_size_bytes.is_some_and(|limit| left > limit);
            if !(options.all || old || over) {
                continue;
            }
            let removal = match (options.dry_run, entry.in_use) {
                (true, true) => Removal::InUse,
                (true, false) => Removal::Removed,
                (false, _) => remove_unused(&entry.path)?,
            };
            match removal {
                Removal::InUse => report.in_use.push(entry),
                Removal::Removed => {
                    left -= entry.size_bytes;
                    report.removed.push(entry);
                }
                Removal::Absent => left -= entry.size_bytes,
            }
        }
        if !options.dry_run {
            self.forget_lost_tags()?;
        }
        report.kept_bytes = left;
        Ok(report)
    }

    /// Removes incomplete files of killed processes, and everything that is not a file.
    fn sweep(&self) -> Result<(), PullError> {
        for algorithm in ["sha256", "sha512"] {
            let dir = self.root().join("blobs").join(algorithm);
            for item in items(&dir)? {
                let item = item.map_err(PullError::io("read", &dir))?;
                let metadata = item.metadata();
                let is_stray =
                    metadata.as_ref().is_ok_and(|metadata| !metadata.is_file() && !metadata.is_dir());
                let modified = metadata.and_then(|metadata| metadata.modified());
                if is_stray {
                    let _gone = fs::remove_file(item.path());
                }
                if item.file_name().starts_with(NEW_PREFIX)
                    && modified.is_ok_and(|modified| age(modified) > NEW_LIFE)
                {
                    // Another process may have been faster.
                    let _gone = fs::remove_file(item.path());
                }
            }
        }
        Ok(())
    }
}

/// Returns the entries of a directory, or nothing if it does not exist.
pub(super) fn items(dir: &Utf8Path) -> Result<impl Iterator<Item = io::Result<Utf8DirEntry>>, PullError> {
    match dir.read_dir_utf8() {
        Ok(items) => Ok(Some(items).into_iter().flatten()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None.into_iter().flatten()),
        Err(error) => Err(PullError::io("read", dir)(error)),
    }
}

/// Opens and locks an unused file. The outer `None` means that it does not exist, the inner `None` that it is
/// in use.
#[allow(clippy::option_option)]
fn exclusive(path: &Utf8Path) -> Result<Option<Option<LockedFile>>, PullError> {
    let file = match place::open(path, Purpose::Read)? {
        Place::File(file) => file,
        Place::Nothing | Place::Removed => return Ok(None),
    };
    match file.try_lock() {
        Ok(()) => Ok(Some(Some(LockedFile::of(file)))),
        Err(TryLockError::WouldBlock) => Ok(Some(None)),
        Err(TryLockError::Error(error)) => Err(PullError::io("lock", path)(error)),
    }
}

fn remove_unused(path: &Utf8Path) -> Result<Removal, PullError> {
    match exclusive(path)? {
        None => Ok(Removal::Absent),
        Some(None) => Ok(Removal::InUse),
        // Replaced since it was opened: the new one is not ours to remove.
        Some(Some(file)) if !is_at(&file, path) => Ok(Removal::InUse),
        Some(Some(_file)) => match fs::remove_file(path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                Err(PullError::io("remove", path)(error))
            }
            _ => Ok(Removal::Removed),
        },
    }
}
