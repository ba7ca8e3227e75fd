//! Cuts an ext4 file into windows, and compresses them.

use std::collections::HashMap;
use std::fs::File;
use std::io;
use std::ops::Range;
use std::os::unix::fs::FileExt as _;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use banger_oci::manifest::Descriptor;
use banger_oci::{ArtifactBlobs, Digest};
use banger_tree::Cancellation;

use super::boundaries::Boundaries;
use super::format::ImageWindow;
use super::window_digest::WindowDigest;
use crate::threads::on_all_processors;

/// Level of zstd. Never changed: the same bytes have to give the same blob in all versions.
const ZSTD_LEVEL: i32 = 3;

/// The windows of an ext4 file, with their blobs in a file without a name.
#[derive(Debug)]
pub(super) struct CutImage {
    /// No window has more bytes.
    pub(super) max_window_bytes: u64,
    /// In the order of their offsets.
    pub(super) windows: Vec<ImageWindow>,
    /// The blobs, one after the other.
    spool: File,
    /// Where each blob begins in `spool`.
    places: HashMap<Digest, u64>,
}

impl CutImage {
    /// Cuts `file` at `boundaries`, on all processors. The blobs go to the empty file `spool`.
    pub(super) fn new(
        file: &File,
        boundaries: &Boundaries,
        spool: File,
        cancellation: &Cancellation,
    ) -> io::Result<Self> {
        let Boundaries { max_bytes: max_window_bytes, windows: ranges } = boundaries;
        let end_of_spool = AtomicU64::new(0);
        let found = Mutex::new(Vec::new());
        let start = || WindowCutter::new(*max_window_bytes);
        let cancelled = || io::ErrorKind::Interrupted.into();
        on_all_processors(ranges.len(), cancellation, cancelled, start, |cutter, number| {
            let (cut, blob) = cutter.cut(file, &ranges[number])?;
            let place = end_of_spool.fetch_add(cut.blob_bytes, Ordering::Relaxed);
            spool.write_all_at(blob, place)?;
            found.lock().unwrap_or_else(PoisonError::into_inner).push((cut, place));
            Ok(())
        })?;
        let mut found = found.into_inner().unwrap_or_else(PoisonError::into_inner);
        found.sort_by_key(|(window, _)| window.offset);
        let places = found.iter().map(|(window, place)| (window.blob.clone(), *place)).collect();
        let windows = found.into_iter().map(|(window, _)| window).collect();
        Ok(Self { max_window_bytes: *max_window_bytes, windows, spool, places })
    }
}

impl ArtifactBlobs for CutImage {
    fn read(&self, blob: &Descriptor) -> io::Result<Vec<u8>> {
        let place = self.places.get(&blob.digest).ok_or(io::ErrorKind::NotFound)?;
        let length = usize::try_from(blob.size).map_err(|_| io::ErrorKind::FileTooLarge)?;
        let mut bytes = vec![0; length];
        self.spool.read_exact_at(&mut bytes, *place)?;
        Ok(bytes)
    }
}

/// Reads and compresses one window at a time.
struct WindowCutter {
    plain: Vec<u8>,
    blob: Vec<u8>,
    compressor: zstd::bulk::Compressor<'static>,
}

impl WindowCutter {
    fn new(max_window_bytes: u64) -> io::Result<Self> {
        let length = usize::try_from(max_window_bytes).map_err(|_| io::ErrorKind::FileTooLarge)?;
        let mut compressor = zstd::bulk::Compressor::new(ZSTD_LEVEL)?;
        compressor.include_checksum(false)?;
        compressor.include_contentsize(true)?;
        Ok(Self {
            plain: vec![0; length],
            blob: vec![0; zstd::zstd_safe::compress_bound(length)],
            compressor,
        })
    }

    /// Returns the window with its blob.
    fn cut(&mut self, file: &File, range: &Range<u64>) -> io::Result<(ImageWindow, &[u8])> {
        let Range { start: offset, end } = *range;
        let length = end - offset;
        let length_here = usize::try_from(length).map_err(|_| io::ErrorKind::FileTooLarge)?;
        let plain = &mut self.plain[..length_here];
        file.read_exact_at(plain, offset)?;
        let count = self.compressor.compress_to_buffer(plain, self.blob.as_mut_slice())?;
        let blob = &self.blob[..count];
        let (digest, blob_digest) = (WindowDigest::of(plain), Digest::of(blob));
        Ok((ImageWindow { offset, length, digest, blob: blob_digest, blob_bytes: count as u64 }, blob))
    }
}
