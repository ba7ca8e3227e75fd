//! What an image is, by its manifest and configuration alone.

use std::sync::Arc;

use crate::digest::Digest;
use crate::platform::Platform;
use crate::reference::Reference;
use crate::registry::cache::BlobCache;
use crate::registry::config::ImageConfig;
use crate::registry::engine::Engine;
use crate::registry::error::PullError;
use crate::registry::event::Progress;
use crate::registry::manifest::ImageManifest;
use crate::registry::options::PullOptions;
use crate::registry::pull::find_image;
use crate::registry::stop::PullStop;

/// An image of which manifest and configuration are known, and nothing else was downloaded.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct InspectedImage {
    /// The reference that led to the image. It differs from the value asked for where that was a short name.
    pub reference: Reference,
    /// The digest of the image manifest.
    pub digest: Digest,
    /// The digest of the index the image was chosen from.
    pub index_digest: Option<Digest>,
    /// The platform of the image.
    pub platform: Platform,
    /// The platforms in the index, at most 256; that of the image if there is no index.
    pub platforms: Vec<Platform>,
    /// The image manifest.
    pub manifest: ImageManifest,
    /// The image configuration.
    pub config: ImageConfig,
    /// The image configuration as published.
    pub config_bytes: Vec<u8>,
    /// Odd facts about the image that do not fail a pull.
    pub warnings: Vec<String>,
}

/// Finds an image without its layers.
pub(crate) fn inspect_image(
    engine: &Arc<Engine>,
    reference: &Reference,
    cache: &BlobCache,
    options: &PullOptions,
    progress: &Progress,
    stop: &PullStop,
) -> Result<InspectedImage, PullError> {
    let mut options = options.clone();
    options.documents_only = true;
    let image = find_image(engine, reference, cache, &options, progress, stop)?;
    let mut platforms = image.platforms.clone();
    if platforms.is_empty() {
        platforms.push(image.platform.clone());
    }
    Ok(InspectedImage {
        reference: image.resolved.clone(),
        digest: image.digest.clone(),
        index_digest: image.index_digest.clone(),
        platform: image.platform.clone(),
        platforms,
        manifest: image.manifest.clone(),
        config: image.config.clone(),
        config_bytes: image.config_bytes.clone(),
        warnings: image.warnings.clone(),
    })
}
