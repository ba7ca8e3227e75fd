//! Layers of a pulled image, and how their bytes are read.

use std::fmt;
use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::FileExt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use camino::{Utf8Path, Utf8PathBuf};

use crate::digest::{Digest, Hasher};
use crate::flatten::{LayerName, LayerSource};
use crate::registry::cache::{CachedBlob, READ_LEN, hash_file};
use crate::registry::download::{Download, FollowReader};
use crate::registry::error::PullError;
use crate::registry::manifest::{Descriptor, size_reason};
use crate::registry::stop::PullStop;
use crate::registry::streamed::{StreamedBlob, StreamedReader};

/// A layer of an image: a tar, compressed as it was published. Cloning it is cheap.
#[derive(Clone, Debug)]
pub struct Layer {
    /// The manifest's entry for the compressed bytes.
    pub descriptor: Descriptor,
    /// The digest of the uncompressed tar. The code that decompresses the layer must check it.
    pub diff_id: Digest,
    pub(crate) content: Content,
}

/// The source of a layer's bytes.
#[derive(Clone, Debug)]
pub(crate) enum Content {
    /// A file of this machine: of the cache, of a layout, or a part of an archive.
    Stored(Arc<Stored>),
    /// The network.
    Download(Arc<Download>),
    /// Bytes that are brought or made while they are read.
    Streamed(Arc<StreamedBlob>),
}

/// Bytes in a file of this machine.
#[derive(Debug)]
pub(crate) struct Stored {
    pub(crate) file: Arc<File>,
    pub(crate) path: Utf8PathBuf,
    pub(crate) offset: u64,
    pub(crate) len: u64,
    /// The blob of the cache, which is kept from being pruned, and removed if it is damaged.
    pub(crate) cached: Option<CachedBlob>,
    /// Whether a reader read it to the end and found the right digest.
    pub(crate) verified: AtomicBool,
}

impl LayerSource for Layer {
    fn open(&self) -> io::Result<Box<dyn Read + Send>> {
        Ok(Box::new(Self::open(self).map_err(PullError::into_io)?))
    }

    fn name(&self) -> LayerName {
        LayerName::Digest(self.descriptor.digest.clone())
    }

    fn diff_id(&self) -> Option<&Digest> {
        Some(&self.diff_id)
    }

    fn size_bytes(&self) -> u64 {
        self.descriptor.size
    }

    fn discard(&self) -> io::Result<()> {
        let outcome = match &self.content {
            Content::Stored(stored) => stored.cached.as_ref().map_or(Ok(()), CachedBlob::remove),
            Content::Download(download) => download.discard(),
            Content::Streamed(_) => Ok(()),
        };
        outcome.map_err(PullError::into_io)
    }
}

impl Layer {
    /// Opens the layer: a reader of the compressed bytes, from the first one, as published.
    ///
    /// May be called several times, from several threads. While the layer is still being downloaded, the
    /// reader waits for the bytes.
    ///
    /// # Errors
    ///
    /// [`PullError::Mismatch`] if the stored layer has the wrong size.
    pub fn open(&self) -> Result<LayerReader, PullError> {
        Ok(LayerReader(match &self.content {
            Content::Download(download) => Source::Follow(download.reader()),
            Content::Streamed(blob) => Source::Streamed(Box::new(blob.reader()?)),
            Content::Stored(stored) => {
                if stored.len != self.descriptor.size {
                    return Err(
                        stored.refuse(&self.descriptor.digest, size_reason(self.descriptor.size, stored.len))
                    );
                }
                Source::Stored(Box::new(StoredReader {
                    stored: Arc::clone(stored),
                    digest: self.descriptor.digest.clone(),
                    position: 0,
                    hasher: Some(Hasher::new(self.descriptor.digest.algorithm())),
                    failure: None,
                }))
            }
        }))
    }

    /// Waits until the layer is complete and known to have its digest.
    pub(crate) fn settle(&self) -> Result<(), PullError> {
        match &self.content {
            Content::Download(download) => download.wait(),
            Content::Stored(stored) if stored.verified.load(Ordering::Acquire) => Ok(()),
            Content::Streamed(blob) if blob.verified.load(Ordering::Acquire) => Ok(()),
            Content::Stored(_) | Content::Streamed(_) => {
                let mut reader = self.open()?;
                let mut buffer = vec![0; READ_LEN];
                loop {
                    match reader.read(&mut buffer) {
                        Ok(0) => return Ok(()),
                        Ok(_) => {}
                        Err(error) => {
                            return Err(PullError::from_io(&error)
                                .cloned()
                                .unwrap_or_else(|| PullError::io("read", self.place())(error)));
                        }
                    }
                }
            }
        }
    }
}

impl Layer {
    /// Returns the place of the bytes, for errors.
    fn place(&self) -> &Utf8Path {
        match &self.content {
            Content::Stored(stored) => &stored.path,
            Content::Streamed(blob) => blob.origin.as_str().into(),
            Content::Download(_) => "the network".into(),
        }
    }
}

