//! The parts of a committed image, before they go to a target.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufWriter, Write as _};

use banger_ext4::Ext4Editor;
use banger_oci::manifest::{Descriptor, ImageManifest, OCI_CONFIG, OCI_MANIFEST};
use banger_oci::{Digest, LayerEncoder, Platform, WrittenLayer};
use banger_tree::{Cancellation, GuestPath, RootfsError};
use camino::{Utf8Path, Utf8PathBuf};

use super::base::{Base, BaseBlobs};
use super::config::NewConfig;
use super::diff::write_diff;
use super::error::CommitError;
use super::failure::DiffFailure;
use super::left_out::LeftOut;
use super::request::CommitRequest;
use super::same::Pair;
use crate::dirs::Dirs;
use crate::error::Error;
use crate::event::{Event, EventHandler};
use crate::output::OutputError;
use crate::rootfs::{EditError, TarReport, in_file, write_tar};
use crate::store::{ImageStore, StoredImage};
use crate::time::{now, rfc3339};

/// Name of the new layer in its directory.
const LAYER_FILE: &str = "layer";
/// The annotation with the manifest that an image's layers come from (image-spec, `annotations.md`).
const BASE_DIGEST: &str = "org.opencontainers.image.base.digest";

/// A small blob: the manifest or the configuration.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct CommittedBlob {
    /// Media type, digest and length.
    pub descriptor: Descriptor,
    /// The bytes.
    pub bytes: Vec<u8>,
}

/// All blobs of a committed image. Whoever sends them sends the layers first, then the configuration, and the manifest
/// last.
#[derive(Debug)]
#[non_exhaustive]
pub struct ImageParts {
    /// The manifest.
    pub manifest: CommittedBlob,
    /// The configuration.
    pub config: CommittedBlob,
    /// The layers of the base, base first, each with its open blob; none for an image of one layer. The bytes are not
    /// checked.
    pub base_layers: Vec<(Descriptor, File)>,
    /// The new layer.
    pub layer: Descriptor,
    /// The file of the new layer.
    pub layer_path: Utf8PathBuf,
    /// Digests and lengths of the new layer.
    pub written: WrittenLayer,
    /// The content of the new layer.
    pub report: TarReport,
    /// Name of the base.
    pub base: String,
    /// Platform of the image.
    pub platform: Platform,
}

/// Writes the new layer of `request` into the directory `scratch`, and returns it with everything that belongs to the
/// image. The caller removes the directory.
///
/// # Errors
/// The disk is in use or damaged, the base does not exist or its blobs are missing, `scratch` cannot be written, or the
/// caller asks to stop.
pub fn commit_parts(
    request: &CommitRequest,
    dirs: &Dirs,
    scratch: &Utf8Path,
    events: &EventHandler,
    cancellation: &Cancellation,
) -> Result<ImageParts, Error> {
    let created = created(request)?;
    let stored = ImageStore::new(&dirs.state).open(&request.base, cancellation)?;
    let record = &stored.record;
    let blobs = BaseBlobs::new(record, dirs);
    // Missing blobs show before any work.
    let base = if request.squash { None } else { Some(blobs.open()?) };
    let layer_path = scratch.join(LAYER_FILE);
    let (written, report) = write_layer(request, &stored, &layer_path, cancellation)?;
    for message in &report.warnings {
        events.emit(&Event::Warning { message: message.clone() }, cancellation);
    }
    let new = NewConfig { request, created: &created, diff_id: &written.diff_id };
    let (base_layers, config) = match base {
        Some(Base { layers, config }) => (layers, new.above(config)),
        None => (Vec::new(), new.alone(blobs.config()?, record)),
    };
    let config = blob(OCI_CONFIG, config);
    let platform = platform_of(&config.bytes, &config.descriptor.digest)?;
    let layer = Descriptor::new(request.compression.media_type(), written.digest.clone(), written.size_bytes);
    let annotations = match request.squash {
        true => BTreeMap::new(),
        false => BTreeMap::from([(BASE_DIGEST.to_owned(), record.digest.clone())]),
    };
    let manifest = ImageManifest {
        schema_version: 2,
        media_type: Some(OCI_MANIFEST.to_owned()),
        config: config.descriptor.clone(),
        layers: base_layers.iter().map(|(layer, _)| layer.clone()).chain([layer.clone()]).collect(),
        annotations,
        artifact_type: None,
        subject: None,
    };
    let manifest = serde_json::to_vec(&manifest).expect("keys are texts, and nothing fails to serialize");
    let manifest = blob(OCI_MANIFEST, manifest);
    let base = record.name.to_string();
    Ok(ImageParts { manifest, config, base_layers, layer, layer_path, written, report, base, platform })
}

fn created(request: &CommitRequest) -> Result<String, Error> {
    request.created_seconds.map_or_else(|| Ok(now()), |seconds| Ok(rfc3339(seconds)?))
}

fn platform_of(config: &[u8], digest: &Digest) -> Result<Platform, Error> {
    Ok(banger_oci::ImageConfig::parse(config, digest)?.platform())
}

fn blob(media_type: &str, bytes: Vec<u8>) -> CommittedBlob {
    CommittedBlob { descriptor: Descriptor::new(media_type, Digest::of(&bytes), bytes.len() as u64), bytes }
}

/// Writes the new layer to the new file `path`.
fn write_layer(
    request: &CommitRequest,
    base: &StoredImage,
    path: &Utf8Path,
    cancellation: &Cancellation,
) -> Result<(WrittenLayer, TarReport), Error> {
    let failed = OutputError::io("write", path);
    let disk = open_disk(&request.disk, cancellation)?;
    let file = BufWriter::new(File::create_new(path).map_err(&failed)?);
    let mut encoder = LayerEncoder::new(file, request.compression).map_err(&failed)?;
    let report = if request.squash {
        let left_out = LeftOut::with_injected(&base.record.injected);
        let is_left_out = |path: &GuestPath| left_out.contains(path);
        write_tar(&disk, &mut encoder, &is_left_out, cancellation).map_err(DiffFailure::from)
    } else {
        let mut base = Ext4Editor::open(&base.path).map_err(in_file(&base.path))?;
        base.set_cancellation(cancellation);
        let pair = Pair { base: &base, disk: &disk, cancellation };
        write_diff(pair, &LeftOut::run_state(), &mut encoder)
    };
    let report = report.map_err(|failure| match failure {
        _ if cancellation.is_cancelled() => Error::Cancelled,
        DiffFailure::Base(EditError::Cancelled) | DiffFailure::Disk(EditError::Cancelled) => Error::Cancelled,
        DiffFailure::Base(error) => in_file(&base.path)(error),
        DiffFailure::Disk(error) => in_file(&request.disk)(error),
        DiffFailure::Output(error) => failed(error).into(),
    })?;
    let (mut file, written) = encoder.finish().map_err(&failed)?;
    file.flush().map_err(&failed)?;
    Ok((written, report))
}

/// Opens the disk with an exclusive lock, so that nothing changes it, and checks it. It is not written.
fn open_disk(path: &Utf8Path, cancellation: &Cancellation) -> Result<Ext4Editor, Error> {
    let is_denied = |error: &std::io::Error| {
        matches!(error.kind(), std::io::ErrorKind::PermissionDenied | std::io::ErrorKind::ReadOnlyFilesystem)
    };
    let mut disk = match Ext4Editor::open_to_edit(path) {
        // Nobody else of this user can write it, either.
        Err(RootfsError::Io { source, .. }) if is_denied(&source) => Ext4Editor::open(path),
        opened => opened,
    }
    .map_err(in_file(path))?;
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
