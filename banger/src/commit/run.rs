//! Commits a disk to its target.

use std::sync::Mutex;

use banger_oci::{
    ArtifactToPush, PullError, Puller, PullerOptions, PushError, PushedArtifact, Reference,
    RegistryReference, check_push_target,
};
use banger_tree::Cancellation;
use serde::Serialize;

use super::base::BaseBlobs;
use super::error::CommitError;
use super::layers::CommitLayers;
use super::origin::BaseOrigin;
use super::parts::{ImageParts, commit_parts};
use super::request::CommitRequest;
use crate::dirs::Dirs;
use crate::error::Error;
use crate::event::EventHandler;
use crate::fetch::progress_to;
use crate::rootfs_artifact::repository;
use crate::store::ImageStore;

/// An image that was committed. Its JSON form is the output of `--json`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct CommittedImage {
    /// Version of this format.
    pub version: u32,
    /// The target.
    pub target: String,
    /// Digest of the manifest.
    pub digest: String,
    /// Digest of the configuration.
    pub config_digest: String,
    /// Name of the base.
    pub base: String,
    /// Number of layers of the base that the image has.
    pub base_layers: usize,
    /// The new layer.
    pub layer: CommittedLayer,
    /// Layers that were sent or written, the configuration among them.
    pub sent_blobs: u64,
    /// Their bytes.
    pub sent_bytes: u64,
    /// Layers that the target had already.
    pub present_blobs: u64,
    /// Layers that the registry took from another repository.
    pub mounted_blobs: u64,
    /// Files that the layer does not have, one sentence each.
    pub warnings: Vec<String>,
    /// Number of all warnings, which may be more.
    pub warning_count: u64,
}

/// The new layer of a committed image.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct CommittedLayer {
    /// Digest of the blob.
    pub digest: String,
    /// Digest of its tar.
    pub diff_id: String,
    /// Length of the blob.
    pub size_bytes: u64,
    /// Length of its tar.
    pub tar_bytes: u64,
    /// Number of entries, without whiteouts.
    pub entries: u64,
    /// Number of whiteouts.
    pub whiteouts: u64,
}

/// Makes a container image of a disk, and writes it to the target of the request. The image has the layers of the base,
/// and one with the changes from the base to the disk; or, with [`CommitRequest::squash`], the whole disk as its only
/// layer. [`Puller::push_artifact`] says what happens to a target that exists.
///
/// Layers of the base that the target has are not sent. The others come from the cache of blobs, or from the place that
/// the base was pulled from. Equal disks, bases and requests with a time give equal bytes, with the same version of
/// banger.
///
/// # Errors
/// The disk is in use or damaged; the base does not exist, or its layers are nowhere any more; the target cannot be
/// written to or refuses; or the caller asks to stop. The target does not have the image then. Layers that a registry
/// or a layout has by then stay there.
///
/// # Panics
/// The event handler panicked.
pub fn commit_image(
    request: &CommitRequest,
    dirs: &Dirs,
    events: &EventHandler,
    cancellation: &Cancellation,
) -> Result<CommittedImage, Error> {
    events.during(cancellation, |events, cancellation| run(request, dirs, events, cancellation))
}

fn run(
    request: &CommitRequest,
    dirs: &Dirs,
    events: &EventHandler,
    cancellation: &Cancellation,
) -> Result<CommittedImage, Error> {
    let mount_from = request.mount_from.as_ref().map(repository).transpose()?;
    check_push_target(&request.target)?;
    let base = ImageStore::new(&dirs.state).open(&request.base, cancellation)?;
    let puller = request.puller.clone().unwrap_or_else(|| Puller::new(PullerOptions::default()));
    let origin = BaseOrigin {
        record: &base.record,
        dirs,
        puller: &puller,
        options: &request.pull,
        events,
        cancellation,
        pulled: Mutex::default(),
    };
    let base_repository = origin.reference().and_then(repository_of);
    let blobs = BaseBlobs::new(&base.record, origin);
    let parts = commit_parts(request, &base, &blobs, dirs, events, cancellation)?;
    let layers = CommitLayers::new(&parts.layer, &parts.layer_file, &blobs);
    let mut image =
        ArtifactToPush::of_files(&parts.manifest, &parts.config, &layers).with_platform(&parts.platform);
    if let Some(source) = mount_from.or(base_repository.as_ref()) {
        image = image.with_mount_from(source);
    }
    let progress = progress_to(events, cancellation);
    let pushed = puller.push_artifact(&request.target, &image, &request.pull, &progress, cancellation);
    match pushed {
        Ok(pushed) => Ok(committed(parts, pushed, request.target.to_string(), base.record.name.to_string())),
        Err(error) => Err(layers.into_failure().unwrap_or_else(|| match error {
            PushError::Pull(PullError::Mismatch { digest, .. }) => {
                let (base, digest) = (base.record.name.to_string(), digest.to_string());
                CommitError::DamagedBlob { base, what: "the layer", digest }.into()
            }
            error => error.into(),
        })),
    }
}

fn repository_of(reference: Reference) -> Option<RegistryReference> {
    match reference {
        Reference::Registry(repository) => Some(repository),
        _ => None,
    }
}

fn committed(parts: ImageParts, pushed: PushedArtifact, target: String, base: String) -> CommittedImage {
    let ImageParts { manifest, written, report, .. } = parts;
    let PushedArtifact { digest, sent_blobs, sent_bytes, present_blobs, mounted_blobs, .. } = pushed;
    CommittedImage {
        version: 1,
        target,
        digest: digest.to_string(),
        config_digest: manifest.config.digest.to_string(),
        base,
        base_layers: manifest.layers.len() - 1,
        layer: CommittedLayer {
            digest: written.digest.to_string(),
            diff_id: written.diff_id.to_string(),
            size_bytes: written.size_bytes,
            tar_bytes: written.tar_bytes,
            entries: report.entries,
            whiteouts: report.whiteouts,
        },
        sent_blobs,
        sent_bytes,
        present_blobs,
        mounted_blobs,
        warnings: report.warnings,
        warning_count: report.warning_count,
    }
}
