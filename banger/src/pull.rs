//! The pipeline: reference to image, layers to tree, tree to ext4, then one rename.

use banger_boot::{GuestAgents, InjectError, InjectReport, inject_guest_agents};
use banger_ext4::BuildReport;
use banger_oci::{FlattenEvent, FlattenOptions, Flattened, PullError, PulledImage, Reference, flatten};
use banger_tree::{
    Budget, Cancellation, ContentStore, LayerIndex, Metadata, ResolveAccount, RootfsError, Timestamp,
    TreeRootfs,
};
use camino::Utf8Path;

use crate::backend::{BuildPlace, named};
use crate::boot::kernel_warnings;
use crate::dirs::Dirs;
use crate::discard_store::DiscardStore;
use crate::error::Error;
use crate::event::{Event, EventHandler};
use crate::fetch::Fetch;
use crate::guest_binary::digest_of;
use crate::identity::uuid_of;
use crate::image_facts::{ImageFacts, has_companions};
use crate::image_user::user_warning;
use crate::inject::agents_for;
use crate::kernel::{KernelStore, StoredKernel, has_vsock_module, merge_modules, place_kernel};
use crate::output::{OutputError, OutputFile, check_not_source};
use crate::output_fd::OutputFd;
use crate::present::present_image;
use crate::request::{PullRequest, PulledFile};
use crate::rootfs_artifact::{ArtifactPull, RootfsArtifactError};
use crate::store::{
    BuildOptions, GuestBuildOptions, ImageConfigRecord, ImageName, ImageRecord, ImageStore, ReferrerRecord,
    StagedImage, StoredImage, VERITY_FILE,
};
use crate::time::created_seconds;
use crate::verity::{TreeOutput, VerityRecord, check_managed, check_open_file, write_tree};
use crate::warnings::with_rest;

/// The work of [`pull`](crate::pull).
pub(crate) fn pull(
    request: &PullRequest,
    dirs: &Dirs,
    events: &EventHandler,
    cancellation: &Cancellation,
) -> Result<PulledFile, Error> {
    check_managed(request.verity)?;
    let run = PullRun::new(request, dirs, events, cancellation)?;
    let store = ImageStore::new(&dirs.state);
    let name = match &request.name {
        Some(name) => name.clone(),
        None => ImageName::sanitized(&request.reference.suggested_name()),
    };
    let kernel = run.kernel.as_ref().map(|kernel| kernel.record.digest.as_str());
    if let Some(found) = present_image(request, kernel, &store, &name, cancellation)? {
        return Ok(run.done(PulledFile::stored(found, true)));
    }
    let image = match run.find(dirs)? {
        Found::Image(image) => *image,
        Found::Finished(artifact) => return run.publish_finished(*artifact, name, &store, dirs),
    };
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
    let mut built = run.build(image, agents, BuildPlace::Path(&staged.rootfs_path()))?;
    if let Some(StoredKernel { record, path, .. }) = &run.kernel {
        place_kernel(record, path, &staged.kernel_path(), cancellation)?;
    }
    built.warnings.extend(run.check_kernel(&staged.rootfs_path())?);
    built.verity = run.write_tree(&staged)?;
    staged.write_referrers(&built.image.referrers)?;
    run.check_cancelled()?;
    let stored = store.publish(staged, run.record(name, built), cancellation)?;
    Ok(run.done(PulledFile::stored(stored, false)))
}

