//! From a reference to a verified image: the platform is chosen, the layers are on their way.

use std::collections::HashMap;
use std::sync::Arc;

use banger_tree::Advice;
use camino::Utf8Path;

use crate::digest::Digest;
use crate::platform::Platform;
use crate::reference::Reference;
use crate::registry::cache::BlobCache;
use crate::registry::config::ImageConfig;
use crate::registry::engine::Engine;
use crate::registry::error::PullError;
use crate::registry::event::{Progress, PullEvent, ResolvedLayer};
use crate::registry::layer::Layer;
use crate::registry::manifest::{Descriptor, ImageManifest};
use crate::registry::options::PullOptions;
use crate::registry::referrers::{PulledReferrer, fetch_referrers};
use crate::registry::resolver::{Chosen, Resolver};
use crate::registry::slots::{ReadPermit, RunningPull};
use crate::registry::source::{
    Archive, ArchiveFiles, ArchiveKind, Brought, ContainersStorage, DirFiles, DockerArchive, Fetcher,
    INPUT_NAME, ImageSource, Layout, Remote, export, export_name, no_input, open_containerd,
};
use crate::registry::stop::PullStop;
use crate::registry::trace::trace;
use crate::registry::trust::VerifiedSignature;
use crate::registry::wanted::Wanted;

/// An image with a checked manifest and configuration. Its layers can be read, while some of them may still
/// be downloading.
///
/// A drop stops the downloads. Partial downloads stay in the cache, and the next pull resumes them. While the
/// value exists, [`BlobCache::prune`] does not remove its blobs.
#[derive(Debug)]
#[non_exhaustive]
pub struct PulledImage {
    /// The value asked for.
    pub reference: Reference,
    /// The reference that led to the image. It differs from the value asked for where that was a short name.
    pub resolved: Reference,
    /// The digest of the image manifest. Docker archives have no manifest, so banger makes one for each
    /// image.
    pub digest: Digest,
    /// The digest of the index the image was chosen from.
    pub index_digest: Option<Digest>,
    /// The platform of the image.
    pub platform: Platform,
    /// The platforms in the index, at most 256; none without an index.
    pub platforms: Vec<Platform>,
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
    /// Odd facts about the image that do not fail the pull.
    pub warnings: Vec<String>,
    /// The signatures that met the requirements of [`PullOptions::trust`].
    pub signatures: Vec<VerifiedSignature>,
    /// The artifacts that refer to the image or its index, if [`PullOptions::referrers`] asks for them.
    pub referrers: Vec<PulledReferrer>,
    /// The downloads of the layers.
    fetcher: Option<Arc<Fetcher>>,
    stop: PullStop,
    _running: RunningPull,
    /// Behind the fetcher: its threads end after its downloads.
    engine: Arc<Engine>,
}

impl PulledImage {
    /// Waits for all downloads. Afterwards every layer of a registry's image is complete in the
    /// cache, and all layers, wherever they are, have been read and found to match.
    ///
    /// # Errors
    ///
    /// The first error of a layer, base first; [`PullError::Panicked`] if the handler of the events panicked.
    pub fn finish(&self) -> Result<(), PullError> {
        self.layers.iter().try_for_each(Layer::settle)?;
        self.stop.check_handler()
    }

    /// Waits until fewer images than [`PullerOptions::parallel_reads`](crate::PullerOptions::parallel_reads)
    /// of the same puller are read. Others wait until the permit is dropped; downloads go on meanwhile. The
    /// permit also says how many [streams](ReadPermit::streams) [`flatten`](crate::flatten()) may have.
    ///
    /// # Errors
    ///
    /// [`PullError::Cancelled`], and other errors that stop the pull.
    pub fn read_permit(&self) -> Result<ReadPermit, PullError> {
        self.engine.reads.acquire(&self.stop)
    }

    /// Call this after a layer could not be read or had a wrong digest. It checks the layers in the cache,
    /// removes damaged ones and fetches them again in the background. Then the layers can be read again from
    /// their start. Returns whether a layer was damaged.
    ///
    /// A layer is fetched again at most once.
    ///
    /// # Errors
    ///
    /// [`PullError::Cancelled`], or [`PullError::Io`] if the cache cannot be read.
    pub fn repair(&mut self) -> Result<bool, PullError> {
        match &self.fetcher {
            Some(fetcher) => fetcher.repair(&mut self.layers).map_err(|error| fetcher.shown(error)),
            None => Ok(false),
        }
    }
}

