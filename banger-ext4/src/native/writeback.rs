//! Starts the writing to disk early, so that the flush before an image is published has little
//! left to do.

use std::fs::File;
use std::ops::Range;
use std::sync::mpsc::{Sender, channel};

/// How much is written to the file before the host is asked to write it to the disk.
const CHUNK_BYTES: u64 = 8 << 20;

/// Watches what is written to a file, and has a thread ask the host to write it to the disk. The
/// thread is a hint-giver: it changes nothing, and its failures are nobody's loss.
#[derive(Debug, Default)]
pub(crate) struct Writeback {
    requests: Option<Sender<Range<u64>>>,
    written: Range<u64>,
}

impl Writeback {
    /// Takes note that `length` bytes were written at `offset` of `file`.
    pub(crate) fn note(&mut self, file: &File, offset: u64, length: u64) {
        if self.written.end != offset {
            self.request(file);
            self.written = offset..offset;
        }
        self.written.end += length;
        if self.written.end - self.written.start >= CHUNK_BYTES {
            self.request(file);
        }
    }

    /// Asks for what was noted, unless it is so little that it can wait for the flush.
    fn request(&mut self, file: &File) {
        let range = self.written.clone();
        if range.end - range.start < CHUNK_BYTES {
            return;
        }
        self.written = range.end..range.end;
        if self.requests.is_none() {
            self.requests = start_thread(file);
        }
        if let Some(requests) = &self.requests {
            // A thread that is gone gives no hints.
            let _ = requests.send(range);
        }
    }
}

fn start_thread(file: &File) -> Option<Sender<Range<u64>>> {
    let file = file.try_clone().ok()?;
    let (requests, received) = channel::<Range<u64>>();
    std::thread::Builder::new()
        .name("ext4-writeback".to_owned())
        .spawn(move || received.iter().for_each(|range| start_writing(&file, &range)))
        .ok()?;
    Some(requests)
}

/// Asks the host to start writing. `POSIX_FADV_DONTNEED` does that first, without waiting; the
/// pages that it was to drop after that are those being written, which it leaves alone.
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