/// The work of [`pull_to_file`](crate::pull_to_file).
pub(crate) fn pull_to_file(
    request: &PullRequest,
    output: &Utf8Path,
    dirs: &Dirs,
    events: &EventHandler,
    cancellation: &Cancellation,
) -> Result<PulledFile, Error> {
    let run = PullRun::new(request, dirs, events, cancellation)?;
    let source = local_source(&request.reference);
    if let Some(source) = source {
        check_not_source(output, source)?;
    }
    let mut file = OutputFile::create(output, request.force)?;
    // A source that cannot be read is reported when the image is resolved.
    let limit = source.and_then(|source| std::fs::metadata(source).ok());
    if let Some(metadata) = &limit {
        file = file.limited_to(metadata);
    }
    let tree = |place| TreeOutput::create(place, output, request.force, limit.as_ref());
    let tree = request.verity.map(tree).transpose()?;
    let partial = file.partial_path();
    let image = match run.find(dirs)? {
        Found::Image(image) => *image,
        Found::Finished(artifact) => {
            let mut record = artifact.write_file(&partial)?;
            record.verity = tree.as_ref().map(|tree| tree.write(&partial, cancellation)).transpose()?;
            run.check_cancelled()?;
            publish(file, tree)?;
            return Ok(run.done_file(output, record));
        }
    };
    let agents = run.agents(&image)?;
    let mut built =
        run.build(image, agents, BuildPlace::Path(&partial)).map_err(|error| named(&file, error))?;
    built.warnings.extend(run.check_kernel(&partial)?);
    built.verity = tree.as_ref().map(|tree| tree.write(&partial, cancellation)).transpose()?;
    run.check_cancelled()?;
    publish(file, tree)?;
    Ok(run.done_file(output, run.file_record(built)))
}

fn publish(file: OutputFile, tree: Option<TreeOutput>) -> Result<(), OutputError> {
    match tree {
        Some(tree) => tree.publish_with(file),
        None => file.publish(),
    }
}

/// The work of [`pull_to_fd`](crate::pull_to_fd).
pub(crate) fn pull_to_fd(
    request: &PullRequest,
    output: &OutputFd,
    dirs: &Dirs,
    events: &EventHandler,
    cancellation: &Cancellation,
) -> Result<PulledFile, Error> {
    check_open_file(request.verity)?;
    let run = PullRun::new(request, dirs, events, cancellation)?;
    if let Some(source) = local_source(&request.reference) {
        output.check_not_source(source)?;
    }
    let record = match run.find(dirs)? {
        Found::Image(image) => {
            let agents = run.agents(&image)?;
            run.file_record(run.build(*image, agents, BuildPlace::Fd(output))?)
        }
        Found::Finished(artifact) => {
            let written = artifact.write_lent(output.file(), output.path());
            written.inspect_err(|_| output.empty())?
        }
    };
    match run.check_cancelled().and_then(|()| output.flush()) {
        Ok(()) => Ok(run.done_file(output.path(), record)),
        Err(error) => {
            output.empty();
            Err(error)
        }
    }
}

/// Builds the ext4 file `path` of an image for the caller alone: without events of its end.
pub(crate) fn pull_to_scratch(
    request: &PullRequest,
    path: &Utf8Path,
    dirs: &Dirs,
    events: &EventHandler,
    cancellation: &Cancellation,
) -> Result<(), Error> {
    let run = PullRun::new(request, dirs, events, cancellation)?;
    let image = run.resolve(dirs)?;
    run.build(image, None, BuildPlace::Path(path))?;
    run.check_cancelled()
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
    let run = PullRun::new(request, dirs, events, cancellation)?;
    let mut image = run.resolve(dirs)?;
    run.with_repair(&mut image, |image| {
        let budget = request.limits.budget();
        let permit = image.read_permit()?;
        let Flattened { tree, warnings, warning_count, .. } =
            run.flatten(image, &mut DiscardStore::default(), &budget, permit.streams())?;
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
        Reference::OciArchive { file, .. } | Reference::DockerArchive { file, .. }
            if !reference.is_input() =>
        {
            Some(file)
        }
        Reference::ContainersStorage { root: Some(dir), .. } | Reference::Containerd { dir, .. } => Some(dir),
        _ => None,
    }
}

struct PullRun<'a> {
    request: &'a PullRequest,
    /// The kernel that goes with the image, kept in its place.
    kernel: Option<StoredKernel>,
    events: &'a EventHandler,
    cancellation: &'a Cancellation,
}

/// The content that a reference leads to.
enum Found<'a> {
    Image(Box<PulledImage>),
    /// A root file system that was finished elsewhere.
    Finished(Box<ArtifactPull<'a>>),
}

