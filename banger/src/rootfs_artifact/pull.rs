//! Makes a managed image, or a file, of an artifact.

use std::fs::{File, OpenOptions};
use std::io::Read;

use banger_oci::{Layer, PullError, PulledArtifact, Puller, PullerOptions};
use banger_tree::{Advice, Cancellation, Cost, Setting};
use camino::Utf8Path;

use super::error::RootfsArtifactError;
use super::format::{ArtifactConfig, ImageWindow, MOST_WINDOWS, ROOTFS_ARTIFACT_TYPE, read_artifact};
use super::restore::{Restoration, WindowBlobs};
use crate::argument::ArgumentError;
use crate::dirs::Dirs;
use crate::error::Error;
use crate::event::{Event, EventHandler};
use crate::fetch::Fetch;
use crate::kernel::{KernelStore, place_kernel};
use crate::request::PullRequest;
use crate::rootfs::in_file;
use crate::store::{ArtifactOrigin, ImageName, ImageRecord, ImageStore, StagedImage, StoredImage};

/// An artifact whose windows are on their way.
pub(crate) struct ArtifactPull<'a> {
    request: &'a PullRequest,
    artifact: PulledArtifact,
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
        // Each blob is a window.
        options.budget = options.budget.with_limit(Cost::Layers, MOST_WINDOWS);
        let found = puller.pull_artifact(
            &request.reference,
            ROOTFS_ARTIFACT_TYPE,
            &fetch.cache,
            &options,
            &fetch.progress,
            cancellation,
        )?;
        let Some(artifact) = found else { return Ok(None) };
        check_request(request)?;
        let (config, windows) =
            read_artifact(artifact.digest(), artifact.manifest(), artifact.config_bytes())?;
        for message in artifact.warnings() {
            events.emit(&Event::Warning { message: message.clone() }, cancellation);
        }
        Ok(Some(Self { request, artifact, config, windows, events, cancellation }))
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
        let digest = self.artifact.digest().to_string();
        let is_it = |record: &ImageRecord| {
            record.name == *name && record.artifact.as_ref().is_some_and(|origin| origin.digest == digest)
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
        mut self,
        staged: &StagedImage,
        name: ImageName,
        dirs: &Dirs,
    ) -> Result<ImageRecord, Error> {
        self.write(&staged.rootfs_path())?;
        let mut record = self.record(name);
        if let Some(kernel) = &record.kernel {
            let kernels = KernelStore::new(&dirs.state);
            let here = kernels.list()?.kernels.into_iter().find(|here| here.digest == kernel.digest);
            match here {
                Some(here) => {
                    let stored = kernels.open(here.id.as_str(), self.cancellation)?;
                    place_kernel(&stored.record, &stored.path, &staged.kernel_path(), self.cancellation)?;
                    record.kernel = Some(stored.record);
                }
                None => {
                    let message = format!(
                        "the image was pushed with the kernel {} ({}), which this machine does not have",
                        kernel.name, kernel.digest
                    );
                    self.events.emit(&Event::Warning { message: message.clone() }, self.cancellation);
                    record.warnings.push(message);
                    record.kernel = None;
                }
            }
        }
        Ok(record)
    }

    /// Writes the image to the new file `path` of the caller. Returns its record.
    pub(crate) fn write_file(mut self, path: &Utf8Path) -> Result<ImageRecord, Error> {
        self.write(path)?;
        let name = ImageName::sanitized(&self.request.reference.suggested_name());
        Ok(ImageRecord { kernel: None, ..self.record(name) })
    }

    fn write(&mut self, path: &Utf8Path) -> Result<(), Error> {
        let failed = RootfsArtifactError::io("create", path);
        let file = OpenOptions::new().write(true).create_new(true).open(path).map_err(&failed)?;
        while let Err(error) = self.attempt(&file, path) {
            // A damaged cache is repaired once.
            let is_over = matches!(error, Error::Cancelled) || self.cancellation.is_cancelled();
            if is_over || !self.artifact.repair()? {
                return Err(error);
            }
            file.set_len(0).map_err(&failed)?;
        }
        drop(banger_ext4::Ext4Editor::open(path).map_err(in_file(path))?);
        Ok(())
    }

    fn attempt(&self, file: &File, path: &Utf8Path) -> Result<(), Error> {
        let restoration = Restoration {
            digest: self.artifact.digest(),
            config: &self.config,
            windows: &self.windows,
            blobs: &self.artifact.blobs(),
            cancellation: self.cancellation,
        };
        restoration.write(file, path)?;
        Ok(self.artifact.finish()?)
    }

    fn record(&self, name: ImageName) -> ImageRecord {
        let record = &self.config.record;
        let origin =
            ArtifactOrigin { digest: self.artifact.digest().to_string(), source: record.source.clone() };
        ImageRecord { artifact: Some(origin), ..record.pulled_as(name, self.request.reference.to_string()) }
    }
}

/// Fails if the request asks for what only the making of a file system can give.
fn check_request(request: &PullRequest) -> Result<(), ArgumentError> {
    let asked = [
        ("kernel_ref", request.kernel_ref.clone()),
        ("size", request.size.exact_bytes().map(|bytes| bytes.to_string())),
        ("inodes", request.inodes.map(|inodes| inodes.to_string())),
    ];
    let Some((setting, value)) = asked.into_iter().find_map(|(setting, value)| Some((setting, value?)))
    else {
        return Ok(());
    };
    let reason = format!("{} is a finished image: nothing in it is made here", request.reference);
    let advice = Advice::new("leave it out, or pull the image that the finished one was made of");
    Err(ArgumentError::new(Setting(setting), value, reason).with_advice(advice))
}
