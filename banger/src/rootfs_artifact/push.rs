//! Pushes a managed image as an artifact.

use std::fs::File;
use std::io;

use banger_oci::manifest::Descriptor;
use banger_oci::{
    ArtifactBlobs, ArtifactToPush, Puller, PullerOptions, PushedArtifact, Reference, RegistryReference,
    check_push_target,
};
use banger_tree::{Advice, Cancellation, Setting};
use serde::Serialize;

use super::beside::{BesideImage, PushedBeside};
use super::boundaries::Boundaries;
use super::cut::CutImage;
use super::error::RootfsArtifactError;
use super::format::{ArtifactConfig, MAX_WINDOW_BYTES, MOST_WINDOWS, manifest_of};
use super::request::ImagePushRequest;
use super::verity_blob::TreeBlob;
use crate::argument::ArgumentError;
use crate::dirs::Dirs;
use crate::error::Error;
use crate::event::EventHandler;
use crate::fetch::progress_to;
use crate::store::{ImageStore, StoredImage, VERITY_FILE};

/// An image that was pushed. Its JSON form is the output of `--json`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct PushedImage {
    /// Version of this format.
    pub version: u32,
    /// The target.
    pub target: String,
    /// Digest of the manifest.
    pub digest: String,
    /// Bytes of the ext4 file.
    pub size_bytes: u64,
    /// Windows with bytes other than zeros.
    pub windows: u64,
    /// Bytes of the blobs of all windows, and of the hash tree.
    pub blob_bytes: u64,
    /// Blobs that were sent, the configuration among them.
    pub sent_blobs: u64,
    /// Their bytes.
    pub sent_bytes: u64,
    /// Blobs that the target had already.
    pub present_blobs: u64,
    /// Blobs that the registry took from the repository `mount_from`.
    pub mounted_blobs: u64,
    /// Digest of the manifest with the signatures of the image, if the push signed it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub signature: Option<String>,
    /// Digest of the manifest with the statement where the image comes from, if the push made one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub attestation: Option<String>,
}

/// Pushes the ext4 file of a managed image under `dirs`, with its record, as an artifact of the type
/// [`ROOTFS_ARTIFACT_TYPE`](crate::ROOTFS_ARTIFACT_TYPE). [`pull`](fn@crate::pull) makes the same file of it, byte for
/// byte. Only windows that the target does not have are sent. A kernel of the image is named, and not pushed.
///
/// The same image gives the same artifact.
///
/// # Errors
/// The image does not exist, is being edited, or does not fit into 8192 windows of at most 32 MiB; the target cannot be
/// written to or refuses; or the caller asks to stop. Windows that the target has by then stay there. An error of the
/// signature or of the statement says that the image was pushed.
///
/// # Panics
/// The event handler panicked.
pub fn push_image(
    request: &ImagePushRequest,
    dirs: &Dirs,
    events: &EventHandler,
    cancellation: &Cancellation,
) -> Result<PushedImage, Error> {
    events.during(cancellation, |events, cancellation| run(request, dirs, events, cancellation))
}

fn run(
    request: &ImagePushRequest,
    dirs: &Dirs,
    events: &EventHandler,
    cancellation: &Cancellation,
) -> Result<PushedImage, Error> {
    let mount_from = request.mount_from.as_ref().map(repository).transpose()?;
    // Before all windows are compressed for nothing.
    check_push_target(&request.target)?;
    let beside = BesideImage::prepare(request)?;
    let store = ImageStore::new(&dirs.state);
    let StoredImage { record, path, lease: _lease } = store.open(&request.image, cancellation)?;
    let failed = RootfsArtifactError::io("read", &path);
    let file = crate::host_file::open_plain_path(&path).map_err(&failed)?;
    let size_bytes = file.metadata().map_err(&failed)?.len();
    let stopped = |error| match cancellation.is_cancelled() {
        true => Error::Cancelled,
        false => failed(error).into(),
    };
    let Some(boundaries) = Boundaries::of(&file, size_bytes, cancellation).map_err(stopped)? else {
        let most_bytes = MOST_WINDOWS * MAX_WINDOW_BYTES;
        return Err(RootfsArtifactError::TooLarge { path, size_bytes, most_bytes }.into());
    };
    let spool = spool_in(&dirs.state)?;
    let cut = CutImage::new(&file, &boundaries, spool, cancellation).map_err(stopped)?;
    let record = record.pushed();
    let tree = record.verity.as_ref().map(|verity| {
        TreeBlob::new(&path.with_file_name(VERITY_FILE), verity, spool_in(&dirs.state)?, cancellation)
    });
    let blobs = ImageBlobs { windows: cut, tree: tree.transpose()? };
    let cut = &blobs.windows;
    let config = ArtifactConfig::new(record.clone(), size_bytes, cut.max_window_bytes);
    let (mut manifest, config) = manifest_of(&config, &cut.windows);
    if let Some(tree) = &blobs.tree {
        tree.add_to(&mut manifest);
    }
    let mut artifact = ArtifactToPush::new(&manifest, &config, &blobs);
    if let Some(source) = mount_from {
        artifact = artifact.with_mount_from(source);
    }
    let puller = request.puller.clone().unwrap_or_else(|| Puller::new(PullerOptions::default()));
    let progress = progress_to(events, cancellation);
    let pushed = puller.push_artifact(&request.target, &artifact, &request.pull, &progress, cancellation)?;
    let PushedBeside { signature, attestation } =
        beside.push(&record, &pushed, &puller, &progress, cancellation)?;
    let PushedArtifact { digest, sent_blobs, sent_bytes, present_blobs, mounted_blobs, .. } = pushed;
    Ok(PushedImage {
        version: 1,
        target: request.target.to_string(),
        digest: digest.to_string(),
        size_bytes,
        windows: cut.windows.len() as u64,
        blob_bytes: manifest.layers.iter().map(|blob| blob.size).sum(),
        sent_blobs,
        sent_bytes,
        present_blobs,
        mounted_blobs,
        signature,
        attestation,
    })
}

/// The blobs of an image: those of its windows, and that of its hash tree.
#[derive(Debug)]
struct ImageBlobs {
    windows: CutImage,
    tree: Option<TreeBlob>,
}

impl ArtifactBlobs for ImageBlobs {
    fn read(&self, blob: &Descriptor) -> io::Result<Vec<u8>> {
        match &self.tree {
            Some(tree) if tree.digest == blob.digest => tree.read(),
            _ => self.windows.read(blob),
        }
    }
}

/// Returns the repository that a reference names.
pub(crate) fn repository(reference: &Reference) -> Result<&RegistryReference, ArgumentError> {
    match reference {
        Reference::Registry(repository) => Ok(repository),
        other => {
            let advice = Advice::new("name a repository of the registry that the image is pushed to");
            let reason = "it is not a repository of a registry";
            Err(ArgumentError::new(Setting("mount_from"), other.to_string(), reason).with_advice(advice))
        }
    }
}

/// Makes a file without a name for the blobs.
pub(crate) fn spool_in(state: &camino::Utf8Path) -> Result<File, RootfsArtifactError> {
    tempfile::tempfile_in(state).map_err(RootfsArtifactError::io("create a file in", state))
}
