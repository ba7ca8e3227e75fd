//! The buffers that a layer's tar comes in, and how they are filled.

use std::io::{self, Read};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::digest::Digest;

/// Length of one buffer: short enough to stay in the processor's cache while it is handed on, long
/// enough that waking the next thread costs little.
pub(super) const BUFFER_LEN: usize = 512 * 1024;

/// Decompressed bytes.
pub(super) struct Buffer {
    pub(super) bytes: Box<[u8]>,
    pub(super) filled: usize,
}

impl Buffer {
    pub(super) fn new() -> Self {
        Self { bytes: vec![0; BUFFER_LEN].into_boxed_slice(), filled: 0 }
    }
}

/// What comes next of a layer's tar.
pub(super) enum Message {
    Buffer(Buffer),
    Failed(io::Error),
    /// All bytes were read; behind the hashing thread, with their digest.
    End(Option<Digest>),
}

/// Counts what is read.
pub(super) struct Counting {
    pub(super) reader: Box<dyn Read + Send>,
    pub(super) bytes: Arc<AtomicU64>,
}

impl Read for Counting {
    fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        let count = self.reader.read(bytes)?;
        self.bytes.fetch_add(count as u64, Ordering::Relaxed);
        Ok(count)
    }
}

/// Fills `buffer`; returns whether the reader is at its end.
pub(super) fn fill(reader: &mut impl Read, buffer: &mut Buffer) -> io::Result<bool> {
    while buffer.filled < buffer.bytes.len() {
        match reader.read(&mut buffer.bytes[buffer.filled..]) {
            Ok(0) => return Ok(true),
            Ok(count) => buffer.filled += count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(false)
}
