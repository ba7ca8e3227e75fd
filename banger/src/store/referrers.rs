//! The artifacts that refer to an image, in an OCI layout beside its file.

use std::fs::DirBuilder;
use std::os::unix::fs::DirBuilderExt as _;

use banger_oci::{Digest, PulledReferrer};
use banger_tree::write_new_file;
use camino::{Utf8Path, Utf8PathBuf};
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::error::StoreError;

/// Modes of the directories and files.
const PRIVATE_DIRECTORY: u32 = 0o700;
const PRIVATE_FILE: u32 = 0o600;

/// An artifact that refers to an image.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct ReferrerRecord {
    /// Digest of its manifest.
    pub digest: String,
    /// Digest of the image manifest or index that it refers to.
    pub subject: String,
    /// Its type; empty if it has none.
    pub artifact_type: String,
    /// Bytes of its manifest and blobs.
    pub size_bytes: u64,
}

impl From<&PulledReferrer> for ReferrerRecord {
    fn from(referrer: &PulledReferrer) -> Self {
        Self {
            digest: referrer.digest.to_string(),
            subject: referrer.subject.to_string(),
            artifact_type: referrer.artifact_type.clone(),
            size_bytes: referrer.size_bytes(),
        }
    }
}

/// Writes the artifacts into the new OCI layout `directory` (image-spec, `image-layout.md`).
pub(super) fn write_referrers(directory: &Utf8Path, referrers: &[PulledReferrer]) -> Result<(), StoreError> {
    let make = |path: &Utf8Path| {
        let made = DirBuilder::new().recursive(true).mode(PRIVATE_DIRECTORY).create(path);
        made.map_err(|source| StoreError::io("create", path, source))
    };
    let write = |path: &Utf8Path, bytes: &[u8]| {
        let written = write_new_file(path.as_std_path(), PRIVATE_FILE, bytes);
        written.map_err(|source| StoreError::io("write", path, source.into()))
    };
    let blobs = directory.join("blobs");
    for algorithm in ["sha256", "sha512"] {
        make(&blobs.join(algorithm))?;
    }
    for referrer in referrers {
        let manifest = [(&referrer.digest, &referrer.manifest)];
        let rest = referrer.blobs.iter().map(|(digest, bytes)| (digest, bytes));
        for (digest, bytes) in manifest.into_iter().chain(rest) {
            let path = blob_path(directory, digest);
            // Artifacts share blobs, such as the empty configuration.
            if !path.exists() {
                write(&path, bytes)?;
            }
        }
    }
    let descriptors: Vec<_> = referrers.iter().map(PulledReferrer::descriptor).collect();
    let index = json!({
        "schemaVersion": 2, "mediaType": "application/vnd.oci.image.index.v1+json", "manifests": descriptors,
    });
    write(&directory.join("index.json"), index.to_string().as_bytes())?;
    write(&directory.join("oci-layout"), br#"{"imageLayoutVersion":"1.0.0"}"#)
}

/// Returns the path of a blob in the layout.
pub(super) fn blob_path(layout: &Utf8Path, digest: &Digest) -> Utf8PathBuf {
    layout.join("blobs").join(digest.algorithm().as_str()).join(digest.hex())
}
