//! The artifact of a finished image: types, annotations, configuration and manifest.
//!
//! One blob holds one window: some blocks of the ext4 file, compressed by zstd. Between windows are zeros. The descriptor
//! of a blob says where the window belongs. Drawn in `docs/fleet.md`.

use std::collections::BTreeMap;

use banger_oci::Digest;
use banger_oci::manifest::{Descriptor, ImageManifest, OCI_MANIFEST};
use serde::{Deserialize, Serialize};

use super::error::RootfsArtifactError;
use super::verity_format::{check_artifact, windows_of};
use super::window_digest::{NoWindowDigest, WindowDigest};
use crate::store::ImageRecord;

/// Type of the artifact, and of its configuration: registries without artifact types keep the latter.
pub const ROOTFS_ARTIFACT_TYPE: &str = "application/vnd.banger.rootfs.v1";
/// Type of the blob of a window.
const WINDOW_TYPE: &str = "application/vnd.banger.rootfs.window.v1+zstd";
/// Annotation: first byte of the window in the ext4 file.
const OFFSET: &str = "dev.banger.window.offset";
/// Annotation: bytes of the window.
const LENGTH: &str = "dev.banger.window.length";
/// Annotation: digest of the bytes of the window.
const DIGEST: &str = "dev.banger.window.digest";

/// Version of the configuration; readers refuse newer ones.
const CONFIG_VERSION: u32 = 1;
/// Windows begin and end at multiples of this, or at the end of the file.
pub(super) const BLOCK_BYTES: u64 = 4096;
/// The largest window: each one is in memory as a whole.
pub(super) const MAX_WINDOW_BYTES: u64 = 32 << 20;
/// Windows grow so that an image has no more of them. Registries take manifests of up to 4 MiB.
pub(super) const MOST_WINDOWS: u64 = 8192;
/// The largest image.
const MOST_BYTES: u64 = 1 << 44;

/// The configuration of the artifact. `os` and `architecture` are those of an image configuration (OCI image-spec
/// `config.md`).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct ArtifactConfig {
    pub(super) version: u32,
    pub(super) os: String,
    pub(super) architecture: String,
    /// Bytes of the ext4 file.
    pub(super) size_bytes: u64,
    /// No window has more bytes.
    pub(super) max_window_bytes: u64,
    /// The record of the image where it was pushed.
    pub(super) record: ImageRecord,
}

impl ArtifactConfig {
    pub(super) fn new(record: ImageRecord, size_bytes: u64, max_window_bytes: u64) -> Self {
        let mut platform = record.platform.split('/');
        let mut next = |otherwise: &str| platform.next().unwrap_or(otherwise).to_owned();
        Self {
            version: CONFIG_VERSION,
            os: next("linux"),
            architecture: next("unknown"),
            size_bytes,
            max_window_bytes,
            record,
        }
    }
}

/// One window of an ext4 file with its blob.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct ImageWindow {
    /// First byte in the ext4 file.
    pub(super) offset: u64,
    /// Bytes in the ext4 file.
    pub(super) length: u64,
    /// Digest of these bytes.
    pub(super) digest: WindowDigest,
    /// Digest of the blob.
    pub(super) blob: Digest,
    /// Bytes of the blob.
    pub(super) blob_bytes: u64,
}

impl ImageWindow {
    fn descriptor(&self) -> Descriptor {
        Descriptor {
            annotations: BTreeMap::from([
                (OFFSET.to_owned(), self.offset.to_string()),
                (LENGTH.to_owned(), self.length.to_string()),
                (DIGEST.to_owned(), self.digest.to_string()),
            ]),
            ..Descriptor::new(WINDOW_TYPE, self.blob.clone(), self.blob_bytes)
        }
    }

