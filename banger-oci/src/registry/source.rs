//! The common interface of all sources of images.

use std::sync::Arc;

use crate::digest::Digest;
use crate::reference::Reference;
use crate::registry::config::ImageConfig;
use crate::registry::error::PullError;
use crate::registry::layer::Content;
use crate::registry::manifest::{Descriptor, ImageIndex, ImageManifest};
use crate::registry::secrets::Secrets;
use crate::registry::trust::companions::Companions;

mod archive;
mod archive_input;
mod archive_reading;
mod blob_source;
mod brought;
mod containerd;
mod containers_storage;
mod daemon;
mod docker_archive;
mod docker_legacy;
mod docker_reading;
mod file_blobs;
mod layout;
mod names;
mod no_image;
mod remote;
mod storage_index;
mod tar_split;
mod window;

pub(crate) use archive::{Archive, ArchiveKind};
pub use archive_input::ArchiveInput;
pub(crate) use archive_input::{INPUT_NAME, no_input};
pub use blob_source::BlobSource;
pub(crate) use brought::Brought;
pub(crate) use containerd::open_containerd;
pub(crate) use containers_storage::ContainersStorage;
pub(crate) use daemon::{export, export_name};
pub(crate) use docker_archive::DockerArchive;
pub use file_blobs::FileBlobs;
pub(crate) use layout::{ArchiveFiles, DirFiles, Layout, LayoutFiles, blob_name, read_stored};
pub(crate) use names::{REF_NAME, names_of};
pub(crate) use no_image::NoImage;
pub(crate) use remote::{Fetcher, Remote};

/// The target of a reference.
#[derive(Debug)]
pub(crate) enum Root {
    /// A manifest or an index.
    Document(Document),
    /// Several manifests to choose from by platform; each has its own names.
    Choice(ImageIndex),
}

/// A manifest or index whose digest has been checked.
#[derive(Debug, Clone)]
pub(crate) struct Document {
    pub(crate) digest: Digest,
    pub(crate) bytes: Vec<u8>,
    /// The type its source gave it.
    pub(crate) media_type: Option<String>,
}

/// A place that holds an image. It checks digest and size of everything that it returns, except layers, which
/// are checked when they are read.
pub(crate) trait ImageSource {
    /// Returns the target of the reference.
    fn root(&self) -> Result<Root, PullError>;

    /// A manifest or an index.
    fn document(&self, descriptor: &Descriptor) -> Result<Document, PullError>;

    /// An image configuration.
    fn config(&self, descriptor: &Descriptor) -> Result<Vec<u8>, PullError>;

    /// Returns the layers as this source has them, if it has them in another form than the manifest says.
    fn own_layers(
        &self,
        _manifest: &ImageManifest,
        _config: &ImageConfig,
    ) -> Result<Option<Vec<Descriptor>>, PullError> {
        Ok(None)
    }

    /// The layers of the image chosen, in their order.
    fn layers(&self, descriptors: &[Descriptor]) -> Result<Vec<Content>, PullError>;

    /// The reference that the root was found by, once it is known, if it may differ from the one asked for.
    fn resolved(&self) -> Option<Reference> {
        None
    }

    /// Returns the documents beside the images; `None` if the place cannot have any.
    fn companions(&self) -> Option<&dyn Companions> {
        None
    }

    /// Values that must live as long as the image.
    fn keep(self: Box<Self>) -> Option<Arc<Fetcher>> {
        None
    }

    /// An error as it may be shown: no longer than anybody reads, and without secrets.
    fn shown(&self, error: PullError) -> PullError {
        Secrets::default().hide_in_error(error)
    }
}