/// Finds an image and starts its downloads; `stop` stops all of it.
pub(crate) fn find_image(
    engine: &Arc<Engine>,
    reference: &Reference,
    cache: &BlobCache,
    options: &PullOptions,
    progress: &Progress,
    stop: &PullStop,
) -> Result<PulledImage, PullError> {
    FoundImage::find(engine, reference, cache, options, progress, stop)?.fetch(|_| true)
}

/// Checked documents of an image. No layer is on its way.
pub(crate) struct FoundImage {
    reference: Reference,
    source: Box<dyn ImageSource>,
    pub(crate) chosen: Chosen,
    pub(crate) referrers: Vec<PulledReferrer>,
    options: PullOptions,
    progress: Progress,
    stop: PullStop,
    running: RunningPull,
    /// Behind the source: its threads end after its downloads.
    engine: Arc<Engine>,
}

impl FoundImage {
    /// Finds an image; `stop` stops all of it.
    pub(crate) fn find(
        engine: &Arc<Engine>,
        reference: &Reference,
        cache: &BlobCache,
        options: &PullOptions,
        progress: &Progress,
        stop: &PullStop,
    ) -> Result<Self, PullError> {
        let running = engine.reads.enter();
        let progress = progress.guarded(stop);
        progress.emit(PullEvent::Resolving { reference: reference.to_string() });
        stop.check()?;
        let source = open_source(engine, reference, cache, options, &progress, stop)?;
        let outcome = Resolver::new(&*source, reference, options, stop).and_then(Resolver::resolve);
        let outcome = outcome.and_then(|chosen| {
            // Before the layers: a pull that fails here downloads nothing.
            let subjects: Vec<&Digest> = chosen.index_digest.iter().chain([&chosen.digest]).collect();
            let referrers = fetch_referrers(&*source, &subjects, options)?;
            Ok((chosen, referrers))
        });
        let (chosen, referrers) = outcome.map_err(|error| source.shown(error))?;
        Ok(Self {
            reference: reference.clone(),
            source,
            chosen,
            referrers,
            options: options.clone(),
            progress,
            stop: stop.clone(),
            running,
            engine: Arc::clone(engine),
        })
    }

    /// Starts the downloads of the layers whose numbers `wants` accepts. The image gets no others.
    pub(crate) fn fetch(self, wants: impl Fn(usize) -> bool) -> Result<PulledImage, PullError> {
        let Self { reference, source, chosen, referrers, options, progress, stop, running, engine } = self;
        let layers = chosen.layers(&*source, &options, &progress, wants);
        let layers = layers.and_then(|layers| stop.check().map(|()| layers));
        let layers = layers.map_err(|error| source.shown(error))?;
        Ok(PulledImage {
            resolved: source.resolved().unwrap_or_else(|| reference.clone()),
            reference,
            digest: chosen.digest,
            index_digest: chosen.index_digest,
            platform: chosen.platform,
            platforms: chosen.platforms,
            config_digest: chosen.manifest.config.digest.clone(),
            manifest: chosen.manifest,
            config: chosen.config,
            config_bytes: chosen.config_bytes,
            warnings: chosen.warnings,
            signatures: chosen.signatures,
            referrers,
            layers,
            fetcher: source.keep(),
            stop,
            _running: running,
            engine,
        })
    }
}

/// Opens the place of an image.
fn open_source(
    engine: &Engine,
    reference: &Reference,
    cache: &BlobCache,
    options: &PullOptions,
    progress: &Progress,
    stop: &PullStop,
) -> Result<Box<dyn ImageSource>, PullError> {
    Ok(match (reference, &options.blob_source) {
        (_, Some(source)) => Box::new(Brought::new(source, reference, options, progress, stop)),
        (Reference::Registry(registry), None) => {
            Box::new(Remote::new(engine, registry, cache, options, progress, stop)?)
        }
        (Reference::OciLayout { dir, selector }, None) => {
            check_directory(dir)?;
            Box::new(Layout::new(DirFiles(dir.clone()), selector, options, progress))
        }
        (Reference::OciArchive { file, selector }, None) => {
            let archive = archive(reference, file, ArchiveKind::Layout, cache, options, stop)?;
            Box::new(Layout::new(ArchiveFiles(archive), selector, options, progress))
        }
        (Reference::DockerArchive { file, selector }, None) => {
            let archive = archive(reference, file, ArchiveKind::Docker, cache, options, stop)?;
            Box::new(DockerArchive::new(&archive, selector, options, progress, stop)?)
        }
        (Reference::Daemon { daemon, name }, None) => {
            let (file, selector) = export(engine, *daemon, name, cache, options, stop)?;
            let path = export_name(*daemon, name);
            let archive = Archive::of_file(&path, file, ArchiveKind::Docker, cache, options, stop)?;
            Box::new(DockerArchive::new(&archive, &selector, options, progress, stop)?)
        }
        (Reference::ContainersStorage { root, selector }, None) => {
            Box::new(ContainersStorage::open(root.as_deref(), selector, options, progress, stop)?)
        }
        (Reference::Containerd { dir, namespace, selector }, None) => {
            Box::new(open_containerd(dir, namespace, selector, options, progress)?)
        }
    })
}

