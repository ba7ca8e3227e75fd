//! Makes a managed image, or a file, of an artifact.

use std::fs::{File, OpenOptions};
use std::io::Read;
use std::os::fd::AsRawFd as _;

use banger_oci::{FoundArtifact, Layer, PullError, PulledArtifact, Puller, PullerOptions};
use banger_tree::{Advice, Cancellation, Cost, Setting};
use camino::{Utf8Path, Utf8PathBuf};

use super::blocks::BlockTarget;
use super::error::RootfsArtifactError;
use super::format::{ArtifactConfig, ImageWindow, MOST_WINDOWS, ROOTFS_ARTIFACT_TYPE, read_artifact};
use super::restore::{Restoration, WindowBlobs};
use super::reuse::{CopiedWindows, LocalWindows, write_list};
use super::verity_blob::restore_tree;
use crate::argument::ArgumentError;
use crate::dirs::Dirs;
use crate::error::Error;
use crate::event::{Event, EventHandler};
use crate::fetch::Fetch;
use crate::image_facts::has_companions;
use crate::kernel::{KernelStore, place_kernel};
use crate::request::PullRequest;
use crate::rootfs::in_file;
use crate::store::{
    ArtifactOrigin, ImageName, ImageRecord, ImageStore, ReferrerRecord, StagedImage, StoredImage,
};
use crate::verity::VerityRecord;

/// An artifact whose documents are known. No window is on its way.
pub(crate) struct ArtifactPull<'a> {
    request: &'a PullRequest,
    found: FoundArtifact,
    store: ImageStore,
    config: ArtifactConfig,
    windows: Vec<ImageWindow>,
    events: &'a EventHandler,
    cancellation: &'a Cancellation,
}

impl WindowBlobs for &[Layer] {
    fn open(&self, number: usize) -> Result<Box<dyn Read + Send>, PullError> {
        Ok(Box::new(self[number].open()?))
    }
}

impl<'a> ArtifactPull<'a> {
    /// Finds the artifact that the request names; `None` if it names other content.
    pub(crate) fn find(
        request: &'a PullRequest,
        dirs: &Dirs,
        events: &'a EventHandler,
        cancellation: &'a Cancellation,
    ) -> Result<Option<Self>, Error> {
        let fetch = Fetch::open(dirs, events, cancellation)?;
        let puller = request.puller.clone().unwrap_or_else(|| Puller::new(PullerOptions::default()));
        let mut options = request.pull_options();
        // Each blob is a window, and one may be the hash tree.
        options.budget = options.budget.with_limit(Cost::Layers, MOST_WINDOWS + 1);
        let found = puller.find_artifact(
            &request.reference,
            ROOTFS_ARTIFACT_TYPE,
            &fetch.cache,
            &options,
            &fetch.progress,
            cancellation,
        )?;
        let Some(found) = found else { return Ok(None) };
        check_request(request)?;
        let (config, windows) = read_artifact(found.digest(), found.manifest(), found.config_bytes())?;
        for message in found.warnings() {
            events.emit(&Event::Warning { message: message.clone() }, cancellation);
        }
        let store = ImageStore::new(&dirs.state);
        Ok(Some(Self { request, found, store, config, windows, events, cancellation }))
    }

    /// Returns the managed image that an earlier pull of the same artifact made, unless the request asks for a new one.
    pub(crate) fn existing(
        &self,
        store: &ImageStore,
        name: &ImageName,
    ) -> Result<Option<StoredImage>, Error> {
        if self.request.force {
            return Ok(None);
        }
        let digest = self.found.digest().to_string();
        let (signatures, referrers) = (self.found.signatures(), self.found.referrers());
        let is_it = |record: &ImageRecord| {
            let has_tree = record.verity.is_some() || self.request.verity.is_none();
            has_tree
                && record.name == *name
                && record.artifact.as_ref().is_some_and(|origin| origin.digest == digest)
                && has_companions(record, signatures, referrers)
        };
        let images = store.list()?.images;
        match images.into_iter().find(|record| is_it(record) && store.has_files(record)) {
            Some(record) => Ok(store.keep(record, self.cancellation)?),
            None => Ok(None),
        }
    }

    /// Writes the image into a directory of the store, with the files of its kernel if the kernel store under `dirs`
    /// has them. Returns its record.
    pub(crate) fn write_image(
        self,
        staged: &StagedImage,
        name: ImageName,
        dirs: &Dirs,
    ) -> Result<ImageRecord, Error> {
        let path = staged.rootfs_path();
        let mut record = self.record(name);
        staged.write_referrers(self.found.referrers())?;
        record.referrers = self.found.referrers().iter().map(ReferrerRecord::from).collect();
        let (events, cancellation) = (self.events, self.cancellation);
        let windows = self.write(&path, Some(&staged.verity_path()))?;
        write_list(path.parent().unwrap_or(&path), &windows)?;
        if let Some(kernel) = &record.kernel {
            let kernels = KernelStore::new(&dirs.state);
            let here = kernels.list()?.kernels.into_iter().find(|here| here.digest == kernel.digest);
            match here {
                Some(here) => {
                    let stored = kernels.open(here.id.as_str(), cancellation)?;
                    place_kernel(&stored.record, &stored.path, &staged.kernel_path(), cancellation)?;
                    record.kernel = Some(stored.record);
                }
                None => {
                    let message = format!(
                        "the image was pushed with the kernel {} ({}), which this machine does not have",
                        kernel.name, kernel.digest
                    );
                    events.emit(&Event::Warning { message: message.clone() }, cancellation);
                    record.warnings.push(message);
                    record.kernel = None;
                }
            }
        }
        Ok(record)
    }

