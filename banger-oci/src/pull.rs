//! From a reference to a verified image: the platform is chosen, the layers are on their way.

use std::sync::Arc;

use crate::auth::one_line;
use crate::cache::BlobCache;
use crate::config::ImageConfig;
use crate::digest::Digest;
use crate::error::PullError;
use crate::event::{CancelToken, Progress, PullEvent};
use crate::layer::Layer;
use crate::manifest::{Descriptor, ImageManifest, Manifest, is_index_type, is_manifest_type};
use crate::options::PullOptions;
use crate::platform::Platform;
use crate::reference::Reference;
use crate::source::{
    Archive, ArchiveFiles, DirFiles, DockerArchive, Document, Fetcher, ImageSource, Layout, Remote, Root,
};

/// How deep indexes may be nested.
const MAX_INDEX_DEPTH: u32 = 4;
/// How many documents are read in search of a platform that the index does not state.
const MAX_DOCUMENTS: u32 = 64;

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
                return Err(PullError::Layout {
                    path: dir.clone(),
                    reason: match dir.is_file() {
                        true => "it is a file; write oci-archive: or docker-archive: before it".to_owned(),
                        false => "there is no such directory".to_owned(),
                    },
                });
            }
            Box::new(Layout::new(DirFiles(dir.clone()), selector, options, progress))
        }
        Reference::OciArchive { file, selector } => {
            let archive = Archive::open(file, cache, options.download_cap(), cancel)?;
            Box::new(Layout::new(ArchiveFiles(archive), selector, options, progress))
        }
        Reference::DockerArchive { file, selector } => {
            let archive = Archive::open(file, cache, options.download_cap(), cancel)?;
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
    let chosen = Resolver {
        source,
        reference,
        wanted: options.platform.clone().unwrap_or_else(Platform::host),
        available: Vec::new(),
        documents: 0,
        options,
    }
    .resolve()?;
    let layers = chosen.layers(source, options, progress)?;
    cancel.check()?;
    Ok((chosen, layers))
}

