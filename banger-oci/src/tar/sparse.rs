//! Maps of sparse files: which pieces of a file are in the archive.

use super::number::header_number;

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
pub(super) fn read_old_slots(slots: &[u8], map: &mut Vec<Extent>) -> Result<(), &'static str> {
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

#[cfg(test)]
mod tests {
    use super::*;

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
