//! The pipeline: reference to image, layers to tree, tree to ext4, then one rename.

use std::sync::{Mutex, PoisonError};

use banger_boot::{GuestAgents, InjectError, InjectReport, inject_guest_agents};
use banger_ext4::{BuildReport, Ext4Options, ImageSize};
use banger_oci::{
    BlobCache, FlattenEvent, FlattenOptions, Flattened, Progress, PulledImage, Reference,
    check_own_directory, flatten,
};
use banger_tree::{
    Budget, Cancellation, ContentStore, LayerIndex, Metadata, ResolveAccount, RootfsError, Timestamp,
    TreeRootfs,
};
use camino::Utf8Path;

use crate::backend::named;
use crate::dirs::Dirs;
use crate::discard_store::DiscardStore;
use crate::error::Error;
use crate::event::{Event, EventHandler};
use crate::guest_binary::digest_of;
use crate::identity::uuid_of;
use crate::image_user::user_warning;
use crate::inject::agents_for;
use crate::output::{OutputError, OutputFile, check_not_source};
use crate::pull_events::PullEvents;
use crate::request::{PullRequest, PulledFile};
use crate::store::{
    BuildOptions, GuestBuildOptions, ImageConfigRecord, ImageName, ImageRecord, ImageStore, LayerRecord,
    StoredImage,
};
use crate::time::created_seconds;
use crate::warnings::with_rest;

/// Pulls an image and publishes it in the image store under `dirs`, in the place of an older one
/// of the same name.
///
/// An image that is there already, at the same digest and with the same options, is left as it is
/// unless the request says otherwise. Pulls of one name, by threads or by processes, go one after the
/// other: a second pull of the same image waits for the first ([`Event::PullWaiting`]) and returns its
/// result as unchanged.
///
/// The image stays at its path until what is returned is dropped: it holds a
/// [lease](crate::ImageLease).
///
/// # Errors
/// Any stage; then nothing is published and nothing but downloaded blobs is left.
pub(crate) fn pull(
    request: &PullRequest,
    dirs: &Dirs,
    events: &EventHandler,
    cancellation: &Cancellation,
) -> Result<PulledFile, Error> {
    let run = PullRun { request, events, cancellation };
    let store = ImageStore::new(&dirs.state);
    let name = match &request.name {
        Some(name) => name.clone(),
        None => ImageName::sanitized(&request.reference.suggested_name()),
    };
    let image = run.resolve(dirs)?;
    let agents = run.agents(&image)?;
    // Without a lock: this works also where the state directory cannot be written.
    if let Some(found) = run.existing(&store, &name, &image, agents.as_ref())? {
        return Ok(run.done(PulledFile::stored(found, true)));
    }
    let _turn = store.lock_pull(&name, cancellation, || {
        run.emit(&Event::PullWaiting { name: name.to_string() });
    })?;
    if let Some(found) = run.existing(&store, &name, &image, agents.as_ref())? {
        return Ok(run.done(PulledFile::stored(found, true)));
    }
    let staged = store.stage(cancellation)?;
    let built = run.build(image, agents, &staged.rootfs_path())?;
    run.check_cancelled()?;
    let stored = store.publish(staged, run.record(name, built), cancellation)?;
    Ok(run.done(PulledFile::stored(stored, false)))
}

/// Pulls an image into the single ext4 file `output`, which is complete when this returns and
/// absent when it fails.
///
/// # Errors
/// Any stage, or the file exists and the request does not say to replace it.
pub(crate) fn pull_to_file(
    request: &PullRequest,
    output: &Utf8Path,
    dirs: &Dirs,
    events: &EventHandler,
    cancellation: &Cancellation,
) -> Result<PulledFile, Error> {
    let run = PullRun { request, events, cancellation };
    let source = local_source(&request.reference);
    if let Some(source) = source {
        check_not_source(output, source)?;
    }
    let mut file = OutputFile::create(output, request.force)?;
    // What cannot be read is told when the image is looked for.
    if let Some(metadata) = source.and_then(|source| std::fs::metadata(source).ok()) {
        file = file.limited_to(&metadata);
    }
    let image = run.resolve(dirs)?;
    let agents = run.agents(&image)?;
    let built = run.build(image, agents, &file.partial_path()).map_err(|error| named(&file, error))?;
    run.check_cancelled()?;
    let name = ImageName::sanitized(&request.reference.suggested_name());
    let record = run.record(name, built);
    file.publish()?;
    Ok(run.done(PulledFile { path: output.to_owned(), record, unchanged: false, lease: None }))
}

