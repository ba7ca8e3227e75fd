//! Artifacts: content of registries, layouts and archives that is not an image.

use std::fmt;
use std::sync::Arc;

use banger_tree::Cancellation;

use crate::digest::Digest;
use crate::platform::Platform;
use crate::reference::Reference;
use crate::registry::cache::BlobCache;
use crate::registry::engine::Engine;
use crate::registry::error::PullError;
use crate::registry::event::Progress;
use crate::registry::layer::Layer;
use crate::registry::manifest::ImageManifest;
use crate::registry::options::PullOptions;
use crate::registry::pull::{FoundImage, PulledImage};
use crate::registry::referrers::PulledReferrer;
use crate::registry::stop::PullStop;
use crate::registry::trust::VerifiedSignature;
use crate::registry::wanted::Wanted;

/// An artifact with a checked manifest and configuration. No blob is on its way.
pub struct FoundArtifact(FoundImage);

impl fmt::Debug for FoundArtifact {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("FoundArtifact").field(self.digest()).finish()
    }
}

impl FoundArtifact {
    /// Returns the digest of the manifest.
    #[must_use]
    pub fn digest(&self) -> &Digest {
        &self.0.chosen.digest
    }

    /// Returns the manifest.
    #[must_use]
    pub fn manifest(&self) -> &ImageManifest {
        &self.0.chosen.manifest
    }

    /// Returns the configuration as published.
    #[must_use]
    pub fn config_bytes(&self) -> &[u8] {
        &self.0.chosen.config_bytes
    }

    /// Returns odd facts that do not fail the pull.
    #[must_use]
    pub fn warnings(&self) -> &[String] {
        &self.0.chosen.warnings
    }

    /// Returns the signatures that met the requirements of [`PullOptions::trust`](crate::PullOptions::trust).
    #[must_use]
    pub fn signatures(&self) -> &[VerifiedSignature] {
        &self.0.chosen.signatures
    }

    /// Returns the artifacts that refer to this one, if [`PullOptions::referrers`](crate::PullOptions::referrers) asks
    /// for them.
    #[must_use]
    pub fn referrers(&self) -> &[PulledReferrer] {
        &self.0.referrers
    }

    /// Starts the downloads of the blobs whose numbers in the manifest `wants` accepts. The result has these blobs
    /// and no others, in the order of the manifest.
    ///
    /// # Errors
    ///
    /// The errors of [`Puller::pull`](crate::Puller::pull).
    pub fn fetch(self, wants: impl Fn(usize) -> bool) -> Result<PulledArtifact, PullError> {
        self.0.fetch(wants).map(PulledArtifact)
    }
}

/// An artifact with a checked manifest and configuration. Its blobs can be read, while some of them may still be
/// downloading.
///
/// A drop stops the downloads. While the value exists, [`BlobCache::prune`] does not remove its blobs.
#[derive(Debug)]
pub struct PulledArtifact(PulledImage);

impl PulledArtifact {
    /// Returns the digest of the manifest.
    #[must_use]
    pub fn digest(&self) -> &Digest {
        &self.0.digest
    }

    /// Returns the digest of the index that the artifact was chosen from.
    #[must_use]
    pub fn index_digest(&self) -> Option<&Digest> {
        self.0.index_digest.as_ref()
    }

    /// Returns the platform of the artifact: `os` and `architecture` of its configuration, else those of the
    /// index, else the wanted platform.
    #[must_use]
    pub fn platform(&self) -> &Platform {
        &self.0.platform
    }

    /// Returns the manifest.
    #[must_use]
    pub fn manifest(&self) -> &ImageManifest {
        &self.0.manifest
    }

    /// Returns the configuration as published.
    #[must_use]
    pub fn config_bytes(&self) -> &[u8] {
        &self.0.config_bytes
    }

    /// Returns the blobs that were asked for, in the order of the manifest. Each `diff_id` is the digest of the blob.
    #[must_use]
    pub fn blobs(&self) -> &[Layer] {
        &self.0.layers
    }

    /// Returns the signatures that met the requirements of [`PullOptions::trust`].
    #[must_use]
    pub fn signatures(&self) -> &[VerifiedSignature] {
        &self.0.signatures
    }

    /// Returns the artifacts that refer to this one, if [`PullOptions::referrers`] asks for them.
    #[must_use]
    pub fn referrers(&self) -> &[PulledReferrer] {
        &self.0.referrers
    }

    /// Returns odd facts that do not fail the pull.
    #[must_use]
    pub fn warnings(&self) -> &[String] {
        &self.0.warnings
    }

    /// Waits for all downloads, and checks all blobs: see [`PulledImage::finish`].
    ///
    /// # Errors
    ///
    /// The errors of [`PulledImage::finish`].
    pub fn finish(&self) -> Result<(), PullError> {
        self.0.finish()
    }

    /// Removes damaged blobs from the cache and fetches them again: see [`PulledImage::repair`].
    ///
    /// # Errors
    ///
    /// The errors of [`PulledImage::repair`].
    pub fn repair(&mut self) -> Result<bool, PullError> {
        self.0.repair()
    }
}

/// Finds an artifact of the type `artifact_type`.
pub(crate) fn find_artifact(
    engine: &Arc<Engine>,
    reference: &Reference,
    artifact_type: &str,
    cache: &BlobCache,
    options: &PullOptions,
    progress: &Progress,
    cancellation: &Cancellation,
) -> Result<Option<FoundArtifact>, PullError> {
    if matches!(reference, Reference::DockerArchive { .. } | Reference::Daemon { .. }) {
        return Ok(None);
    }
    let mut options = options.clone();
    options.wanted = Wanted::Artifact(artifact_type.to_ascii_lowercase());
    match FoundImage::find(engine, reference, cache, &options, progress, &PullStop::new(cancellation)) {
        Ok(found) => Ok(Some(FoundArtifact(found))),
        Err(PullError::NotAnImage { .. }) => Ok(None),
        Err(error) => Err(error),
    }
}