/// Facts that are known when the file system is written.
struct Built {
    image: ImageFacts,
    report: BuildReport,
    build: BuildOptions,
    injected: Option<InjectReport>,
    warnings: Vec<String>,
    verity: Option<VerityRecord>,
}

impl<'a> PullRun<'a> {
    fn new(
        request: &'a PullRequest,
        dirs: &Dirs,
        events: &'a EventHandler,
        cancellation: &'a Cancellation,
    ) -> Result<Self, Error> {
        let open = |wanted: &String| KernelStore::new(&dirs.state).open(wanted, cancellation);
        let kernel = request.kernel_ref.as_ref().map(open).transpose()?;
        Ok(Self { request, kernel, events, cancellation })
    }

    fn emit(&self, event: &Event) {
        self.events.emit(event, self.cancellation);
    }

    fn check_cancelled(&self) -> Result<(), Error> {
        if self.cancellation.is_cancelled() { Err(Error::Cancelled) } else { Ok(()) }
    }

    /// Returns the record of an image in a file of the caller.
    fn file_record(&self, built: Built) -> ImageRecord {
        self.record(ImageName::sanitized(&self.request.reference.suggested_name()), built)
    }

    /// Ends a pull to a file of the caller.
    fn done_file(&self, path: &Utf8Path, record: ImageRecord) -> PulledFile {
        self.done(PulledFile { path: path.to_owned(), record, unchanged: false, lease: None })
    }

    fn done(&self, file: PulledFile) -> PulledFile {
        self.emit(&Event::Done { path: file.path.to_string(), unchanged: file.unchanged });
        file
    }