/// The image that was chosen.
struct Chosen {
    digest: Digest,
    index_digest: Option<Digest>,
    platform: Platform,
    manifest: ImageManifest,
    config: ImageConfig,
    config_bytes: Vec<u8>,
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
        let total = descriptors.iter().try_fold(0_u64, |sum, layer| sum.checked_add(layer.size));
        let total = total.unwrap_or(u64::MAX);
        options.download_cap().check(total, &format!("the layers of {}", self.digest))?;
        for (at, layer) in descriptors.iter().enumerate() {
            let same = |other: &&Descriptor| other.digest == layer.digest;
            if descriptors[..at].iter().find(same).is_some_and(|other| other.size != layer.size) {
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

/// Finds the image for a platform below a root.
struct Resolver<'a> {
    source: &'a dyn ImageSource,
    reference: &'a Reference,
    wanted: Platform,
    /// The platforms met that do not fit.
    available: Vec<String>,
    documents: u32,
    options: &'a PullOptions,
}

/// An image that fits, and how well.
struct Candidate {
    rank: u32,
    descriptor: Descriptor,
    index_digest: Option<Digest>,
}

impl Resolver<'_> {
    fn resolve(mut self) -> Result<Chosen, PullError> {
        let (descriptors, index_digest) = match self.source.root()? {
            Root::Choice(descriptors) => (descriptors, None),
            Root::Document(document) => match self.parse(&document)? {
                Manifest::Image(manifest) => {
                    let chosen = self.image(document.digest, None, None, manifest)?;
                    return match self.fit(&chosen.platform) {
                        Some(_) => Ok(chosen),
                        None => Err(self.no_platform()),
                    };
                }
                Manifest::Index(index) => (index.manifests, Some(document.digest)),
            },
        };
        let mut candidates = Vec::new();
        self.collect(&descriptors, index_digest.as_ref(), 1, &mut candidates)?;
        // The first of equals: an index lists what it prefers first.
        let best = candidates.into_iter().rev().max_by_key(|candidate| candidate.rank);
        let best = best.ok_or_else(|| self.no_platform())?;
        let document = self.document(&best.descriptor)?;
        match self.parse(&document)? {
            Manifest::Image(manifest) => {
                let stated = best.descriptor.platform;
                self.image(document.digest, best.index_digest, stated, manifest)
            }
            Manifest::Index(_) => Err(PullError::Malformed {
                what: format!("manifest {}", document.digest),
                reason: "it is an index where its descriptor says image".to_owned(),
            }),
        }
    }

    /// Gathers the images that fit from an index and those nested in it.
    fn collect(
        &mut self,
        descriptors: &[Descriptor],
        index_digest: Option<&Digest>,
        depth: u32,
        candidates: &mut Vec<Candidate>,
    ) -> Result<(), PullError> {
        for descriptor in descriptors {
            let stated = descriptor.platform.as_ref();
            if is_attestation(descriptor) || !is_manifest_type(&descriptor.media_type) {
                continue;
            }
            if is_index_type(&descriptor.media_type) {
                if depth >= MAX_INDEX_DEPTH {
                    return Err(PullError::Malformed {
                        what: format!("index {}", descriptor.digest),
                        reason: format!("indexes are nested more than {MAX_INDEX_DEPTH} deep"),
                    });
                }
                if stated.is_some_and(|platform| self.fit(platform).is_none()) {
                    continue;
                }
                let document = self.document(descriptor)?;
                if let Manifest::Index(index) = self.parse(&document)? {
                    let digest = index_digest.unwrap_or(&document.digest);
                    self.collect(&index.manifests, Some(digest), depth + 1, candidates)?;
                }
                continue;
            }
            let rank = match stated {
                Some(platform) => self.fit(platform),
                None => self.look_inside(descriptor)?,
            };
            candidates.extend(rank.map(|rank| Candidate {
                rank,
                descriptor: descriptor.clone(),
                index_digest: index_digest.cloned(),
            }));
        }
        Ok(())
    }

    /// The rank of an image whose platform only its configuration says.
    fn look_inside(&mut self, descriptor: &Descriptor) -> Result<Option<u32>, PullError> {
        let document = self.document(descriptor)?;
        let manifest = match self.parse(&document) {
            Ok(Manifest::Image(manifest)) => manifest,
            // An artifact beside the images of an index is none of our business.
            Ok(Manifest::Index(_)) | Err(PullError::NotAnImage { .. }) => return Ok(None),
            Err(error) => return Err(error),
        };
        let chosen = self.image(document.digest, None, None, manifest)?;
        Ok(self.fit(&chosen.platform))
    }

    fn document(&mut self, descriptor: &Descriptor) -> Result<Document, PullError> {
        self.documents += 1;
        let what = || format!("manifest {}", descriptor.digest);
        if self.documents > MAX_DOCUMENTS {
            return Err(PullError::Malformed {
                what: what(),
                reason: format!("its index needs more than {MAX_DOCUMENTS} documents read"),
            });
        }
        self.options.manifest_cap().check(descriptor.size, &what())?;
        let document = self.source.document(descriptor)?;
        descriptor.check(&document.bytes, "its source")?;
        // The descriptor has a say in what the document is, whatever its source called it.
        Manifest::parse(&document.bytes, Some(&descriptor.media_type), &what())?;
        Ok(document)
    }

    fn parse(&self, document: &Document) -> Result<Manifest, PullError> {
        let what = format!("manifest {}", document.digest);
        Manifest::parse(&document.bytes, document.media_type.as_deref(), &what)
    }

    /// Reads the configuration that belongs to a manifest.
    fn image(
        &self,
        digest: Digest,
        index_digest: Option<Digest>,
        stated: Option<Platform>,
        manifest: ImageManifest,
    ) -> Result<Chosen, PullError> {
        let what = format!("image configuration {}", manifest.config.digest);
        self.options.config_cap().check(manifest.config.size, &what)?;
        let config_bytes = self.source.config(&manifest.config)?;
        manifest.config.check(&config_bytes, "its source")?;
        let config = ImageConfig::parse(&config_bytes, &manifest.config.digest)?;
        let own = config.platform();
        // Images made from scratch by simple tools leave it out: then anything fits.
        let own = (!own.os.is_empty() && !own.architecture.is_empty()).then_some(own);
        let platform = own.or(stated).unwrap_or_else(|| self.wanted.clone());
        Ok(Chosen { digest, index_digest, platform, manifest, config, config_bytes })
    }

    /// How well a platform fits; one that does not is remembered for the error.
    fn fit(&mut self, offered: &Platform) -> Option<u32> {
        let rank = self.wanted.rank(offered);
        if rank.is_none() {
            let name = one_line(&offered.to_string());
            if !self.available.contains(&name) {
                self.available.push(name);
            }
        }
        rank
    }

    fn no_platform(&self) -> PullError {
        if self.available.is_empty() {
            return PullError::NotAnImage {
                what: self.reference.to_string(),
                reason: "its index lists no images".to_owned(),
            };
        }
        PullError::NoPlatform {
            reference: self.reference.to_string(),
            wanted: self.wanted.to_string(),
            available: self.available.clone(),
        }
    }
}

/// Whether an entry of an index describes another one instead of being an image.
fn is_attestation(descriptor: &Descriptor) -> bool {
    descriptor.annotations.contains_key("vnd.docker.reference.type")
        || descriptor
            .platform
            .as_ref()
            .is_some_and(|platform| platform.os == "unknown" && platform.architecture == "unknown")
}
