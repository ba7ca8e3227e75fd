//! Blobs in open files.

use std::collections::HashMap;
use std::fs::File;
use std::io::{self, Read};
use std::os::fd::OwnedFd;
use std::sync::Arc;

use super::archive_reading::SharedFile;
use super::blob_source::BlobSource;
use crate::digest::Digest;

/// Blobs in regular files that are open, by their digests. Nothing moves the positions of the files.
///
/// ```no_run
/// use std::fs::File;
///
/// use banger_oci::{Digest, FileBlobs};
///
/// let mut blobs = FileBlobs::default();
/// let digest: Digest = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855".parse()?;
/// blobs.insert(digest, File::open("/media/usb/e3b0c442")?);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, Default)]
pub struct FileBlobs(HashMap<Digest, Arc<File>>);

impl FileBlobs {
    /// Adds a blob. The file is a regular one, also one in memory; a pull may read it several times.
    pub fn insert(&mut self, digest: Digest, file: impl Into<OwnedFd>) {
        self.0.insert(digest, Arc::new(File::from(file.into())));
    }

    /// Returns whether there is no blob.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl BlobSource for FileBlobs {
    fn open(&self, digest: &Digest) -> io::Result<Option<Box<dyn Read + Send>>> {
        let file = self.0.get(digest).map(Arc::clone);
        Ok(file.map(|file| Box::new(SharedFile::new(file)) as Box<dyn Read + Send>))
    }
}
