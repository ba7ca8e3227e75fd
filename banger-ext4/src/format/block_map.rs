//! Lists of blocks, as in ext2 and ext3. The inode has twelve blocks, then a list of blocks, a list of lists,
//! and a list of lists of lists.

use std::ops::Range;

/// Blocks that the inode names itself: `EXT4_NDIR_BLOCKS`.
pub(crate) const DIRECT: usize = 12;
/// Levels of lists.
pub(crate) const LEVELS: usize = 3;
/// Index of the list of lists in `i_block`: `EXT4_DIND_BLOCK`.
pub(crate) const DIND_PLACE: Range<usize> = 52..56;

/// Returns the numbers in a list.
pub(crate) fn numbers_in(bytes: &[u8]) -> impl Iterator<Item = u32> + '_ {
    let (words, _) = bytes.as_chunks::<4>();
    words.iter().map(|word| u32::from_le_bytes(*word))
}

/// Returns the number that `i_block` has at `place`.
pub(crate) fn number_at(i_block: &[u8], place: Range<usize>) -> u32 {
    u32::from_le_bytes(i_block[place].try_into().expect("a number has four bytes"))
}

/// Returns the bytes of a list of `numbers`.
pub(crate) fn bytes_of(numbers: &[u32]) -> Vec<u8> {
    numbers.iter().flat_map(|number| number.to_le_bytes()).collect()
}
