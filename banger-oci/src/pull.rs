//! From a reference to a verified image: the platform is chosen, the layers are on their way.

use std::collections::HashMap;
use std::sync::Arc;

use camino::Utf8Path;

use crate::cache::BlobCache;
use crate::config::ImageConfig;
use crate::digest::Digest;
use crate::error::PullError;
use crate::event::{CancelToken, Progress, PullEvent};
use crate::layer::Layer;
use crate::manifest::ImageManifest;
use crate::options::PullOptions;
use crate::platform::Platform;
use crate::reference::Reference;
use crate::resolver::{Chosen, Resolver};
use crate::source::{
    Archive, ArchiveFiles, ArchiveKind, DirFiles, DockerArchive, Fetcher, ImageSource, Layout, Remote,
};

/// An image whose manifest and configuration are known and checked, and whose layers can be
/// read, while some of them may still be on their way.
///
/// Dropping it stops the downloads; what has arrived stays in the cache and is resumed by the
/// next pull. While it exists, [`BlobCache::prune`] leaves its blobs alone.
#[derive(Debug)]
#[non_exhaustive]
pub struct PulledImage {
    /// What was asked for.
    pub reference: Reference,
    /// The digest of the image manifest. For docker archives, which have none, that of the
    /// manifest made for it.
    pub digest: Digest,
    /// The digest of the index the image was chosen from.
    pub index_digest: Option<Digest>,
    /// What the image is built for.
    pub platform: Platform,
    /// The image manifest.
    pub manifest: ImageManifest,
    /// The image configuration.
    pub config: ImageConfig,
    /// The image configuration as published.
    pub config_bytes: Vec<u8>,
    /// The digest of the image configuration.
    pub config_digest: Digest,
    /// The layers, base first.
    pub layers: Vec<Layer>,
    /// What is odd about the image and does not keep it from being used.
    pub warnings: Vec<String>,
    /// What downloads the layers.
    fetcher: Option<Arc<Fetcher>>,
}

impl PulledImage {
    /// Waits for all downloads. Afterwards every layer of a registry's image is complete in the
    /// cache, and all layers, wherever they are, have been read and found to match.
    ///
    /// # Errors
    ///
    /// The first error of a layer, base first.
    pub fn finish(&self) -> Result<(), PullError> {
        self.layers.iter().try_for_each(Layer::settle)
    }

    /// After the layers could not be read or were not what was expected: looks whether the cache is
    /// to blame. What is damaged there is removed and fetched again in the background, so that the
    /// layers can be read once more from their start. Returns whether there was anything.
    ///
    /// A layer is fetched again at most once.
    ///
    /// # Errors
    ///
    /// [`PullError::Cancelled`], or [`PullError::Io`] where the cache cannot be read.
    pub fn repair(&mut self) -> Result<bool, PullError> {
        match &self.fetcher {
            Some(fetcher) => fetcher.repair(&mut self.layers).map_err(|error| fetcher.shown(error)),
            None => Ok(false),
        }
    }
}

/// Finds an image and starts its downloads, which go on in the background when this returns.
///
/// A tag is looked up at the registry each time; all that has been fetched before comes from
/// the cache. A digest whose content is all in the cache needs no request at all.
///
/// Blocks; must not be called on a thread that runs asynchronous tasks.
///
/// # Errors
///
/// See [`PullError`]. Errors of layers come later, from their readers and from
/// [`PulledImage::finish`].
pub fn pull(
    reference: &Reference,
    cache: &BlobCache,
    options: &PullOptions,
    progress: &Progress,
    cancel: &CancelToken,
) -> Result<PulledImage, PullError> {
    progress.emit(PullEvent::Resolving { reference: reference.to_string() });
    cancel.check()?;
    let source: Box<dyn ImageSource> = match reference {
        Reference::Registry(registry) => Box::new(Remote::new(registry, cache, options, progress, cancel)?),
        Reference::OciLayout { dir, selector } => {
            if !dir.is_dir() {
                return Err(no_directory(dir));
            }
            Box::new(Layout::new(DirFiles(dir.clone()), selector, options, progress))
        }
        Reference::OciArchive { file, selector } => {
            let archive = open_archive(file, ArchiveKind::Layout, cache, options, cancel)?;
            Box::new(Layout::new(ArchiveFiles(archive), selector, options, progress))
        }
        Reference::DockerArchive { file, selector } => {
            let archive = open_archive(file, ArchiveKind::Docker, cache, options, cancel)?;
            Box::new(DockerArchive::new(&archive, selector, options, progress, cancel)?)
        }
    };
    let outcome = find(&*source, reference, options, progress, cancel);
    let (chosen, layers) = outcome.map_err(|error| source.shown(error))?;
    Ok(PulledImage {
        reference: reference.clone(),
        digest: chosen.digest,
        index_digest: chosen.index_digest,
        platform: chosen.platform,
        config_digest: chosen.manifest.config.digest.clone(),
        manifest: chosen.manifest,
        config: chosen.config,
        config_bytes: chosen.config_bytes,
        warnings: chosen.warnings,
        layers,
        fetcher: source.keep(),
    })
}

