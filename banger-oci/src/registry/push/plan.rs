//! The documents and blobs of one push, checked before anything is sent.

use std::collections::HashMap;
use std::fs::File;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use camino::Utf8Path;

use super::artifact::{ArtifactToPush, PushBlobs, PushedArtifact};
use super::error::PushError;
use crate::digest::Digest;
use crate::one_line::one_line;
use crate::reference::Reference;
use crate::registry::cache::hash_file;
use crate::registry::error::PullError;
use crate::registry::manifest::{Descriptor, ManifestKind, OCI_MANIFEST, manifest_kind, size_reason};
use crate::registry::options::PullOptions;
use crate::registry::stop::PullStop;
use crate::registry::upload_bytes::UploadBytes;

/// The documents and blobs of one push.
pub(super) struct PushPlan<'a> {
    pub(super) artifact: ArtifactToPush<'a>,
    /// The manifest as it is sent.
    pub(super) manifest: Bytes,
    pub(super) digest: Digest,
    pub(super) media_type: &'a str,
    /// Each blob once, the configuration among them.
    pub(super) blobs: Vec<&'a Descriptor>,
}

impl<'a> PushPlan<'a> {
    pub(super) fn new(
        artifact: &ArtifactToPush<'a>,
        target: &Reference,
        options: &PullOptions,
    ) -> Result<Self, PushError> {
        let bad = |reason: String| PushError::Artifact { reason };
        let manifest = artifact.manifest;
        if manifest.schema_version != 2 {
            return Err(bad(format!("its schemaVersion is {}, not 2", manifest.schema_version)));
        }
        let media_type = manifest.media_type.as_deref().unwrap_or(OCI_MANIFEST);
        if manifest_kind(media_type) != ManifestKind::Image {
            return Err(bad(format!("`{}` is not the type of a manifest", one_line(media_type))));
        }
        manifest.config.check(artifact.config, "the given configuration")?;
        let mut sizes = HashMap::new();
        let mut blobs = Vec::new();
        let in_memory = matches!(artifact.blobs, PushBlobs::Made(_));
        for blob in manifest.layers.iter().chain([&manifest.config]) {
            if in_memory && blob.size > ArtifactToPush::MAX_BLOB_BYTES {
                let most = ArtifactToPush::MAX_BLOB_BYTES;
                return Err(bad(format!("blob {} has {} bytes, more than {most}", blob.digest, blob.size)));
            }
            match sizes.insert(&blob.digest, blob.size) {
                None => blobs.push(blob),
                Some(size) if size == blob.size => {}
                Some(_) => return Err(bad(format!("its manifest gives blob {} two sizes", blob.digest))),
            }
        }
        let bytes = serde_json::to_vec(manifest).expect("keys are texts, and nothing fails to serialize");
        options.manifest_cap().check(bytes.len() as u64, "the manifest")?;
        let digest = Digest::of(&bytes);
        if let Some(named) = target.digest()
            && !named.matches(&bytes)
        {
            let reason = format!("the digest of the artifact is {digest}");
            return Err(PushError::Target { target: target.to_string(), reason });
        }
        // A digest of another algorithm names the same bytes.
        let digest = target.digest().cloned().unwrap_or(digest);
        Ok(Self { artifact: *artifact, manifest: bytes.into(), digest, media_type, blobs })
    }

    /// Returns the bytes of a blob, which are checked.
    pub(super) fn read(&self, blob: &Descriptor, stop: &PullStop) -> Result<UploadBytes, PushError> {
        stop.check()?;
        if blob.digest == self.artifact.manifest.config.digest {
            return Ok(Bytes::copy_from_slice(self.artifact.config).into());
        }
        let checked = match self.artifact.blobs {
            PushBlobs::Made(blobs) => {
                let bytes = given(blobs.read(blob), blob, stop)?;
                blob.check(&bytes, GIVEN)?;
                UploadBytes::Memory(bytes.into())
            }
            PushBlobs::Files(files) => {
                let file = given(files.open(blob), blob, stop)?;
                check_file(&file, blob, stop)?;
                UploadBytes::File(Arc::new(file), 0..blob.size)
            }
        };
        Ok(checked)
    }

    /// The descriptor of the manifest, for an index.
    pub(super) fn descriptor(&self) -> Descriptor {
        let size = self.manifest.len() as u64;
        Descriptor {
            artifact_type: self.artifact.manifest.artifact_type.clone(),
            platform: self.artifact.platform.cloned(),
            ..Descriptor::new(self.media_type.to_owned(), self.digest.clone(), size)
        }
    }
}

/// The name of the caller's blobs in errors.
const GIVEN: &str = "the given source";

/// Returns the result of a source of the caller. The error of a source that fails because the push stops does not count.
fn given<T>(given: io::Result<T>, blob: &Descriptor, stop: &PullStop) -> Result<T, PullError> {
    stop.check()?;
    given.map_err(|source| PullError::BlobSource {
        what: format!("blob {}", blob.digest),
        source: Arc::new(source),
    })
}

/// Compares a file with size and digest of a blob.
fn check_file(file: &File, blob: &Descriptor, stop: &PullStop) -> Result<(), PullError> {
    let what = format!("blob {}", blob.digest);
    let mismatch =
        |reason| PullError::Mismatch { digest: blob.digest.clone(), origin: GIVEN.to_owned(), reason };
    let size = file.metadata().map_err(PullError::io("read", Utf8Path::new(&what)))?.len();
    if size != blob.size {
        return Err(mismatch(size_reason(blob.size, size)));
    }
    match hash_file(file, Utf8Path::new(&what), &blob.digest, stop)? {
        found if found == blob.digest => Ok(()),
        found => Err(mismatch(format!("its bytes have the digest {found}"))),
    }
}

/// What became of the blobs so far.
#[derive(Debug, Default)]
pub(super) struct PushTally {
    sent_blobs: AtomicU64,
    sent_bytes: AtomicU64,
    present_blobs: AtomicU64,
    mounted_blobs: AtomicU64,
}

impl PushTally {
    pub(super) fn note_sent(&self, blob: &Descriptor) {
        self.sent_blobs.fetch_add(1, Ordering::AcqRel);
        self.sent_bytes.fetch_add(blob.size, Ordering::AcqRel);
    }

    pub(super) fn note_present(&self) {
        self.present_blobs.fetch_add(1, Ordering::AcqRel);
    }

    pub(super) fn note_mounted(&self) {
        self.mounted_blobs.fetch_add(1, Ordering::AcqRel);
    }

    pub(super) fn into_pushed(self, plan: &PushPlan<'_>) -> PushedArtifact {
        PushedArtifact {
            digest: plan.digest.clone(),
            size_bytes: plan.manifest.len() as u64,
            sent_blobs: self.sent_blobs.into_inner(),
            sent_bytes: self.sent_bytes.into_inner(),
            present_blobs: self.present_blobs.into_inner(),
            mounted_blobs: self.mounted_blobs.into_inner(),
        }
    }
}
