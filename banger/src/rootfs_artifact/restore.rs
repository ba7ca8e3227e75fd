//! Writes the windows of an artifact at their places.

use std::io::{self, Read};

use banger_oci::{Digest, PullError};
use banger_tree::Cancellation;

use super::blocks::BlockTarget;
use super::error::RootfsArtifactError;
use super::format::{ArtifactConfig, ImageWindow};
use super::window_digest::WindowDigest;
use crate::error::Error;
use crate::threads::on_all_processors;

/// Bytes that a blob may have more than its window: zstd adds a little to bytes that cannot be compressed.
const MOST_OVERHEAD_BYTES: u64 = 128 << 10;

/// Where the blobs of windows come from.
pub(super) trait WindowBlobs: Sync {
    /// Opens the blob of the window with this number.
    fn open(&self, number: usize) -> Result<Box<dyn Read + Send>, PullError>;
}

/// An ext4 file that is made of an artifact.
pub(super) struct Restoration<'a> {
    pub(super) digest: &'a Digest,
    pub(super) config: &'a ArtifactConfig,
    /// The windows that are fetched, one for each blob.
    pub(super) windows: &'a [ImageWindow],
    pub(super) blobs: &'a dyn WindowBlobs,
    pub(super) cancellation: &'a Cancellation,
}

impl Restoration<'_> {
    /// Writes the windows to `target`, on all processors.
    pub(super) fn write(&self, target: &BlockTarget<'_>) -> Result<(), Error> {
        let failed = RootfsArtifactError::io("write to", target.path);
        let start = || Ok(WindowReader::new(self.config.max_window_bytes).map_err(&failed)?);
        let count = self.windows.len();
        on_all_processors(
            count,
            self.cancellation,
            || Error::Cancelled,
            start,
            |reader, number| {
                let window = &self.windows[number];
                let bytes = self.read(reader, number, window)?;
                Ok(target.write(bytes, window.offset).map_err(&failed)?)
            },
        )
    }

    /// Returns the checked bytes of a window.
    fn read<'r>(
        &self,
        reader: &'r mut WindowReader,
        number: usize,
        window: &ImageWindow,
    ) -> Result<&'r [u8], Error> {
        let wrong = |reason: String| {
            let (digest, offset) = (self.digest.to_string(), window.offset);
            Error::from(RootfsArtifactError::Window { digest, offset, reason })
        };
        if window.blob_bytes > self.config.max_window_bytes + MOST_OVERHEAD_BYTES {
            return Err(wrong(format!("its blob has {} bytes", window.blob_bytes)));
        }
        let blob = self.blobs.open(number)?;
        let bytes = match reader.read(blob) {
            Ok(bytes) => bytes,
            Err(error) => {
                return Err(match PullError::from_io(&error).cloned() {
                    Some(cause) => cause.into(),
                    None => wrong(format!("it cannot be decompressed: {error}")),
                });
            }
        };
        if bytes.len() as u64 != window.length {
            return Err(wrong(format!("it has {} bytes, not {}", bytes.len(), window.length)));
        }
        let found = WindowDigest::of(bytes);
        match found == window.digest {
            true => Ok(bytes),
            false => Err(wrong(format!("its bytes have the digest {found}"))),
        }
    }
}

/// Reads and decompresses one window at a time.
struct WindowReader {
    blob: Vec<u8>,
    plain: Vec<u8>,
    decompressor: zstd::bulk::Decompressor<'static>,
}

impl WindowReader {
    fn new(max_window_bytes: u64) -> io::Result<Self> {
        // One byte more than a window may have shows that there are too many.
        let length = usize::try_from(max_window_bytes).map_err(|_| io::ErrorKind::FileTooLarge)? + 1;
        let decompressor = zstd::bulk::Decompressor::new()?;
        Ok(Self { blob: Vec::new(), plain: vec![0; length], decompressor })
    }

    fn read(&mut self, mut blob: impl Read) -> io::Result<&[u8]> {
        self.blob.clear();
        blob.read_to_end(&mut self.blob)?;
        let count = self.decompressor.decompress_to_buffer(&self.blob, self.plain.as_mut_slice())?;
        Ok(&self.plain[..count])
    }
}
