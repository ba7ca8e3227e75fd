//! Sources of kernels that are open: downloaded, unpacked, and kept in their places.

use banger_ext4::Ext4Editor;
use banger_kernel::{BUNDLE_TYPE, KernelSource, PlainFiles, SourceFormat};
use banger_oci::{
    Digest, PullOptions, PulledArtifact, Puller, PullerOptions, Reference, WebFile, WebFileAddress,
};
use banger_tree::Cancellation;
use camino::{Utf8Path, Utf8PathBuf};

use super::kernel_store::KernelStore;
use super::source::{KernelSourceName, address_without_digest, source_without_signature};
use crate::dirs::Dirs;
use crate::error::Error;
use crate::event::{Event, EventHandler};
use crate::fetch::Fetch;
use crate::pull::pull_to_scratch;
use crate::request::PullRequest;
use crate::rootfs::in_file;
use crate::staging::StagingDir;
use crate::store::{ImageLease, ImageStore, ROOTFS_FILE};

/// What an import needs to open its sources.
pub(super) struct SourceOpener<'a> {
    pub(super) dirs: &'a Dirs,
    pub(super) pull: &'a PullOptions,
    pub(super) puller: Option<&'a Puller>,
    /// The digest of the file at an address.
    pub(super) sha256: Option<&'a Digest>,
    pub(super) events: &'a EventHandler,
    pub(super) cancellation: &'a Cancellation,
}

/// A source that is open.
pub(super) enum OpenSource {
    Host,
    Path(Utf8PathBuf),
    Files(PlainFiles),
    Image {
        editor: Box<Ext4Editor>,
        name: String,
        /// Keep the image in its place.
        _lease: Option<ImageLease>,
        _file: Option<WebFile>,
        _scratch: Option<StagingDir>,
    },
    Download {
        file: WebFile,
        name: String,
    },
    Bundle {
        artifact: Box<PulledArtifact>,
        name: String,
    },
}

impl OpenSource {
    pub(super) fn as_source(&self) -> KernelSource<'_> {
        match self {
            Self::Host => KernelSource::Host,
            Self::Path(path) => KernelSource::Path(path),
            Self::Files(files) => KernelSource::Files(files),
            Self::Image { editor, name, .. } => KernelSource::Rootfs { rootfs: editor.as_ref(), name },
            Self::Download { file, name } => KernelSource::NamedFile { path: file.path(), name },
            Self::Bundle { artifact, name } => KernelSource::Bundle { artifact, name },
        }
    }

    /// Returns the digest of the manifest of a bundle.
    pub(super) fn bundle_digest(&self) -> Option<&Digest> {
        match self {
            Self::Bundle { artifact, .. } => Some(artifact.digest()),
            _ => None,
        }
    }
}

impl SourceOpener<'_> {
    pub(super) fn open(&self, source: &KernelSourceName) -> Result<OpenSource, Error> {
        if self.pull.trust.is_some() && !matches!(source, KernelSourceName::Reference(_)) {
            return Err(source_without_signature(source).into());
        }
        Ok(match source {
            KernelSourceName::Host => OpenSource::Host,
            KernelSourceName::Files(files) => OpenSource::Files(files.clone()),
            KernelSourceName::Image(name) => {
                let image = ImageStore::new(&self.dirs.state).open(name, self.cancellation)?;
                let editor = self.editor(&image.path)?;
                let name = image.path.to_string();
                OpenSource::Image { editor, name, _lease: Some(image.lease), _file: None, _scratch: None }
            }
            KernelSourceName::Path(path) if SourceFormat::of(path)? == SourceFormat::Ext4 => {
                let (editor, name) = (self.editor(path)?, path.to_string());
                OpenSource::Image { editor, name, _lease: None, _file: None, _scratch: None }
            }
            KernelSourceName::Path(path) => OpenSource::Path(path.clone()),
            KernelSourceName::Address(address) => self.download(address)?,
            KernelSourceName::Reference(reference) => match self.bundle(reference)? {
                Some(artifact) => {
                    OpenSource::Bundle { artifact: Box::new(artifact), name: reference.to_string() }
                }
                None => self.image(reference)?,
            },
        })
    }

    fn editor(&self, path: &Utf8Path) -> Result<Box<Ext4Editor>, Error> {
        let mut editor = Ext4Editor::open(path).map_err(in_file(path))?;
        editor.set_cancellation(self.cancellation);
        Ok(Box::new(editor))
    }

    fn puller(&self) -> Puller {
        self.puller.cloned().unwrap_or_else(|| Puller::new(PullerOptions::default()))
    }

    fn download(&self, address: &WebFileAddress) -> Result<OpenSource, Error> {
        let Some(digest) = self.sha256 else { return Err(address_without_digest(address).into()) };
        let fetch = Fetch::open(self.dirs, self.events, self.cancellation)?;
        let puller = self.puller();
        let file = puller.fetch_file(
            address,
            digest,
            &fetch.cache,
            self.pull,
            &fetch.progress,
            self.cancellation,
        )?;
        let name = address.to_string();
        Ok(match SourceFormat::of_named(file.path(), &name)? {
            SourceFormat::Ext4 => {
                let editor = self.editor(file.path())?;
                OpenSource::Image { editor, name, _lease: None, _file: Some(file), _scratch: None }
            }
            _ => OpenSource::Download { file, name },
        })
    }

    /// Returns the bundle that a reference leads to, with all blobs in place and checked.
    fn bundle(&self, reference: &Reference) -> Result<Option<PulledArtifact>, Error> {
        let fetch = Fetch::open(self.dirs, self.events, self.cancellation)?;
        let found = self.puller().pull_artifact(
            reference,
            BUNDLE_TYPE,
            &fetch.cache,
            self.pull,
            &fetch.progress,
            self.cancellation,
        )?;
        let Some(mut artifact) = found else { return Ok(None) };
        while let Err(error) = artifact.finish() {
            // A damaged cache is repaired once.
            if self.cancellation.is_cancelled() || !artifact.repair()? {
                return Err(error.into());
            }
        }
        for message in artifact.warnings() {
            self.events.emit(&Event::Warning { message: message.clone() }, self.cancellation);
        }
        Ok(Some(artifact))
    }

    /// Unpacks an image into a file system for this import alone.
    fn image(&self, reference: &Reference) -> Result<OpenSource, Error> {
        let mut request = PullRequest::new(reference.clone()).with_pull(self.pull.clone());
        (request.guest, request.puller) = (None, self.puller.cloned());
        let (_, scratch) = KernelStore::new(&self.dirs.state).stage(self.cancellation)?;
        let path = scratch.path().join(ROOTFS_FILE);
        pull_to_scratch(&request, &path, self.dirs, self.events, self.cancellation)?;
        let (editor, name) = (self.editor(&path)?, reference.to_string());
        Ok(OpenSource::Image { editor, name, _lease: None, _file: None, _scratch: Some(scratch) })
    }
}
