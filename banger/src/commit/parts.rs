//! The parts of a committed image, before they go to a target.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::BufWriter;

use banger_ext4::Ext4Editor;
use banger_oci::manifest::{Descriptor, ImageManifest, OCI_CONFIG, OCI_MANIFEST};
use banger_oci::{Digest, LayerEncoder, Platform, WrittenLayer};
use banger_tree::{Advice, Cancellation, GuestPath, RootfsError, Setting};
use camino::Utf8Path;

use super::base::{Base, BaseBlobs};
use super::config::NewConfig;
use super::diff::write_diff;
use super::error::CommitError;
use super::failure::DiffFailure;
use super::left_out::LeftOut;
use super::request::CommitRequest;
use crate::argument::ArgumentError;
use crate::boot::BootImage;
use crate::dirs::Dirs;
use crate::error::Error;
use crate::event::{Event, EventHandler};
use crate::output::OutputError;
use crate::rootfs::pair::Pair;
use crate::rootfs::{EditError, TarReport, in_file, write_tar};
use crate::rootfs_artifact::spool_in;
use crate::store::StoredImage;
use crate::time::{now, rfc3339};

/// The annotation with the manifest that an image's layers come from (image-spec, `annotations.md`).
const BASE_DIGEST: &str = "org.opencontainers.image.base.digest";

/// A committed image. The layers of the base are where they were.
pub(super) struct ImageParts {
    pub(super) manifest: ImageManifest,
    /// The bytes of the configuration.
    pub(super) config: Vec<u8>,
    /// The new layer.
    pub(super) layer: Descriptor,
    /// The bytes of the new layer.
    pub(super) layer_file: File,
    /// Digests and lengths of the new layer.
    pub(super) written: WrittenLayer,
    /// The content of the new layer.
    pub(super) report: TarReport,
    pub(super) platform: Platform,
}

/// Writes the new layer, and makes the documents of the image.
pub(super) fn commit_parts(
    request: &CommitRequest,
    base: &StoredImage,
    blobs: &BaseBlobs<'_>,
    dirs: &Dirs,
    events: &EventHandler,
    cancellation: &Cancellation,
) -> Result<ImageParts, Error> {
    let created = created(request)?;
    // Missing documents show before any work.
    let below = if request.squash { None } else { Some(blobs.open()?) };
    let disk = BootImage::open(&request.disk, dirs, cancellation)?;
    if !request.squash && disk.path == base.path {
        let advice = Advice::new("name the image that the machine of the disk started from");
        let error = ArgumentError::new(Setting("base"), &request.base, "it is the disk itself");
        return Err(error.with_advice(advice).into());
    }
    let spool = (spool_in(&dirs.state)?, dirs.state.as_path());
    let (layer_file, written, report) = write_layer(request, &disk.path, base, spool, cancellation)?;
    for message in &report.warnings {
        events.emit(&Event::Warning { message: message.clone() }, cancellation);
    }
    let new = NewConfig { request, created: &created, diff_id: &written.diff_id };
    let (base_layers, config) = match below {
        Some(Base { layers, config }) => (layers, new.above(config)),
        None => (Vec::new(), new.alone(blobs.config()?, &base.record)),
    };
    let config_digest = Digest::of(&config);
    let platform = banger_oci::ImageConfig::parse(&config, &config_digest)?.platform();
    let layer = Descriptor::new(request.compression.media_type(), written.digest.clone(), written.size_bytes);
    let annotations = match request.squash {
        true => BTreeMap::new(),
        false => BTreeMap::from([(BASE_DIGEST.to_owned(), base.record.digest.clone())]),
    };
    let manifest = ImageManifest {
        schema_version: 2,
        media_type: Some(OCI_MANIFEST.to_owned()),
        config: Descriptor::new(OCI_CONFIG, config_digest, config.len() as u64),
        layers: base_layers.into_iter().chain([layer.clone()]).collect(),
        annotations,
        artifact_type: None,
        subject: None,
    };
    Ok(ImageParts { manifest, config, layer, layer_file, written, report, platform })
}

fn created(request: &CommitRequest) -> Result<String, Error> {
    request.created_seconds.map_or_else(|| Ok(now()), |seconds| Ok(rfc3339(seconds)?))
}

/// Writes the new layer to a file without a name in a directory.
fn write_layer(
    request: &CommitRequest,
    disk_path: &Utf8Path,
    base: &StoredImage,
    (spool, dir): (File, &Utf8Path),
    cancellation: &Cancellation,
) -> Result<(File, WrittenLayer, TarReport), Error> {
    let failed = OutputError::io("write a file in", dir);
    let disk = open_disk(disk_path, cancellation)?;
    let mut encoder = LayerEncoder::new(BufWriter::new(spool), request.compression).map_err(&failed)?;
    let report = if request.squash {
        let left_out = LeftOut::of_squash(&base.record.injected, &disk).map_err(in_file(disk_path))?;
        let is_left_out = |path: &GuestPath| left_out.contains(path);
        let root = GuestPath::root();
        write_tar(&disk, &root, &mut encoder, &is_left_out, cancellation).map_err(DiffFailure::from)
    } else {
        let mut base = Ext4Editor::open(&base.path).map_err(in_file(&base.path))?;
        base.set_cancellation(cancellation);
        let pair = Pair { old: &base, new: &disk, cancellation };
        write_diff(pair, &LeftOut::run_state(), &mut encoder)
    };
    let report = report.map_err(|failure| match failure {
        _ if cancellation.is_cancelled() => Error::Cancelled,
        DiffFailure::Base(EditError::Cancelled) | DiffFailure::Disk(EditError::Cancelled) => Error::Cancelled,
        DiffFailure::Base(error) => in_file(&base.path)(error),
        DiffFailure::Disk(error) => in_file(disk_path)(error),
        DiffFailure::Output(error) => failed(error).into(),
    })?;
    let (file, written) = encoder.finish().map_err(&failed)?;
    let file = file.into_inner().map_err(|error| failed(error.into_error()))?;
    Ok((file, written, report))
}

/// Opens the disk with an exclusive lock, so that nothing changes it, and checks it. It is not written.
fn open_disk(path: &Utf8Path, cancellation: &Cancellation) -> Result<Ext4Editor, Error> {
    let is_denied = |error: &std::io::Error| {
        matches!(error.kind(), std::io::ErrorKind::PermissionDenied | std::io::ErrorKind::ReadOnlyFilesystem)
    };
    let mut disk = match Ext4Editor::open_to_edit(path) {
        // Nobody else of this user can write it, either.
        Err(RootfsError::Io { source, .. }) if is_denied(&source) => {
            let disk = Ext4Editor::open(path).map_err(in_file(path))?;
            if disk.needs_recovery() {
                return Err(CommitError::Unlocked { path: path.to_owned() }.into());
            }
            disk
        }
        opened => opened.map_err(in_file(path))?,
    };
    disk.set_cancellation(cancellation);
    let report = disk.verify().map_err(|error| match error {
        RootfsError::Cancelled => Error::Cancelled,
        error => in_file(path)(error),
    })?;
    match report.problems.first() {
        None => Ok(disk),
        Some(problem) => Err(CommitError::Unsound { path: path.to_owned(), problem: problem.clone() }.into()),
    }
}
