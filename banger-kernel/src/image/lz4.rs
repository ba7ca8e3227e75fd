//! The old format of lz4 ("legacy frame"), which the kernel's build uses: independent blocks of up to 8 MiB.

use std::io::{self, Read};

/// The bytes that a stream begins with.
pub(super) const LZ4_LEGACY_MAGIC: [u8; 4] = [0x02, 0x21, 0x4c, 0x18];
/// Largest content of a block.
const BLOCK_BYTES: usize = 8 << 20;
/// Largest block: `LZ4_compressBound` of its content.
const COMPRESSED_MAX: usize = BLOCK_BYTES + BLOCK_BYTES / 255 + 16;

/// Decodes a stream that stands behind its first magic number.
pub(super) struct Lz4Legacy<R> {
    input: R,
    compressed: Vec<u8>,
    block: Vec<u8>,
    /// The bytes of the block that were not read yet.
    at: usize,
    end: usize,
}

impl<R: Read> Lz4Legacy<R> {
    /// Starts to decode `input`, whose magic number was not read yet.
    pub(super) fn new(mut input: R) -> io::Result<Self> {
        let mut magic = [0; 4];
        input.read_exact(&mut magic)?;
        if magic != LZ4_LEGACY_MAGIC {
            return Err(damaged());
        }
        Ok(Self { input, compressed: Vec::new(), block: vec![0; BLOCK_BYTES], at: 0, end: 0 })
    }

    /// Decodes the next block; returns false at the end.
    fn next_block(&mut self) -> io::Result<bool> {
        let mut length = [0; 4];
        loop {
            let mut field = Vec::with_capacity(4);
            self.input.by_ref().take(4).read_to_end(&mut field)?;
            match field.len() {
                0 => return Ok(false),
                4 => length.copy_from_slice(&field),
                _ => return Err(cut()),
            }
            // Another stream may follow.
            if length != LZ4_LEGACY_MAGIC {
                break;
            }
        }
        let length = usize::try_from(u32::from_le_bytes(length)).unwrap_or(usize::MAX);
        if length == 0 || length > COMPRESSED_MAX {
            return Err(damaged());
        }
        self.compressed.clear();
        self.input.by_ref().take(length as u64).read_to_end(&mut self.compressed)?;
        if self.compressed.len() < length {
            return Err(cut());
        }
        let decoded = lz4_flex::block::decompress_into(&self.compressed, &mut self.block);
        (self.at, self.end) = (0, decoded.map_err(|_| damaged())?);
        Ok(true)
    }
}

impl<R: Read> Read for Lz4Legacy<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while self.at == self.end {
            if buffer.is_empty() || !self.next_block()? {
                return Ok(0);
            }
        }
        let length = buffer.len().min(self.end - self.at);
        buffer[..length].copy_from_slice(&self.block[self.at..self.at + length]);
        self.at += length;
        Ok(length)
    }
}

fn damaged() -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, "the lz4 stream is damaged")
}

fn cut() -> io::Error {
    io::Error::new(io::ErrorKind::UnexpectedEof, "the lz4 stream is cut short")
}
