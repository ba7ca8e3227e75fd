//! Maps of sparse files that are blocks of the archive, in front of the data.

use std::io::BufRead;

use super::blocks::Blocks;
use super::error::TarError;
use super::header::{BLOCK_LEN, Header};
use super::limits::TarLimits;
use super::number::{decimal, header_number};
use super::sparse::Extent;

/// Reads the map of an old GNU sparse file; returns the size of the whole file.
pub(super) fn read_old_map<R: BufRead>(
    blocks: &mut Blocks<R>,
    limits: &TarLimits,
    header: &Header<'_>,
    map: &mut Vec<Extent>,
) -> Result<u64, TarError> {
    let offset = header.offset();
    let bad = |reason| TarError::Sparse { offset, reason };
    let (slots, mut is_extended, real_size) = header.old_sparse()?;
    read_old_slots(slots, map).map_err(bad)?;
    // The blocks of the map are in front of the data and not part of its size.
    while is_extended {
        if map.len() as u64 > limits.max_sparse_extents {
            return Err(too_many_extents(limits, offset, map.len() as u64));
        }
        let before = map.len();
        let block = blocks.read_block("a sparse map")?;
        read_old_slots(&block[..504], map).map_err(bad)?;
        is_extended = block[504] != 0;
        if map.len() == before {
            return Err(bad("an empty block of the map"));
        }
    }
    Ok(real_size)
}

/// Reads the map of pax format 1.0: decimal lines, padded to a block, in front of the data. The map is part
/// of the data's size, of which `remaining` bytes are left. `offset` is the position of the file's header.
pub(super) fn read_map_1_0<R: BufRead>(
    blocks: &mut Blocks<R>,
    limits: &TarLimits,
    remaining: &mut u64,
    offset: u64,
    map: &mut Vec<Extent>,
) -> Result<(), TarError> {
    let mut lines = MapLines { blocks, remaining, offset, at: BLOCK_LEN };
    let count = lines.next_number()?;
    if count > limits.max_sparse_extents {
        return Err(too_many_extents(limits, offset, count));
    }
    for _ in 0..count {
        let start = lines.next_number()?;
        let length = lines.next_number()?;
        map.push(Extent { offset: start, length });
    }
    if lines.blocks.block()[lines.at..].iter().any(|byte| *byte != 0) {
        return Err(TarError::Sparse { offset, reason: "more numbers than pieces" });
    }
    Ok(())
}

/// Returns the error of a map with `value` pieces, which are more than `limits` allow.
pub(super) fn too_many_extents(limits: &TarLimits, offset: u64, value: u64) -> TarError {
    TarError::Limit { offset, what: "a sparse map", value, maximum: limits.max_sparse_extents }
}

/// Bytes of one slot of an old GNU map: two octal numbers of 12 bytes.
const SLOT_LEN: usize = 24;

/// Appends the slots of an old GNU map; the first empty one ends it.
fn read_old_slots(slots: &[u8], map: &mut Vec<Extent>) -> Result<(), &'static str> {
    for slot in slots.chunks_exact(SLOT_LEN) {
        if slot[0] == 0 {
            break;
        }
        let number = |field: &[u8]| header_number(field).and_then(|number| u64::try_from(number).ok());
        match (number(&slot[..12]), number(&slot[12..])) {
            (Some(offset), Some(length)) => map.push(Extent { offset, length }),
            _ => return Err("a malformed number"),
        }
    }
    Ok(())
}

/// The lines of a map of format 1.0.
struct MapLines<'a, R> {
    blocks: &'a mut Blocks<R>,
    /// Bytes of data that are not read.
    remaining: &'a mut u64,
    /// Of the file's header.
    offset: u64,
    /// Position in the current block.
    at: usize,
}

impl<R: BufRead> MapLines<'_, R> {
    fn next_number(&mut self) -> Result<u64, TarError> {
        let offset = self.offset;
        let bad = |reason| TarError::Sparse { offset, reason };
        // 2^64 has 20 digits.
        let mut digits = [0; 20];
        let mut length = 0;
        loop {
            if self.at == BLOCK_LEN {
                *self.remaining = self
                    .remaining
                    .checked_sub(BLOCK_LEN as u64)
                    .ok_or(bad("the map is longer than the data"))?;
                self.blocks.read_block("a sparse map")?;
                self.at = 0;
            }
            let byte = self.blocks.block()[self.at];
            self.at += 1;
            if byte == b'\n' {
                return decimal(&digits[..length]).ok_or(bad("a malformed number"));
            }
            *digits.get_mut(length).ok_or(bad("a malformed number"))? = byte;
            length += 1;
        }
    }
}
