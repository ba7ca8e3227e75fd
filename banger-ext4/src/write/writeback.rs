//! Starts the writing to disk early, so that the flush before an image is published has little
//! left to do.

use std::fs::File;
use std::ops::Range;

/// How much is written to the file before the host is asked to write it to the disk.
const CHUNK_BYTES: u64 = 8 << 20;

/// Counts writes to a file, and asks the host to write them to the disk. This is only a hint, so failures do
/// no harm.
#[derive(Debug, Default)]
pub(crate) struct Writeback {
    written: Range<u64>,
}

impl Writeback {
    /// Takes note that `length` bytes were written at `offset` of `file`.
    pub(crate) fn note(&mut self, file: &File, offset: u64, length: u64) {
        if self.written.end != offset {
            // The rest of the last piece is small and can wait for the flush.
            self.written = offset..offset;
        }
        self.written.end += length;
        if self.written.end - self.written.start >= CHUNK_BYTES {
            start_writing(file, &self.written);
            self.written = self.written.end..self.written.end;
        }
    }
}

/// Asks the host to start writing. `POSIX_FADV_DONTNEED` first starts the write without a wait. Then it would
/// drop the pages, but keeps those that are being written.
#[cfg(any(target_os = "linux", target_os = "android"))]
fn start_writing(file: &File, range: &Range<u64>) {
    use std::num::NonZeroU64;
    let _ = rustix::fs::fadvise(
        file,
        range.start,
        NonZeroU64::new(range.end - range.start),
        rustix::fs::Advice::DontNeed,
    );
}

#[cfg(not(any(target_os = "linux", target_os = "android")))]
fn start_writing(_file: &File, _range: &Range<u64>) {}
