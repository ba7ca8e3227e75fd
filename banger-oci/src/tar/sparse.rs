//! Maps of sparse files: which pieces of a file are in the archive.

use std::io::BufRead;

use super::error::TarError;
use super::header::{BLOCK_LEN, Header};
use super::number::{decimal, header_number};
use super::reader::TarReader;

/// One piece of a file that is in the archive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Extent {
    /// Where it is in the file.
    pub(super) offset: u64,
    /// How long it is.
    pub(super) length: u64,
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

/// Checks that the pieces are in order, inside the file, and make up `data_bytes` together.
pub(super) fn check_map(map: &[Extent], real_size: u64, data_bytes: u64) -> Result<(), &'static str> {
    let mut end = 0;
    let mut sum = 0_u64;
    for extent in map {
        if extent.offset < end {
            return Err("pieces overlap or are out of order");
        }
        end = extent
            .offset
            .checked_add(extent.length)
            .filter(|end| *end <= real_size)
            .ok_or("a piece lies beyond the end of the file")?;
        // No overflow: the pieces are disjoint and below `real_size`.
        sum += extent.length;
    }
    match sum == data_bytes {
        true => Ok(()),
        false => Err("the pieces are not as long as the data"),
    }
}

/// Returns what the pieces of a checked map take in a file system: whole blocks of 4 KiB.
pub(super) fn allocated_bytes(map: &[Extent]) -> u64 {
    const BLOCK_BYTES: u64 = 4096;
    let (mut blocks, mut next) = (0, 0);
    for extent in map.iter().filter(|extent| extent.length > 0) {
        let first = (extent.offset / BLOCK_BYTES).max(next);
        next = (extent.offset + extent.length).div_ceil(BLOCK_BYTES);
        blocks += next.saturating_sub(first);
        next = next.max(first);
    }
    blocks.saturating_mul(BLOCK_BYTES)
}

impl<R: BufRead> TarReader<R> {
    /// Reads the map of an old GNU sparse file; returns the size of the whole file.
    pub(super) fn read_old_map(
        &mut self,
        header: &Header<'_>,
        map: &mut Vec<Extent>,
        offset: u64,
    ) -> Result<u64, TarError> {
        let bad = |reason| TarError::Sparse { offset, reason };
        let (slots, mut is_extended, real_size) = header.old_sparse()?;
        read_old_slots(slots, map).map_err(bad)?;
        // The blocks of the map are in front of the data and not part of its size.
        while is_extended {
            if map.len() as u64 > self.limits.max_sparse_extents {
                return Err(self.too_many_extents(offset, map.len() as u64));
            }
            let before = map.len();
            self.read_block("a sparse map")?;
            read_old_slots(&self.block[..504], map).map_err(bad)?;
            is_extended = self.block[504] != 0;
            if map.len() == before {
                return Err(bad("an empty block of the map"));
            }
        }
        Ok(real_size)
    }

    /// Reads the map of pax format 1.0: decimal lines, padded to a block, in front of the data and
    /// part of its size.
    pub(super) fn read_map_1_0(&mut self, map: &mut Vec<Extent>, offset: u64) -> Result<(), TarError> {
        let bad = |reason| TarError::Sparse { offset, reason };
        let mut lines = MapLines { at: BLOCK_LEN };
        let count = lines.next_number(self, offset)?;
        if count > self.limits.max_sparse_extents {
            return Err(self.too_many_extents(offset, count));
        }
        for _ in 0..count {
            let start = lines.next_number(self, offset)?;
            let length = lines.next_number(self, offset)?;
            map.push(Extent { offset: start, length });
        }
        if self.block[lines.at..].iter().any(|byte| *byte != 0) {
            return Err(bad("more numbers than pieces"));
        }
        Ok(())
    }

    pub(super) fn too_many_extents(&self, offset: u64, value: u64) -> TarError {
        let maximum = self.limits.max_sparse_extents;
        TarError::Limit { offset, what: "a sparse map", value, maximum }
    }
}

/// Position in the current block of a map of format 1.0.
struct MapLines {
    at: usize,
}

impl MapLines {
    fn next_number<R: BufRead>(&mut self, reader: &mut TarReader<R>, offset: u64) -> Result<u64, TarError> {
        let bad = |reason| TarError::Sparse { offset, reason };
        // 2^64 has 20 digits.
        let mut digits = [0; 20];
        let mut length = 0;
        loop {
            if self.at == BLOCK_LEN {
                reader.remaining = reader
                    .remaining
                    .checked_sub(BLOCK_LEN as u64)
                    .ok_or(bad("the map is longer than the data"))?;
                reader.read_block("a sparse map")?;
                self.at = 0;
            }
            let byte = reader.block[self.at];
            self.at += 1;
            if byte == b'\n' {
                return decimal(&digits[..length]).ok_or(bad("a malformed number"));
            }
            *digits.get_mut(length).ok_or(bad("a malformed number"))? = byte;
            length += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn b29_small_pieces_take_whole_blocks() {
        let extent = |offset, length| Extent { offset, length };
        let cases: [(&[Extent], u64); 7] = [
            (&[], 0),
            (&[extent(0, 0), extent(9000, 0)], 0),
            (&[extent(0, 1)], 1),
            (&[extent(0, 4096), extent(4096, 1)], 2),
            (&[extent(4095, 2)], 2),
            (&[extent(0, 1), extent(2, 1), extent(4094, 4), extent(8191, 1), extent(8192, 0)], 2),
            (&[extent(1, 1), extent(1 << 40, 1), extent(2 << 40, 8192)], 4),
        ];
        for (map, blocks) in cases {
            assert_eq!(allocated_bytes(map), blocks * 4096, "{map:?}");
        }
    }

    #[test]
    fn maps_must_add_up() {
        let extent = |offset, length| Extent { offset, length };
        let cases: [(&[Extent], u64, u64, bool); 9] = [
            (&[], 0, 0, true),
            (&[], 100, 0, true),
            (&[extent(0, 10), extent(20, 5)], 25, 15, true),
            (&[extent(10, 5), extent(100, 0)], 100, 5, true),
            (&[extent(10, 5), extent(101, 0)], 100, 5, false),
            (&[extent(10, 5), extent(14, 1)], 100, 6, false),
            (&[extent(20, 5), extent(10, 5)], 100, 10, false),
            (&[extent(0, 10)], 100, 9, false),
            (&[extent(u64::MAX, 2)], u64::MAX, 2, false),
        ];
        for (map, real_size, data_bytes, good) in cases {
            assert_eq!(check_map(map, real_size, data_bytes).is_ok(), good, "{map:?}");
        }
    }
}
