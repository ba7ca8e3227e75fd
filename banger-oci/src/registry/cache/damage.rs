//! Damaged blobs that a pull found in the cache.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};

use super::BlobCache;
use crate::digest::Digest;
use crate::registry::error::PullError;

/// The blobs that were found damaged and removed, shared by all parts of a pull.
#[derive(Clone, Debug, Default)]
pub(crate) struct DamagedBlobs(Arc<Mutex<BTreeSet<Digest>>>);

impl DamagedBlobs {
    pub(crate) fn note(&self, digest: &Digest) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(digest.clone());
    }

    /// The error for a blob that cannot be fetched. If the cache had a damaged copy, the error says so.
    pub(crate) fn explain(&self, error: PullError, digest: &Digest, cache: &BlobCache) -> PullError {
        let known = self.0.lock().unwrap_or_else(PoisonError::into_inner).contains(digest);
        match error {
            error @ (PullError::Cancelled | PullError::CacheDamaged { .. }) => error,
            error if known => PullError::CacheDamaged {
                digest: digest.clone(),
                cache: cache.root().to_owned(),
                source: Box::new(error),
            },
            error => error,
        }
    }
}