/// Returns the metadata of the root file system that the layers of an image make, and makes no file.
///
/// # Errors
/// Any stage but the writing of the file system.
pub(crate) fn image_metadata(
    request: &PullRequest,
    dirs: &Dirs,
    events: &EventHandler,
    cancellation: &Cancellation,
) -> Result<Metadata, Error> {
    let run = PullRun { request, events, cancellation };
    let mut image = run.resolve(dirs)?;
    run.with_repair(&mut image, |image| {
        let budget = request.limits.budget();
        let Flattened { tree, warnings, warning_count, .. } =
            run.flatten(image, &mut DiscardStore::default(), &budget)?;
        image.finish()?;
        for message in with_rest(warnings.iter().map(ToString::to_string).collect(), warning_count) {
            run.emit(&Event::Warning { message });
        }
        Ok(Metadata::of(&tree))
    })
}

/// Returns the directory or archive of this host that an image comes from.
fn local_source(reference: &Reference) -> Option<&Utf8Path> {
    match reference {
        Reference::OciLayout { dir, .. } => Some(dir),
        Reference::OciArchive { file, .. } | Reference::DockerArchive { file, .. } => Some(file),
        _ => None,
    }
}

struct PullRun<'a> {
    request: &'a PullRequest,
    events: &'a EventHandler,
    cancellation: &'a Cancellation,
}

/// What is known when the file system is written.
struct Built {
    image: ImageFacts,
    report: BuildReport,
    build: BuildOptions,
    injected: Option<InjectReport>,
    warnings: Vec<String>,
}

/// What a record keeps of a pulled image.
struct ImageFacts {
    digest: String,
    index_digest: Option<String>,
    platform: String,
    config: ImageConfigRecord,
    layers: Vec<LayerRecord>,
}