    fn of(blob: &Descriptor) -> Result<Self, String> {
        let text = |key: &str| {
            blob.annotations.get(key).ok_or_else(|| format!("blob {} has no annotation {key}", blob.digest))
        };
        let number = |key: &str| {
            let text = text(key)?;
            let is_number = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
            let parsed = text.parse::<u64>().ok().filter(|_| is_number);
            parsed.ok_or_else(|| format!("annotation {key} of blob {} is not a number of bytes", blob.digest))
        };
        let digest = text(DIGEST)?.parse();
        let digest = digest.map_err(|error: NoWindowDigest| {
            format!("annotation {DIGEST} of blob {} is no digest: {error}", blob.digest)
        })?;
        if blob.media_type != WINDOW_TYPE {
            return Err(format!("blob {} is not of the type {WINDOW_TYPE}", blob.digest));
        }
        Ok(Self {
            offset: number(OFFSET)?,
            length: number(LENGTH)?,
            digest,
            blob: blob.digest.clone(),
            blob_bytes: blob.size,
        })
    }
}

/// Returns the manifest of an artifact with these windows, and the bytes of its configuration.
pub(super) fn manifest_of(config: &ArtifactConfig, windows: &[ImageWindow]) -> (ImageManifest, Vec<u8>) {
    let bytes = serde_json::to_vec(config).expect("keys are texts, and nothing fails to serialize");
    let manifest = ImageManifest {
        schema_version: 2,
        media_type: Some(OCI_MANIFEST.to_owned()),
        config: Descriptor::new(ROOTFS_ARTIFACT_TYPE, Digest::of(&bytes), bytes.len() as u64),
        layers: windows.iter().map(ImageWindow::descriptor).collect(),
        annotations: BTreeMap::new(),
        artifact_type: Some(ROOTFS_ARTIFACT_TYPE.to_owned()),
        subject: None,
    };
    (manifest, bytes)
}

/// Returns the checked configuration and windows of an artifact.
pub(super) fn read_artifact(
    digest: &Digest,
    manifest: &ImageManifest,
    config: &[u8],
) -> Result<(ArtifactConfig, Vec<ImageWindow>), RootfsArtifactError> {
    let malformed = |reason: String| RootfsArtifactError::Malformed { digest: digest.to_string(), reason };
    #[derive(Deserialize)]
    struct Version {
        version: u32,
    }
    let parsed = serde_json::from_slice::<Version>(config);
    let Version { version } = parsed.map_err(|error| malformed(format!("its configuration: {error}")))?;
    if version > CONFIG_VERSION {
        let (digest, known) = (digest.to_string(), CONFIG_VERSION);
        return Err(RootfsArtifactError::Version { digest, version, known });
    }
    let parsed = serde_json::from_slice::<ArtifactConfig>(config);
    let config = parsed.map_err(|error| malformed(format!("its configuration: {error}")))?;
    let ArtifactConfig { size_bytes, max_window_bytes, .. } = config;
    if size_bytes > MOST_BYTES || max_window_bytes > MAX_WINDOW_BYTES {
        let reason = format!("{size_bytes} bytes in windows of up to {max_window_bytes} are not possible");
        return Err(malformed(reason));
    }
    let mut windows: Vec<ImageWindow> = Vec::new();
    let mut free_from = 0;
    for blob in windows_of(manifest) {
        let window = ImageWindow::of(blob).map_err(malformed)?;
        let ImageWindow { offset, length, .. } = window;
        let end = offset.checked_add(length).filter(|end| *end <= size_bytes);
        let Some(end) = end else {
            return Err(malformed(format!(
                "the window at byte {offset} has {length} bytes, and the image {size_bytes}"
            )));
        };
        if offset % BLOCK_BYTES != 0 || end % BLOCK_BYTES != 0 && end != size_bytes {
            return Err(malformed(format!("no window of {length} bytes begins at byte {offset}")));
        }
        if length == 0 || length > max_window_bytes {
            return Err(malformed(format!("the window at byte {offset} has {length} bytes")));
        }
        if offset < free_from {
            return Err(malformed(format!(
                "the window at byte {offset} is out of order, or overlaps another"
            )));
        }
        free_from = end;
        windows.push(window);
    }
    if windows.len() as u64 > MOST_WINDOWS {
        return Err(malformed(format!("it has {} windows, more than {MOST_WINDOWS}", windows.len())));
    }
    check_artifact(manifest, &config.record, config.size_bytes).map_err(malformed)?;
    Ok((config, windows))
}
