//! An artifact to push, and the result of the push.

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::fs::File;
use std::hash::BuildHasher;
use std::io;

use crate::digest::Digest;
use crate::platform::Platform;
use crate::reference::RegistryReference;
use crate::registry::manifest::{Descriptor, ImageManifest};

/// Where the blobs of an artifact come from. A blob is made when it is asked for, and again when it is asked for
/// again: a push keeps at most as many in memory as it sends at a time.
pub trait ArtifactBlobs: Send + Sync {
    /// Returns the bytes of the blob with this descriptor. Several threads ask at a time.
    ///
    /// # Errors
    ///
    /// The bytes cannot be read. The push ends with this error.
    fn read(&self, blob: &Descriptor) -> io::Result<Vec<u8>>;
}

fn known(bytes: Option<&Vec<u8>>) -> io::Result<Vec<u8>> {
    bytes.cloned().ok_or_else(|| io::ErrorKind::NotFound.into())
}

impl<S: BuildHasher + Send + Sync> ArtifactBlobs for HashMap<Digest, Vec<u8>, S> {
    fn read(&self, blob: &Descriptor) -> io::Result<Vec<u8>> {
        known(self.get(&blob.digest))
    }
}

impl ArtifactBlobs for BTreeMap<Digest, Vec<u8>> {
    fn read(&self, blob: &Descriptor) -> io::Result<Vec<u8>> {
        known(self.get(&blob.digest))
    }
}

/// Blobs that are in files: the layers of an image. They have any size, and are never in memory as a whole.
pub trait BlobFiles: Send + Sync {
    /// Opens the file whose bytes are the blob with this descriptor, from the first byte to the last. A push asks only
    /// for blobs that the target does not have. Several threads ask at a time.
    ///
    /// # Errors
    ///
    /// The file cannot be opened. The push ends with this error.
    fn open(&self, blob: &Descriptor) -> io::Result<File>;
}

/// Where the blobs come from.
#[derive(Clone, Copy)]
pub(super) enum PushBlobs<'a> {
    Made(&'a dyn ArtifactBlobs),
    Files(&'a dyn BlobFiles),
}

/// An artifact or an image to push. Its type and its annotations are in the manifest.
#[derive(Clone, Copy)]
pub struct ArtifactToPush<'a> {
    pub(super) manifest: &'a ImageManifest,
    pub(super) config: &'a [u8],
    pub(super) blobs: PushBlobs<'a>,
    pub(super) mount_from: Option<&'a RegistryReference>,
    pub(super) platform: Option<&'a Platform>,
}

impl<'a> ArtifactToPush<'a> {
    /// The largest blob of [`new`](Self::new) that is pushed: each one is in memory as a whole.
    pub const MAX_BLOB_BYTES: u64 = 64 << 20;

    /// Returns an artifact with this manifest, the bytes of its configuration, and its blobs: the `layers` of the
    /// manifest.
    #[must_use]
    pub fn new(manifest: &'a ImageManifest, config: &'a [u8], blobs: &'a dyn ArtifactBlobs) -> Self {
        Self { manifest, config, blobs: PushBlobs::Made(blobs), mount_from: None, platform: None }
    }

    /// Returns an artifact or an image whose blobs are in files.
    #[must_use]
    pub fn of_files(manifest: &'a ImageManifest, config: &'a [u8], files: &'a dyn BlobFiles) -> Self {
        Self { manifest, config, blobs: PushBlobs::Files(files), mount_from: None, platform: None }
    }

    /// Names the platform in the index of a layout or an archive.
    #[must_use]
    pub fn with_platform(self, platform: &'a Platform) -> Self {
        Self { platform: Some(platform), ..self }
    }

    /// Takes blobs that the repository of `source` has from there, without sending them. A repository of another
    /// registry has no effect.
    #[must_use]
    pub fn with_mount_from(self, source: &'a RegistryReference) -> Self {
        Self { mount_from: Some(source), ..self }
    }
}

impl fmt::Debug for ArtifactToPush<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ArtifactToPush")
            .field("manifest", &self.manifest)
            .field("mount_from", &self.mount_from)
            .finish_non_exhaustive()
    }
}

/// An artifact that was pushed.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct PushedArtifact {
    /// The digest of the manifest.
    pub digest: Digest,
    /// The size of the manifest in bytes.
    pub size_bytes: u64,
    /// The blobs that were sent, the configuration among them.
    pub sent_blobs: u64,
    /// The size of these blobs.
    pub sent_bytes: u64,
    /// The blobs that the target had already. Equal blobs count once.
    pub present_blobs: u64,
    /// The blobs that the registry took from another repository.
    pub mounted_blobs: u64,
}