impl PullRun<'_> {
    fn emit(&self, event: &Event) {
        self.events.emit(event, self.cancellation);
    }

    fn check_cancelled(&self) -> Result<(), Error> {
        if self.cancellation.is_cancelled() { Err(Error::Cancelled) } else { Ok(()) }
    }

    fn done(&self, file: PulledFile) -> PulledFile {
        self.emit(&Event::Done { path: file.path.to_string(), unchanged: file.unchanged });
        file
    }

    /// Finds the image that the reference means and starts its downloads.
    fn resolve(&self, dirs: &Dirs) -> Result<PulledImage, Error> {
        check_own_directory(&dirs.cache)?;
        let cache = BlobCache::open(dirs.cache.join("oci"))?;
        let (events, cancellation) = (self.events.clone(), self.cancellation.clone());
        let translation = Mutex::new(PullEvents::default());
        let progress = Progress::new(move |event| {
            let translated = translation.lock().unwrap_or_else(PoisonError::into_inner).translate(event);
            if let Some(event) = translated {
                events.emit(&event, &cancellation);
            }
        });
        // Documents and archives are charged like layers.
        let mut options = self.request.pull.clone();
        options.budget = self.request.limits.set_in(options.budget.renewed());
        let reference = &self.request.reference;
        let image = match &self.request.puller {
            Some(puller) => puller.pull(reference, &cache, &options, &progress, self.cancellation)?,
            None => banger_oci::pull(reference, &cache, &options, &progress, self.cancellation)?,
        };
        for message in &image.warnings {
            self.emit(&Event::Warning { message: message.clone() });
        }
        Ok(image)
    }

    /// Returns the published image that a build would make again, unless the request is to build it.
    fn existing(
        &self,
        store: &ImageStore,
        name: &ImageName,
        image: &PulledImage,
        agents: Option<&GuestAgents>,
    ) -> Result<Option<StoredImage>, Error> {
        if self.request.force {
            return Ok(None);
        }
        let digest = image.digest.to_string();
        let options = self.build_options(image, agents);
        let images = store.list()?.images;
        let found = images.into_iter().find(|record| {
            record.name == *name
                && record.digest == digest
                && record.build == options
                && store.has_file(&record.id)
        });
        match found {
            Some(record) => Ok(store.keep(record, self.cancellation)?),
            None => Ok(None),
        }
    }

    fn timestamp_seconds(&self, image: &PulledImage) -> i64 {
        self.request.source_date_epoch.unwrap_or_else(|| created_seconds(&image.config))
    }

    /// Returns what makes the image boot, if it is to.
    fn agents(&self, image: &PulledImage) -> Result<Option<GuestAgents>, Error> {
        let Some(options) = &self.request.guest else { return Ok(None) };
        let timestamp = self.timestamp(image);
        agents_for(options, &image.platform.architecture, &config_of(image), timestamp).map(Some)
    }

    fn timestamp(&self, image: &PulledImage) -> Timestamp {
        Timestamp::from_seconds(self.timestamp_seconds(image)).clamped_to_ext4()
    }

    fn build_options(&self, image: &PulledImage, agents: Option<&GuestAgents>) -> BuildOptions {
        let size_bytes = match self.request.size {
            ImageSize::Bytes(bytes) => Some(bytes),
            ImageSize::Auto { .. } => None,
        };
        let guest =
            agents.map(|agents| GuestBuildOptions::new(agents.init.name(), digest_of(agents).to_string()));
        BuildOptions::new(self.request.backend.name())
            .with_size_bytes(size_bytes)
            .with_inodes(self.request.inodes)
            .with_timestamp_seconds(self.timestamp_seconds(image))
            .with_guest(guest)
    }

    /// Writes the image's file system to `path`.
    fn build(
        &self,
        mut image: PulledImage,
        agents: Option<GuestAgents>,
        path: &Utf8Path,
    ) -> Result<Built, Error> {
        let mut is_again = false;
        self.with_repair(&mut image, |image| {
            if std::mem::replace(&mut is_again, true)
                && let Err(source) = std::fs::remove_file(path)
                && source.kind() != std::io::ErrorKind::NotFound
            {
                return Err(OutputError::io("begin again with", path)(source).into());
            }
            self.attempt(image, agents.as_ref(), path)
        })
    }

    /// Does `work` with an image. Where that fails because of a damaged cache, once more with what is
    /// fetched again.
    fn with_repair<T>(
        &self,
        image: &mut PulledImage,
        mut work: impl FnMut(&PulledImage) -> Result<T, Error>,
    ) -> Result<T, Error> {
        loop {
            let error = match work(image) {
                Ok(done) => return Ok(done),
                Err(error) => error,
            };
            // Damage shows in many ways: layers do not inflate, are no tars, have another digest.
            if matches!(error, Error::Cancelled) || self.cancellation.is_cancelled() || !image.repair()? {
                return Err(error);
            }
        }
    }

    /// Merges the layers of an image; the bytes of files go to `store`.
    fn flatten(
        &self,
        image: &PulledImage,
        store: &mut dyn ContentStore,
        budget: &Budget,
    ) -> Result<Flattened, Error> {
        let sizes: Vec<u64> = image.layers.iter().map(|layer| layer.descriptor.size).collect();
        // Threads read, decompress and hash: pulls of one puller take turns.
        let _permit = image.read_permit()?;
        let options = FlattenOptions::default()
            .with_limits(self.request.limits.clone())
            .with_budget(Some(budget.clone()))
            .with_cancellation(self.cancellation.clone());
        Ok(flatten(&image.layers, store, &options, &|event| self.flatten_event(event, &sizes))?)
    }

    fn attempt(
        &self,
        image: &PulledImage,
        agents: Option<&GuestAgents>,
        path: &Utf8Path,
    ) -> Result<Built, Error> {
        let budget = self.request.limits.budget();
        let options = Ext4Options {
            size: self.request.size,
            inodes: self.request.inodes,
            uuid: uuid_of(&image.digest, "uuid").into_bytes(),
            hash_seed: uuid_of(&image.digest, "hash-seed").into_bytes(),
            label: String::new(),
            timestamp: self.timestamp(image),
            budget: budget.clone(),
            cancellation: self.cancellation.clone(),
        };
        let mut begun = self.request.backend.create(path, &options, self.request.scratch_dir.as_deref())?;
        let Flattened { mut tree, warnings, warning_count, .. } =
            self.flatten(image, &mut *begun.builder, &budget)?;
        let missing_user =
            user_warning(&TreeRootfs::new(&mut tree, &mut *begun.builder), &image.config.config.user);
        let injected = match agents {
            Some(agents) => {
                let above = LayerIndex(u32::try_from(image.layers.len()).unwrap_or(u32::MAX));
                let account = ResolveAccount { budget, cancellation: self.cancellation.clone() };
                let mut rootfs =
                    TreeRootfs::new(&mut tree, &mut *begun.builder).with_layer(above).with_account(account);
                Some(inject_guest_agents(&mut rootfs, agents).map_err(|error| match error {
                    InjectError::Rootfs(RootfsError::Cancelled) => Error::Cancelled,
                    other => other.into(),
                })?)
            }
            None => None,
        };
        let facts = self.facts(image);
        let odd_image = image.warnings.clone();
        let build = self.build_options(image, agents);
        // Nothing is published before every blob is known to be what its digest says.
        image.finish()?;
        self.emit(&Event::Building { backend: self.request.backend.name().to_owned() });
        let report = begun.build_ext4(&tree)?;
        let mut warnings = with_rest(warnings.iter().map(ToString::to_string).collect(), warning_count);
        warnings.extend(missing_user);
        warnings.extend(injected.iter().flat_map(|report| report.warnings.iter().cloned()));
        for message in &warnings {
            self.emit(&Event::Warning { message: message.clone() });
        }
        // These were told when the image was found.
        warnings.splice(0..0, odd_image);
        Ok(Built { image: facts, report, build, injected, warnings })
    }

    fn flatten_event(&self, event: FlattenEvent, sizes: &[u64]) {
        match event {
            FlattenEvent::Progress { layer: LayerIndex(layer), published_bytes, .. } => {
                let size_bytes = usize::try_from(layer).ok().and_then(|layer| sizes.get(layer)).copied();
                let size_bytes = size_bytes.unwrap_or(published_bytes);
                self.emit(&Event::LayerProgress { layer, done_bytes: published_bytes, size_bytes });
            }
            FlattenEvent::LayerFinished { layer: LayerIndex(layer), stats } => {
                self.emit(&Event::LayerDone { layer, entries: stats.entries });
            }
            _ => {}
        }
    }

    fn facts(&self, image: &PulledImage) -> ImageFacts {
        ImageFacts {
            digest: image.digest.to_string(),
            index_digest: image.index_digest.as_ref().map(ToString::to_string),
            platform: image.platform.to_string(),
            config: config_of(image),
            layers: image
                .layers
                .iter()
                .map(|layer| {
                    let descriptor = &layer.descriptor;
                    LayerRecord::new(
                        descriptor.digest.to_string(),
                        layer.diff_id.to_string(),
                        descriptor.size,
                    )
                })
                .collect(),
        }
    }

    fn record(&self, name: ImageName, built: Built) -> ImageRecord {
        let Built { image, report, build, injected, warnings } = built;
        ImageRecord {
            index_digest: image.index_digest,
            platform: image.platform,
            config: image.config,
            layers: image.layers,
            size_bytes: report.size_bytes,
            free_bytes: report.free_bytes,
            inodes: report.inodes,
            used_inodes: report.used_inodes,
            boot_contract: injected.as_ref().map(|report| report.contract),
            first_boot_pending: injected.as_ref().is_some_and(|report| report.first_boot_pending),
            fixups: injected.as_ref().map(|report| report.fixups.clone()).unwrap_or_default(),
            injected: injected.map(|report| report.injected).unwrap_or_default(),
            warnings,
            ..ImageRecord::new(name, self.request.reference.to_string(), image.digest, build)
        }
    }
}

fn config_of(image: &PulledImage) -> ImageConfigRecord {
    let config = &image.config.config;
    ImageConfigRecord {
        entrypoint: config.entrypoint.clone(),
        cmd: config.cmd.clone(),
        env: config.env.clone(),
        user: config.user.clone(),
        working_dir: config.working_dir.clone(),
        labels: config.labels.clone(),
    }
}
