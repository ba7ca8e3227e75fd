//! The artifacts that refer to an image, in an OCI layout beside its file.

use std::collections::BTreeSet;
use std::fs::DirBuilder;
use std::io::{self, Read as _};
use std::os::unix::fs::DirBuilderExt as _;

use banger_oci::{Digest, PulledReferrer};
use banger_tree::{Cancellation, write_new_file};
use camino::{Utf8Path, Utf8PathBuf};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::error::StoreError;
use super::files::REFERRERS_DIRECTORY;
use super::record::ImageRecord;
use crate::host_file::open_plain_path;
use crate::kernel::file_digest;

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

fn blob_path(layout: &Utf8Path, digest: &Digest) -> Utf8PathBuf {
    layout.join("blobs").join(digest.algorithm().as_str()).join(digest.hex())
}

/// Returns the faults of the artifacts beside an image. `rootfs` is the path of its ext4 file.
pub(super) fn referrer_problems(
    record: &ImageRecord,
    rootfs: &Utf8Path,
    cancellation: &Cancellation,
) -> Result<Vec<String>, StoreError> {
    let layout = rootfs.with_file_name(REFERRERS_DIRECTORY);
    let mut problems = Vec::new();
    let mut seen = BTreeSet::new();
    for referrer in &record.referrers {
        let Ok(digest) = referrer.digest.parse::<Digest>() else {
            problems
                .push(format!("the record names a referrer by `{}`, which is no digest", referrer.digest));
            continue;
        };
        if let Some(problem) = blob_problem(&layout, &digest, cancellation)? {
            problems.push(problem);
            continue;
        }
        let manifest = blob_path(&layout, &digest);
        for digest in blobs_of(&manifest).map_err(|source| StoreError::io("read", &manifest, source))? {
            if seen.insert(digest.clone()) {
                problems.extend(blob_problem(&layout, &digest, cancellation)?);
            }
        }
    }
    Ok(problems)
}

/// Returns what is wrong with a blob of the layout.
fn blob_problem(
    layout: &Utf8Path,
    digest: &Digest,
    cancellation: &Cancellation,
) -> Result<Option<String>, StoreError> {
    match file_digest(&blob_path(layout, digest), digest.algorithm(), cancellation) {
        Ok(found) if found == *digest => Ok(None),
        Ok(found) => Ok(Some(format!("{digest} of the referrers has the digest {found}"))),
        Err(StoreError::Io { source, .. }) if source.kind() == io::ErrorKind::NotFound => {
            Ok(Some(format!("{digest} of the referrers is missing")))
        }
        Err(error) => Err(error),
    }
}

/// Returns the blobs that a manifest names (image-spec, `manifest.md`).
fn blobs_of(path: &Utf8Path) -> io::Result<Vec<Digest>> {
    let mut bytes = Vec::new();
    open_plain_path(path)?.read_to_end(&mut bytes)?;
    let manifest: Value = serde_json::from_slice(&bytes)?;
    let lists = ["layers", "blobs"].into_iter().filter_map(|list| manifest.get(list)?.as_array());
    let descriptors = lists.flatten().chain(manifest.get("config"));
    let digests = descriptors.filter_map(|descriptor| descriptor.get("digest")?.as_str()?.parse().ok());
    Ok(digests.collect())
}