    /// Writes the image to the new file `path` of the caller. Returns its record.
    pub(crate) fn write_file(self, path: &Utf8Path) -> Result<ImageRecord, Error> {
        let record = self.file_record();
        self.write(path, None)?;
        Ok(record)
    }

    /// Writes the image to the open file `file` of the caller, which `path` names. Returns its record.
    pub(crate) fn write_lent(self, file: &File, path: &Utf8Path) -> Result<ImageRecord, Error> {
        let record = self.file_record();
        let target = BlockTarget::lent(file, path, self.config.size_bytes);
        self.write_windows(&target.map_err(RootfsArtifactError::io("write to", path))?, None)?;
        Ok(record)
    }

    /// Writes the ext4 file `path`, and the hash tree of the image, if it has one, to the file `tree`. Returns all windows.
    fn write(self, path: &Utf8Path, tree: Option<&Utf8Path>) -> Result<Vec<ImageWindow>, Error> {
        let failed = RootfsArtifactError::io("create", path);
        let file = OpenOptions::new().write(true).create_new(true).open(path).map_err(&failed)?;
        let target = BlockTarget::empty(&file, path, self.config.size_bytes).map_err(&failed)?;
        self.write_windows(&target, tree)
    }

    /// Writes the windows: those that images of this machine have, then the others as they come in.
    fn write_windows(
        self,
        target: &BlockTarget<'_>,
        tree: Option<&Utf8Path>,
    ) -> Result<Vec<ImageWindow>, Error> {
        let Self { found, store, config, windows, events, cancellation, .. } = self;
        let places = windows.iter().map(|window| window.offset..window.offset + window.length);
        let cleared = target.clear_outside(places, config.size_bytes);
        cleared.map_err(RootfsArtifactError::io("write to", target.path))?;
        let local = LocalWindows::find(&store, &windows, cancellation)?;
        let CopiedWindows { is_copied, bytes } = local.copy(&windows, target, cancellation)?;
        let numbers = 0..windows.len();
        let fetched: Vec<ImageWindow> =
            numbers.filter(|number| !is_copied[*number]).map(|number| windows[number].clone()).collect();
        if fetched.len() < windows.len() {
            let copied = windows.len() - fetched.len();
            events.emit(&Event::WindowsCopied { windows: copied, size_bytes: bytes }, cancellation);
        }
        let tree = tree.zip(config.record.verity.as_ref());
        // The tree is behind the windows.
        let wants = |number: usize| is_copied.get(number).map_or(tree.is_some(), |is_copied| !is_copied);
        let fetch = WindowFetch { config: &config, windows: &fetched, tree, target, cancellation };
        let mut artifact = found.fetch(wants)?;
        while let Err(error) = fetch.run(&artifact) {
            // A damaged cache is repaired once. What was written was right.
            let is_over = matches!(error, Error::Cancelled) || cancellation.is_cancelled();
            if is_over || !artifact.repair()? {
                return Err(error);
            }
        }
        let opened = Utf8PathBuf::from(format!("/dev/fd/{}", target.file.as_raw_fd()));
        drop(banger_ext4::Ext4Editor::open(&opened).map_err(in_file(target.path))?);
        Ok(windows)
    }

    /// Returns the record of an image in a file of the caller.
    fn file_record(&self) -> ImageRecord {
        let name = ImageName::sanitized(&self.request.reference.suggested_name());
        ImageRecord { kernel: None, verity: None, ..self.record(name) }
    }

    fn record(&self, name: ImageName) -> ImageRecord {
        let record = &self.config.record;
        let origin =
            ArtifactOrigin { digest: self.found.digest().to_string(), source: record.source.clone() };
        let mut record = record.pulled_as(name, self.request.reference.to_string());
        // The signatures that were verified where the image was pushed are those of its source.
        if !self.found.signatures().is_empty() {
            record.signatures = self.found.signatures().to_vec();
        }
        ImageRecord { artifact: Some(origin), ..record }
    }
}

/// What is made of the blobs that are fetched.
struct WindowFetch<'a> {
    config: &'a ArtifactConfig,
    /// The windows of the blobs.
    windows: &'a [ImageWindow],
    /// The file of the hash tree, whose blob is the last one.
    tree: Option<(&'a Utf8Path, &'a VerityRecord)>,
    target: &'a BlockTarget<'a>,
    cancellation: &'a Cancellation,
}

impl WindowFetch<'_> {
    fn run(&self, artifact: &PulledArtifact) -> Result<(), Error> {
        let Self { config, windows, tree, target, cancellation } = *self;
        let (digest, blobs) = (artifact.digest(), &artifact.blobs());
        Restoration { digest, config, windows, blobs, cancellation }.write(target)?;
        if let (Some((path, verity)), Some(blob)) = (tree, blobs.last()) {
            restore_tree(blob.open()?, path, verity, digest, cancellation)?;
        }
        Ok(artifact.finish()?)
    }
}

/// Fails if the request asks for what only the making of a file system can give.
fn check_request(request: &PullRequest) -> Result<(), ArgumentError> {
    let kernel = request.kernel_ref.clone().map(|kernel| ("kernel_ref", kernel));
    let Some((setting, value)) = kernel.or_else(|| request.file_system.first_setting()) else {
        return Ok(());
    };
    let reason = format!("{} is a finished image: nothing in it is made here", request.reference);
    let advice = Advice::new("leave it out, or pull the image that the finished one was made of");
    Err(ArgumentError::new(Setting(setting), value, reason).with_advice(advice))
}
