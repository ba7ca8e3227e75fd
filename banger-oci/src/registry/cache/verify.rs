//! Looks for damaged blobs.

use banger_tree::{Cancellation, LockedFile};

use super::place::{self, Place, Purpose};
use super::{BlobCache, hash_file, lock_shared, remove_if_at};
use crate::digest::Digest;
use crate::registry::error::PullError;
use crate::registry::stop::PullStop;

/// The result of [`BlobCache::verify`].
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct CacheVerification {
    /// How many complete blobs were hashed.
    pub checked: u64,
    /// Their size together.
    pub checked_bytes: u64,
    /// How many partial downloads were not looked at: a pull checks them when it completes them.
    pub partial: u64,
    /// The blobs whose bytes do not have their digest.
    pub damaged: Vec<DamagedBlob>,
}

/// A blob whose bytes do not have its digest.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct DamagedBlob {
    /// The digest that it should have.
    pub digest: Digest,
    /// The digest of its bytes.
    pub found: Digest,
    /// Bytes of the file.
    pub size_bytes: u64,
    /// Whether it was removed.
    pub removed: bool,
}

impl BlobCache {
    /// Hashes every complete blob, and removes damaged ones if `remove` says so. A pull that reads such a blob
    /// finds the damage itself, and fetches the blob again.
    ///
    /// The check does not count as a use of the blobs, and [`prune`](Self::prune) leaves the blob alone that is
    /// hashed.
    ///
    /// # Errors
    ///
    /// [`PullError::Io`], [`PullError::Cancelled`].
    pub fn verify(&self, remove: bool, cancellation: &Cancellation) -> Result<CacheVerification, PullError> {
        let stop = PullStop::new(cancellation);
        let mut report = CacheVerification::default();
        for entry in self.list()? {
            stop.check()?;
            if entry.partial {
                report.partial += 1;
                continue;
            }
            // Removed since it was listed.
            let Place::File(file) = place::open(&entry.path, Purpose::Read)? else { continue };
            lock_shared(&file, &entry.path, &stop)?;
            let file = LockedFile::of(file);
            let found = hash_file(&file, &entry.path, &entry.digest, &stop)?;
            report.checked += 1;
            report.checked_bytes += entry.size_bytes;
            if found == entry.digest {
                continue;
            }
            if remove {
                remove_if_at(&file, &entry.path)?;
            }
            let (digest, size_bytes) = (entry.digest, entry.size_bytes);
            report.damaged.push(DamagedBlob { digest, found, size_bytes, removed: remove });
        }
        Ok(report)
    }
}
