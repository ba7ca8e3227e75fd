//! Commits a disk to its target.

use banger_kernel::is_bundle_tag;
use banger_tree::{Advice, Cancellation, Setting};
use camino::{Utf8Path, Utf8PathBuf};
use serde::Serialize;

use super::layout::write_layout;
use super::parts::{ImageParts, commit_parts};
use super::request::{CommitRequest, CommitTarget};
use crate::argument::ArgumentError;
use crate::dirs::Dirs;
use crate::error::Error;
use crate::event::{Event, EventHandler};
use crate::output::{OutputError, staging_beside};
use crate::output_directory::new_directory_place;
use crate::staging::sync_tree;

/// The setting of the target.
const TARGET: Setting = Setting("target");

/// An image that was committed. Its JSON form is the output of `--json`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct CommittedImage {
    /// Version of this format.
    pub version: u32,
    /// The directory with the layout.
    pub path: Utf8PathBuf,
    /// The tag in the layout.
    pub tag: String,
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

/// Makes a container image of a disk, and writes it to `target`. The image has the layers of the base, and one with
/// the changes from the base to the disk; or, with [`CommitRequest::squash`], the whole disk as its only layer.
///
/// The target is complete when this returns, and as it was when it fails. Equal disks, bases and requests with a time
/// give equal bytes, with the same version of banger.
///
/// # Errors
/// The disk is in use or damaged, the base does not exist or its blobs are missing, the target cannot be made or has
/// files, or the caller asks to stop.
///
/// # Panics
/// The event handler panicked.
pub fn commit_image(
    request: &CommitRequest,
    target: &CommitTarget,
    dirs: &Dirs,
    events: &EventHandler,
    cancellation: &Cancellation,
) -> Result<CommittedImage, Error> {
    let CommitTarget::OciLayout { dir, tag } = target;
    events.during(cancellation, |events, cancellation| {
        let committed = to_layout(request, dir, tag, dirs, events, cancellation)?;
        events.emit(&Event::Done { path: dir.to_string(), unchanged: false }, cancellation);
        Ok(committed)
    })
}

fn to_layout(
    request: &CommitRequest,
    output: &Utf8Path,
    tag: &str,
    dirs: &Dirs,
    events: &EventHandler,
    cancellation: &Cancellation,
) -> Result<CommittedImage, Error> {
    if !is_bundle_tag(tag) {
        let advice = Advice::new("use up to 128 letters, digits, `_`, `.` and `-`");
        return Err(ArgumentError::new(TARGET, tag, "it cannot be a tag").with_advice(advice).into());
    }
    let place = new_directory_place(output, TARGET)?;
    let staging = staging_beside(&place)?;
    let parts = commit_parts(request, dirs, staging.path(), events, cancellation)?;
    write_layout(&parts, staging.path(), tag, cancellation)?;
    if cancellation.is_cancelled() {
        return Err(Error::Cancelled);
    }
    sync_tree(staging.path()).map_err(OutputError::io("flush", output))?;
    staging.publish(&place).map_err(OutputError::io("create", output))?;
    Ok(committed(parts, output, tag))
}

fn committed(parts: ImageParts, path: &Utf8Path, tag: &str) -> CommittedImage {
    let ImageParts { manifest, config, base_layers, written, report, base, .. } = parts;
    CommittedImage {
        version: 1,
        path: path.to_owned(),
        tag: tag.to_owned(),
        digest: manifest.descriptor.digest.to_string(),
        config_digest: config.descriptor.digest.to_string(),
        base,
        base_layers: base_layers.len(),
        layer: CommittedLayer {
            digest: written.digest.to_string(),
            diff_id: written.diff_id.to_string(),
            size_bytes: written.size_bytes,
            tar_bytes: written.tar_bytes,
            entries: report.entries,
            whiteouts: report.whiteouts,
        },
        warnings: report.warnings,
        warning_count: report.warning_count,
    }
}