/// Finds an image in a source, and its layers.
fn find(
    source: &dyn ImageSource,
    reference: &Reference,
    options: &PullOptions,
    progress: &Progress,
    cancel: &CancelToken,
) -> Result<(Chosen, Vec<Layer>), PullError> {
    let chosen = Resolver::new(source, reference, options, cancel).resolve()?;
    let layers = chosen.layers(source, options, progress)?;
    cancel.check()?;
    Ok((chosen, layers))
}

impl Chosen {
    fn layers(
        &self,
        source: &dyn ImageSource,
        options: &PullOptions,
        progress: &Progress,
    ) -> Result<Vec<Layer>, PullError> {
        let descriptors = &self.manifest.layers;
        let diff_ids = &self.config.rootfs.diff_ids;
        if descriptors.is_empty() || descriptors.len() != diff_ids.len() {
            return Err(PullError::LayerCount {
                digest: self.digest.clone(),
                layers: descriptors.len(),
                diff_ids: diff_ids.len(),
            });
        }
        options.check_layers(descriptors.len(), &format!("image {}", self.digest))?;
        let total = descriptors.iter().try_fold(0_u64, |sum, layer| sum.checked_add(layer.size));
        let total = total.unwrap_or(u64::MAX);
        options.download_cap().check(total, &format!("the layers of {}", self.digest))?;
        let mut sizes = HashMap::new();
        for layer in descriptors {
            if *sizes.entry(&layer.digest).or_insert(layer.size) != layer.size {
                return Err(PullError::Malformed {
                    what: format!("manifest {}", self.digest),
                    reason: format!("it gives layer {} two sizes", layer.digest),
                });
            }
        }
        progress.emit(PullEvent::Resolved {
            digest: self.digest.clone(),
            platform: self.platform.clone(),
            layers: descriptors.iter().map(|layer| (layer.digest.clone(), layer.size)).collect(),
        });
        let contents = source.layers(descriptors)?;
        let parts = descriptors.iter().zip(diff_ids).zip(contents);
        Ok(parts
            .map(|((descriptor, diff_id), content)| Layer {
                descriptor: descriptor.clone(),
                diff_id: diff_id.clone(),
                content,
            })
            .collect())
    }
}

/// Why a path, which the file system may not even have, is no layout.
fn no_directory(dir: &Utf8Path) -> PullError {
    let reason = match dir.is_file() {
        true => "it is a file; write oci-archive: or docker-archive: before it",
        false if dir.as_str().starts_with("//") => {
            "there is no such directory; write oci:DIR, without slashes before a relative path"
        }
        false => "there is no such directory",
    };
    PullError::Layout { path: dir.to_owned(), reason: reason.to_owned() }
}

fn open_archive(
    file: &Utf8Path,
    kind: ArchiveKind,
    cache: &BlobCache,
    options: &PullOptions,
    cancel: &CancelToken,
) -> Result<Archive, PullError> {
    let opened = Archive::open(file, kind, cache, options, cancel);
    opened.map_err(|error| match error {
        PullError::Io { .. } if file.as_str().starts_with("//") && !file.exists() => PullError::Layout {
            path: file.to_owned(),
            reason: "there is no such file; leave the slashes out before a relative path".to_owned(),
        },
        other => other,
    })
}