impl Stored {
    pub(crate) fn cached(blob: CachedBlob) -> io::Result<Self> {
        Ok(Self {
            file: Arc::new(blob.file.try_clone()?),
            path: blob.path.clone(),
            offset: 0,
            len: blob.len,
            cached: Some(blob),
            verified: AtomicBool::new(false),
        })
    }

    /// Bytes inside another file; `origin` names them in errors.
    pub(crate) fn from_bytes(bytes: &[u8], origin: &Utf8Path) -> Result<Self, PullError> {
        let error = PullError::io("keep data embedded in", origin);
        let file = tempfile::tempfile().and_then(|mut file| {
            io::Write::write_all(&mut file, bytes)?;
            Ok(file)
        });
        Ok(Self {
            file: Arc::new(file.map_err(error)?),
            path: origin.to_owned(),
            offset: 0,
            len: bytes.len() as u64,
            cached: None,
            verified: AtomicBool::new(false),
        })
    }

    /// Returns whether the bytes have their digest. A wrong blob is removed from the cache. Other files
    /// belong to the user and are not checked.
    pub(crate) fn is_sound(&self, digest: &Digest, cancel: &PullStop) -> Result<bool, PullError> {
        let Some(blob) = &self.cached else {
            return Ok(true);
        };
        if self.verified.load(Ordering::Acquire) {
            return Ok(true);
        }
        if hash_file(&self.file, &self.path, digest, cancel)? == *digest {
            self.verified.store(true, Ordering::Release);
            return Ok(true);
        }
        blob.remove()?;
        Ok(false)
    }

    /// A reader that checks nothing.
    pub(crate) fn plain_reader(&self) -> PlainReader<'_> {
        PlainReader { stored: self, position: 0 }
    }

    /// Returns the error for bytes that do not match, and removes them from the cache.
    fn refuse(&self, digest: &Digest, reason: String) -> PullError {
        let (origin, reason) = match &self.cached {
            Some(blob) => match blob.remove() {
                Ok(()) => {
                    ("the cache".to_owned(), format!("{reason}; it was removed from there, pull again"))
                }
                Err(error) => ("the cache".to_owned(), format!("{reason}; {error}")),
            },
            None => (self.path.to_string(), reason),
        };
        PullError::Mismatch { digest: digest.clone(), origin, reason }
    }
}

/// Reads stored bytes as they are.
pub(crate) struct PlainReader<'a> {
    stored: &'a Stored,
    position: u64,
}

impl Read for PlainReader<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let left = self.stored.len - self.position;
        let len = usize::try_from(left).unwrap_or(usize::MAX).min(buffer.len());
        let at = self.stored.offset + self.position;
        let count = self.stored.file.read_at(&mut buffer[..len], at)?;
        self.position += count as u64;
        Ok(count)
    }
}

/// Reads the compressed bytes of a layer.
///
/// The end (`Ok(0)`) is reported only when size and digest have been found right; a mismatch is
/// an error in its place. Errors carry a [`PullError`], see [`PullError::from_io`]. Read in
/// pieces of 256 KiB or more.
pub struct LayerReader(Source);

enum Source {
    Follow(FollowReader),
    Stored(Box<StoredReader>),
    Streamed(Box<StreamedReader>),
}

impl fmt::Debug for LayerReader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("LayerReader")
    }
}

impl Read for LayerReader {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match &mut self.0 {
            Source::Follow(reader) => reader.read(buffer),
            Source::Stored(reader) => reader.read(buffer),
            Source::Streamed(reader) => reader.read(buffer),
        }
    }
}

struct StoredReader {
    stored: Arc<Stored>,
    digest: Digest,
    position: u64,
    /// Taken at the end.
    hasher: Option<Hasher>,
    /// The error at the end, if the digest did not match.
    failure: Option<PullError>,
}

impl Read for StoredReader {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if buffer.is_empty() {
            return Ok(0);
        }
        if let Some(failure) = &self.failure {
            return Err(failure.clone().into_io());
        }
        let left = self.stored.len - self.position;
        let Some(hasher) = &mut self.hasher else {
            return Ok(0);
        };
        if left > 0 {
            let len = usize::try_from(left).unwrap_or(usize::MAX).min(buffer.len());
            let at = self.stored.offset + self.position;
            let count = self.stored.file.read_at(&mut buffer[..len], at)?;
            if count == 0 {
                let reason = size_reason(self.stored.len, self.position);
                return Err(self.stored.refuse(&self.digest, reason).into_io());
            }
            hasher.update(&buffer[..count]);
            self.position += count as u64;
            return Ok(count);
        }
        let found = self.hasher.take().expect("checked above").finish();
        if found != self.digest {
            let reason = format!("its bytes have the digest {found}");
            let failure = self.stored.refuse(&self.digest, reason);
            self.failure = Some(failure.clone());
            return Err(failure.into_io());
        }
        self.stored.verified.store(true, Ordering::Release);
        Ok(0)
    }
}
