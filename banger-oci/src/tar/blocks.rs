//! The bytes of an archive, counted, and its blocks.

use std::io::BufRead;

use super::error::TarError;
use super::header::{BLOCK_LEN, Block};

/// The input of a reader, with the block that was read last.
#[derive(Debug)]
pub(super) struct Blocks<R> {
    input: R,
    /// Bytes consumed from the input.
    position: u64,
    block: Box<Block>,
}

impl<R: BufRead> Blocks<R> {
    pub(super) fn new(input: R) -> Self {
        Self { input, position: 0, block: Box::new([0; BLOCK_LEN]) }
    }

    /// Returns how many bytes of the archive were passed.
    pub(super) fn position(&self) -> u64 {
        self.position
    }

    /// Returns the block that was read last.
    pub(super) fn block(&self) -> &Block {
        &self.block
    }

    pub(super) fn into_input(self) -> R {
        self.input
    }

    /// Returns the next bytes; empty at the end of the input.
    pub(super) fn fill_buf(&mut self) -> Result<&[u8], TarError> {
        let offset = self.position;
        self.input.fill_buf().map_err(|source| TarError::Read { offset, source })
    }

    /// Passes over `length` bytes that [`fill_buf`](Self::fill_buf) returned.
    pub(super) fn consume(&mut self, length: usize) {
        self.input.consume(length);
        self.position += length as u64;
    }

    /// Passes over `length` bytes that must be there.
    pub(super) fn skip(&mut self, mut length: u64, inside: &'static str) -> Result<(), TarError> {
        while length > 0 {
            let offset = self.position;
            let buffer = self.fill_buf()?;
            if buffer.is_empty() {
                return Err(TarError::Truncated { offset, inside });
            }
            let step = usize::try_from(length).map_or(buffer.len(), |length| length.min(buffer.len()));
            self.consume(step);
            length -= step as u64;
        }
        Ok(())
    }

    /// Reads one block; the end of the input is an error.
    pub(super) fn read_block(&mut self, inside: &'static str) -> Result<&Block, TarError> {
        match self.read_optional_block(inside)? {
            true => Ok(&self.block),
            false => Err(TarError::Truncated { offset: self.position, inside }),
        }
    }

    /// Reads one block; returns false at the end of the input.
    pub(super) fn read_optional_block(&mut self, inside: &'static str) -> Result<bool, TarError> {
        match read_up_to(&mut self.input, &mut self.position, &mut self.block[..])? {
            0 => Ok(false),
            BLOCK_LEN => Ok(true),
            _ => Err(TarError::Truncated { offset: self.position, inside }),
        }
    }

    /// Fills `bytes`; returns how many there were before the end of the input.
    pub(super) fn read_up_to(&mut self, bytes: &mut [u8]) -> Result<usize, TarError> {
        read_up_to(&mut self.input, &mut self.position, bytes)
    }
}

/// Fills `bytes` from the input; returns how many there were before its end.
fn read_up_to(input: &mut impl BufRead, position: &mut u64, bytes: &mut [u8]) -> Result<usize, TarError> {
    let mut filled = 0;
    while filled < bytes.len() {
        let buffer = input.fill_buf().map_err(|source| TarError::Read { offset: *position, source })?;
        if buffer.is_empty() {
            break;
        }
        let step = buffer.len().min(bytes.len() - filled);
        bytes[filled..filled + step].copy_from_slice(&buffer[..step]);
        input.consume(step);
        *position += step as u64;
        filled += step;
    }
    Ok(filled)
}
