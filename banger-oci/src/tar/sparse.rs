//! Sparse files: which pieces of a file are in the archive.

/// One piece of a file that is in the archive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Extent {
    /// Its position in the file.
    pub offset: u64,
    /// Its length in bytes.
    pub length: u64,
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

/// Returns the bytes of the pieces of a checked map in a file system: whole blocks of 4 KiB.
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