    /// Finds the image or the finished root file system that the reference means, and starts its downloads.
    fn find(&self, dirs: &Dirs) -> Result<Found<'a>, Error> {
        let no_image = match self.request.rootfs_only {
            true => RootfsArtifactError::NotFinished { reference: self.request.reference.to_string() }.into(),
            false => match self.resolve(dirs) {
                Err(error @ Error::Pull(PullError::NotAnImage { .. })) => error,
                outcome => return outcome.map(|image| Found::Image(Box::new(image))),
            },
        };
        match ArtifactPull::find(self.request, dirs, self.events, self.cancellation)? {
            Some(artifact) => Ok(Found::Finished(Box::new(artifact))),
            None => Err(no_image),
        }
    }

    /// Publishes a root file system that was finished elsewhere.
    fn publish_finished(
        &self,
        artifact: ArtifactPull<'_>,
        name: ImageName,
        store: &ImageStore,
        dirs: &Dirs,
    ) -> Result<PulledFile, Error> {
        if let Some(found) = artifact.existing(store, &name)? {
            return Ok(self.done(PulledFile::stored(found, true)));
        }
        let _turn = store.lock_pull(&name, self.cancellation, || {
            self.emit(&Event::PullWaiting { name: name.to_string() });
        })?;
        if let Some(found) = artifact.existing(store, &name)? {
            return Ok(self.done(PulledFile::stored(found, true)));
        }
        let staged = store.stage(self.cancellation)?;
        let mut record = artifact.write_image(&staged, name, dirs)?;
        if record.verity.is_none() {
            record.verity = self.write_tree(&staged)?;
        }
        self.check_cancelled()?;
        let stored = store.publish(staged, record, self.cancellation)?;
        Ok(self.done(PulledFile::stored(stored, false)))
    }

    /// Finds the image that the reference means and starts its downloads.
    fn resolve(&self, dirs: &Dirs) -> Result<PulledImage, Error> {
        let Fetch { cache, progress } = Fetch::open(dirs, self.events, self.cancellation)?;
        let options = self.request.pull_options();
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

    /// Returns the published image that a build would make again, unless the request asks for a new build.
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
                && has_companions(record, &image.signatures, &image.referrers)
                && store.has_files(record)
        });
        match found {
            Some(record) => Ok(store.keep(record, self.cancellation)?),
            None => Ok(None),
        }
    }

    fn timestamp_seconds(&self, image: &PulledImage) -> i64 {
        self.request.source_date_epoch.unwrap_or_else(|| created_seconds(&image.config))
    }

    /// Returns the injection for the image, if the request asks for one.
    fn agents(&self, image: &PulledImage) -> Result<Option<GuestAgents>, Error> {
        let Some(options) = &self.request.guest else { return Ok(None) };
        let timestamp = self.timestamp(image);
        let has_module = self.kernel.as_ref().map_or(Ok(false), |kernel| has_vsock_module(&kernel.kernel))?;
        let agents = agents_for(
            options,
            &image.platform.architecture,
            &ImageConfigRecord::of(&image.config),
            timestamp,
        )?;
        Ok(Some(agents.with_kernel_modules(has_module)))
    }

    fn timestamp(&self, image: &PulledImage) -> Timestamp {
        Timestamp::from_seconds(self.timestamp_seconds(image)).clamped_to_ext4()
    }

    fn build_options(&self, image: &PulledImage, agents: Option<&GuestAgents>) -> BuildOptions {
        let guest =
            agents.map(|agents| GuestBuildOptions::new(agents.init.name(), digest_of(agents).to_string()));
        BuildOptions::new(self.request.backend.name())
            .with_file_system(self.request.file_system.clone())
            .with_timestamp_seconds(self.timestamp_seconds(image))
            .with_guest(guest)
            .with_kernel(self.kernel.as_ref().map(|kernel| kernel.record.digest.clone()))
            .with_verity(self.request.verity)
    }

    /// Writes the hash tree of a managed image, if the request asks for one.
    fn write_tree(&self, staged: &StagedImage) -> Result<Option<VerityRecord>, Error> {
        let (rootfs, tree) = (staged.rootfs_path(), staged.verity_path());
        let write = |_| write_tree(&rootfs, &tree, VERITY_FILE, self.cancellation);
        self.request.verity.map(write).transpose()
    }

    /// Writes the image's file system to `place`.
    fn build(
        &self,
        mut image: PulledImage,
        agents: Option<GuestAgents>,
        place: BuildPlace<'_>,
    ) -> Result<Built, Error> {
        let mut is_again = false;
        self.with_repair(&mut image, |image| {
            if std::mem::replace(&mut is_again, true)
                && let BuildPlace::Path(path) = place
                && let Err(source) = std::fs::remove_file(path)
                && source.kind() != std::io::ErrorKind::NotFound
            {
                return Err(OutputError::io("begin again with", path)(source).into());
            }
            self.attempt(image, agents.as_ref(), place)
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
            // Damage shows in many ways: layers do not inflate, are not tars, have another digest.
            if matches!(error, Error::Cancelled) || self.cancellation.is_cancelled() || !image.repair()? {
                return Err(error);
            }
        }
    }

    /// Merges the layers of an image by `streams` threads of decompression; the bytes of files go to `store`.
    fn flatten(
        &self,
        image: &PulledImage,
        store: &mut dyn ContentStore,
        budget: &Budget,
        streams: usize,
    ) -> Result<Flattened, Error> {
        let sizes: Vec<u64> = image.layers.iter().map(|layer| layer.descriptor.size).collect();
        let options = FlattenOptions::default()
            .with_limits(self.request.limits.clone())
            .with_budget(Some(budget.clone()))
            .with_cancellation(self.cancellation.clone())
            .with_streams(streams);
        Ok(flatten(&image.layers, store, &options, &|event| self.flatten_event(event, &sizes))?)
    }

    fn attempt(
        &self,
        image: &PulledImage,
        agents: Option<&GuestAgents>,
        place: BuildPlace<'_>,
    ) -> Result<Built, Error> {
        let budget = self.request.limits.budget();
        // Threads read, decompress, hash and write: pulls of one puller take turns, and share them.
        let permit = image.read_permit()?;
        let file_system = &self.request.file_system;
        let uuid = file_system.uuid.unwrap_or_else(|| uuid_of(&image.digest, "uuid"));
        let options = file_system
            .to_ext4()
            .with_uuid(uuid.into_bytes())
            .with_hash_seed(uuid_of(&image.digest, "hash-seed").into_bytes())
            .with_timestamp(self.timestamp(image))
            .with_budget(budget.clone())
            .with_cancellation(self.cancellation.clone())
            .with_writer_thread(permit.streams() > 0);
        let PullRequest { backend, scratch_dir, pull, .. } = self.request;
        let mut begun = backend.create(place, &options, scratch_dir.as_deref(), pull.child_setup)?;
        let Flattened { mut tree, warnings, warning_count, .. } =
            self.flatten(image, &mut *begun.builder, &budget, permit.streams())?;
        let missing_user =
            user_warning(&TreeRootfs::new(&mut tree, &mut *begun.builder), &image.config.config.user);
        let above = LayerIndex(u32::try_from(image.layers.len()).unwrap_or(u32::MAX));
        let account = ResolveAccount { budget, cancellation: self.cancellation.clone() };
        let mut rootfs =
            TreeRootfs::new(&mut tree, &mut *begun.builder).with_layer(above).with_account(account);
        if let Some(kernel) = &self.kernel {
            merge_modules(&mut rootfs, &kernel.kernel, self.timestamp(image), self.cancellation)
                .map_err(unless_cancelled)?;
        }
        let injected = agents.map(|agents| inject_guest_agents(&mut rootfs, agents)).transpose();
        let injected = injected.map_err(|error| unless_cancelled(error.into()))?;
        let facts = ImageFacts::of(image);
        let odd_image = image.warnings.clone();
        let build = self.build_options(image, agents);
        // Nothing is published before every blob has been checked against its digest.
        image.finish()?;
        self.emit(&Event::Building { backend: self.request.backend.name().to_owned() });
        let report = begun.build_ext4(&tree)?;
        drop(permit);
        let mut warnings = with_rest(warnings.iter().map(ToString::to_string).collect(), warning_count);
        warnings.extend(missing_user);
        warnings.extend(injected.iter().flat_map(|report| report.warnings.iter().cloned()));
        for message in &warnings {
            self.emit(&Event::Warning { message: message.clone() });
        }
        // Events for these were sent when the image was found.
        warnings.splice(0..0, odd_image);
        Ok(Built { image: facts, report, build, injected, warnings, verity: None })
    }

    /// Checks whether the kernel can start the image in the file `path`; tells and returns the faults.
    fn check_kernel(&self, path: &Utf8Path) -> Result<Vec<String>, Error> {
        let Some(StoredKernel { kernel, .. }) = &self.kernel else { return Ok(Vec::new()) };
        let warnings = kernel_warnings(path, kernel, self.request.verity.is_some(), self.cancellation)?;
        for message in &warnings {
            self.emit(&Event::Warning { message: message.clone() });
        }
        Ok(warnings)
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

    fn record(&self, name: ImageName, built: Built) -> ImageRecord {
        let Built { image, report, build, injected, warnings, verity } = built;
        let referrers = image.referrers.iter().map(ReferrerRecord::from).collect();
        ImageRecord {
            index_digest: image.index_digest,
            platform: image.platform,
            config: image.config,
            layers: image.layers,
            signatures: image.signatures,
            referrers,
            size_bytes: report.size_bytes,
            free_bytes: report.free_bytes,
            inodes: report.inodes,
            used_inodes: report.used_inodes,
            boot_contract: injected.as_ref().map(|report| report.contract),
            first_boot_pending: injected.as_ref().is_some_and(|report| report.first_boot_pending),
            fixups: injected.as_ref().map(|report| report.fixups.clone()).unwrap_or_default(),
            injected: injected.map(|report| report.injected).unwrap_or_default(),
            kernel: self.kernel.as_ref().map(|kernel| kernel.record.clone()),
            warnings,
            verity,
            ..ImageRecord::new(name, image.source, image.digest, build)
        }
    }
}

/// Returns the error of an edit of the tree; a stop is that of the run.
fn unless_cancelled(error: Error) -> Error {
    match error {
        Error::Inject(InjectError::Rootfs(RootfsError::Cancelled)) => Error::Cancelled,
        other => other,
    }
}
