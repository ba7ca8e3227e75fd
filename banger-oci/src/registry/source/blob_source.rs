//! Blobs that the caller brings: from open files, from other machines, from a medium.

use std::fmt;
use std::io::{self, Read};

use crate::digest::Digest;
use crate::reference::Reference;

/// Gives the blobs of images: manifests, configurations and layers. Set it in
/// [`PullOptions::blob_source`](crate::PullOptions::blob_source). banger then asks no registry, daemon or file, and
/// the reference only names the image.
///
/// banger checks size and digest of every blob, as for a registry, and keeps none of them in its cache. The digest in
/// a reference decides which manifest is right.
///
/// ```
/// use std::collections::HashMap;
/// use std::io::{self, Read};
/// use std::sync::Arc;
///
/// use banger_oci::{BlobSource, Digest, PullOptions};
///
/// #[derive(Debug)]
/// struct Memory(HashMap<Digest, Vec<u8>>);
///
/// impl BlobSource for Memory {
///     fn open(&self, digest: &Digest) -> io::Result<Option<Box<dyn Read + Send>>> {
///         let blob = self.0.get(digest).cloned();
///         Ok(blob.map(|bytes| Box::new(io::Cursor::new(bytes)) as Box<dyn Read + Send>))
///     }
/// }
///
/// let source: Arc<dyn BlobSource> = Arc::new(Memory(HashMap::new()));
/// let options = PullOptions::default().with_blob_source(source);
/// // `pull` of `ghcr.io/owner/app@sha256:…` now asks `Memory` for each blob.
/// # assert!(options.blob_source.is_some());
/// ```
pub trait BlobSource: fmt::Debug + Send + Sync {
    /// Opens a blob: a reader of its bytes, from the first one. `None` means that the source lacks it.
    ///
    /// banger may call this again for the same blob, and from several threads. A read that blocks delays the end of a
    /// cancelled pull.
    ///
    /// # Errors
    ///
    /// The source cannot say whether it has the blob, or cannot open it.
    fn open(&self, digest: &Digest) -> io::Result<Option<Box<dyn Read + Send>>>;

    /// Returns the digest of the manifest or index that a reference means; `None` means that the source does not know
    /// it. banger calls this only for a reference without a digest. The default knows no reference.
    ///
    /// # Errors
    ///
    /// The source cannot look it up.
    fn resolve(&self, reference: &Reference) -> io::Result<Option<Digest>> {
        let _ = reference;
        Ok(None)
    }
}
