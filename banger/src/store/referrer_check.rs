//! Compares the artifacts beside an image with their digests.

use std::collections::BTreeSet;
use std::io::{self, Read as _};

use banger_oci::Digest;
use banger_tree::Cancellation;
use camino::Utf8Path;
use serde_json::Value;

use super::error::StoreError;
use super::files::REFERRERS_DIRECTORY;
use super::record::ImageRecord;
use super::referrers::blob_path;
use crate::host_file::open_plain_path;
use crate::kernel::file_digest;

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

/// Returns the fault of a blob of the layout; `None` if it is sound.
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