impl Chosen {
    fn layers(
        &self,
        source: &dyn ImageSource,
        options: &PullOptions,
        progress: &Progress,
        wants: impl Fn(usize) -> bool,
    ) -> Result<Vec<Layer>, PullError> {
        let own = match options.wanted {
            Wanted::Image => source.own_layers(&self.manifest, &self.config)?,
            Wanted::Artifact(_) => None,
        };
        let descriptors = own.as_ref().unwrap_or(&self.manifest.layers);
        let of_blobs: Vec<Digest>;
        let diff_ids = match options.wanted {
            Wanted::Image => &self.config.rootfs.diff_ids,
            // The blobs of an artifact are read as they are.
            Wanted::Artifact(_) => {
                of_blobs = descriptors.iter().map(|blob| blob.digest.clone()).collect();
                &of_blobs
            }
        };
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
        self.check_sizes(descriptors)?;
        let wanted = descriptors.iter().zip(diff_ids).enumerate().filter(|(number, _)| wants(*number));
        let (descriptors, diff_ids): (Vec<_>, Vec<_>) =
            wanted.map(|(_, (layer, diff_id))| (layer.clone(), diff_id)).unzip();
        let sizes: HashMap<&Digest, u64> =
            descriptors.iter().map(|layer| (&layer.digest, layer.size)).collect();
        trace!(
            DEBUG,
            digest = self.digest.to_string().as_str(),
            layers = descriptors.len(),
            "the image is known"
        );
        progress.emit(PullEvent::Resolved {
            digest: self.digest.clone(),
            platform: self.platform.clone(),
            layers: descriptors
                .iter()
                .map(|layer| ResolvedLayer { digest: layer.digest.clone(), size_bytes: layer.size })
                .collect(),
            total_bytes: sizes.values().fold(0, |sum, size| sum.saturating_add(*size)),
        });
        if options.documents_only {
            return Ok(Vec::new());
        }
        let contents = source.layers(&descriptors)?;
        let parts = descriptors.into_iter().zip(diff_ids).zip(contents);
        Ok(parts
            .map(|((descriptor, diff_id), content)| Layer { descriptor, diff_id: diff_id.clone(), content })
            .collect())
    }

    /// Fails if one layer has two sizes.
    fn check_sizes(&self, descriptors: &[Descriptor]) -> Result<(), PullError> {
        let mut sizes = HashMap::new();
        for layer in descriptors {
            if *sizes.entry(&layer.digest).or_insert(layer.size) != layer.size {
                return Err(PullError::Malformed {
                    what: format!("manifest {}", self.digest),
                    reason: format!("it gives layer {} two sizes", layer.digest),
                });
            }
        }
        Ok(())
    }
}

/// Opens the archive of a reference: a file, or the input.
fn archive(
    reference: &Reference,
    file: &Utf8Path,
    kind: ArchiveKind,
    cache: &BlobCache,
    options: &PullOptions,
    stop: &PullStop,
) -> Result<Archive, PullError> {
    if !reference.is_input() {
        return Archive::open(file, kind, cache, options, stop);
    }
    let input = options.input.as_ref().ok_or_else(no_input)?;
    let file = input.file(cache, options.download_cap(), stop)?;
    Archive::of_file(INPUT_NAME.into(), file, kind, cache, options, stop)
}

/// Fails if `dir` is not a directory.
fn check_directory(dir: &Utf8Path) -> Result<(), PullError> {
    let found = std::fs::metadata(dir).map_err(PullError::io("open", dir))?;
    if found.is_dir() {
        return Ok(());
    }
    let advice = "write oci-archive: or docker-archive: before it";
    let advice = found.is_file().then(|| Advice::new(advice));
    let (path, reason) = (dir.to_owned(), "it is not a directory".to_owned());
    Err(PullError::Layout { path, reason, advice, may_be_root: false })
}
