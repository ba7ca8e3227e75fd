//! Cuts an ext4 file into windows, and compresses them.

use std::collections::HashMap;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt as _;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};

use banger_ext4::data_from;
use banger_oci::manifest::Descriptor;
use banger_oci::{ArtifactBlobs, Digest};
use banger_tree::Cancellation;

use super::format::{ImageWindow, window_bytes};
use super::threads::on_all_processors;
use super::window_digest::WindowDigest;

/// Level of zstd. Never changed: the same bytes have to give the same blob in all versions.
const ZSTD_LEVEL: i32 = 3;

/// The windows of an ext4 file, with their blobs in a file without a name.
#[derive(Debug)]
pub(super) struct CutImage {
    /// In the order of their offsets.
    pub(super) windows: Vec<ImageWindow>,
    /// The blobs, one after the other.
    spool: File,
    /// Where each blob begins in `spool`.
    places: HashMap<Digest, u64>,
}

impl CutImage {
    /// Cuts `file`, which has `size_bytes`, on all processors. The blobs go to the empty file `spool`. Windows of
    /// zeros are left out.
    pub(super) fn new(
        file: &File,
        size_bytes: u64,
        spool: File,
        cancellation: &Cancellation,
    ) -> io::Result<Self> {
        let window = window_bytes(size_bytes);
        let offsets = offsets_with_data(file, size_bytes, window)?;
        let (next, end_of_spool) = (AtomicUsize::new(0), AtomicU64::new(0));
        let found = Mutex::new(Vec::new());
        on_all_processors(|has_failed| -> io::Result<()> {
            let mut cutter = WindowCutter::new(window)?;
            loop {
                let Some(&offset) = offsets.get(next.fetch_add(1, Ordering::Relaxed)) else { return Ok(()) };
                if has_failed.load(Ordering::Relaxed) {
                    return Ok(());
                }
                if cancellation.is_cancelled() {
                    return Err(io::ErrorKind::Interrupted.into());
                }
                if let Some((cut, blob)) = cutter.cut(file, offset, window.min(size_bytes - offset))? {
                    let place = end_of_spool.fetch_add(cut.blob_bytes, Ordering::Relaxed);
                    spool.write_all_at(blob, place)?;
                    found.lock().unwrap_or_else(PoisonError::into_inner).push((cut, place));
                }
            }
        })?;
        let mut found = found.into_inner().unwrap_or_else(PoisonError::into_inner);
        found.sort_by_key(|(window, _)| window.offset);
        let places = found.iter().map(|(window, place)| (window.blob.clone(), *place)).collect();
        let windows = found.into_iter().map(|(window, _)| window).collect();
        Ok(Self { windows, spool, places })
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

/// Returns where windows begin that are not holes only.
fn offsets_with_data(file: &File, size_bytes: u64, window: u64) -> io::Result<Vec<u64>> {
    let (mut offsets, mut at) = (Vec::new(), 0);
    while let Some((start, end)) = data_from(file, at, size_bytes)? {
        let first = start - start % window;
        let past = end.next_multiple_of(window);
        offsets.extend((first..past).step_by(usize::try_from(window).unwrap_or(usize::MAX)));
        at = past;
    }
    Ok(offsets)
}

/// Reads and compresses one window at a time.
struct WindowCutter {
    plain: Vec<u8>,
    blob: Vec<u8>,
    compressor: zstd::bulk::Compressor<'static>,
}

impl WindowCutter {
    fn new(window_bytes: u64) -> io::Result<Self> {
        let length = usize::try_from(window_bytes).map_err(|_| io::ErrorKind::FileTooLarge)?;
        let mut compressor = zstd::bulk::Compressor::new(ZSTD_LEVEL)?;
        compressor.include_checksum(false)?;
        compressor.include_contentsize(true)?;
        Ok(Self {
            plain: vec![0; length],
            blob: vec![0; zstd::zstd_safe::compress_bound(length)],
            compressor,
        })
    }

    /// Returns the window with its blob; `None` if there are only zeros.
    fn cut(&mut self, file: &File, offset: u64, length: u64) -> io::Result<Option<(ImageWindow, &[u8])>> {
        let length_here = usize::try_from(length).map_err(|_| io::ErrorKind::FileTooLarge)?;
        let plain = &mut self.plain[..length_here];
        file.read_exact_at(plain, offset)?;
        if plain.iter().all(|byte| *byte == 0) {
            return Ok(None);
        }
        let count = self.compressor.compress_to_buffer(plain, self.blob.as_mut_slice())?;
        let blob = &self.blob[..count];
        let (digest, blob_digest) = (WindowDigest::of(plain), Digest::of(blob));
        Ok(Some((ImageWindow { offset, length, digest, blob: blob_digest, blob_bytes: count as u64 }, blob)))
    }
}
