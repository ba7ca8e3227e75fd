//! Index blocks of hashed directories.

use super::crc32c::Checksum;
use super::dirent::{encode_entry, entry_size};
use super::hash::HALF_MD4;
use super::{BLOCK_SIZE, InodeNumber};

/// Children of the root block, with the checksum tail at the block's end.
pub(crate) const ROOT_LIMIT: usize = 507;
/// Children of the other index blocks.
pub(crate) const NODE_LIMIT: usize = 510;
/// Offset of the entries in the root block, after `.`, `..` and `struct dx_root_info`.
pub(crate) const ROOT_ENTRIES_OFFSET: usize = 32;
/// Offset of the entries in other index blocks, after an unused directory entry.
pub(crate) const NODE_ENTRIES_OFFSET: usize = 8;
/// Bytes of `struct dx_tail`.
const TAIL_SIZE: usize = 8;
/// `info_length` of `struct dx_root_info`.
const INFO_LENGTH: u8 = 8;

const _: () = assert!(limit_at(ROOT_ENTRIES_OFFSET, BLOCK_SIZE, true) == ROOT_LIMIT);
const _: () = assert!(limit_at(NODE_ENTRIES_OFFSET, BLOCK_SIZE, true) == NODE_LIMIT);

/// `struct dx_entry`: names from `hash` on are below the directory's block `block`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct DxEntry {
    /// First hash; the lowest bit means that the block before ends with an equal one.
    pub(crate) hash: u32,
    /// Number of the block in the directory.
    pub(crate) block: u32,
}

/// Returns the root block of a directory. `seed` is the directory's.
///
/// # Panics
/// With no entries or more than [`ROOT_LIMIT`].
pub(crate) fn encode_root(
    seed: Checksum,
    directory: InodeNumber,
    parent: InodeNumber,
    indirect_levels: u8,
    entries: &[DxEntry],
) -> [u8; BLOCK_SIZE] {
    let mut block = [0; BLOCK_SIZE];
    let dots = RootDots { directory, parent, file_type: 2 };
    fill_root(&mut block, Some(seed), dots, indirect_levels, entries);
    block
}

/// The entries `.` and `..` of a root block.
#[derive(Clone, Copy, Debug)]
pub(crate) struct RootDots {
    pub(crate) directory: InodeNumber,
    pub(crate) parent: InodeNumber,
    /// Their type: 0 if directories have no types.
    pub(crate) file_type: u8,
}

/// Writes a root block of any size into zeros; with a checksum if there is a `seed`.
///
/// # Panics
/// With no entries or more than [`limit_at`] [`ROOT_ENTRIES_OFFSET`].
pub(crate) fn fill_root(
    block: &mut [u8],
    seed: Option<Checksum>,
    dots: RootDots,
    indirect_levels: u8,
    entries: &[DxEntry],
) {
    let dot = entry_size(1);
    encode_entry(&mut block[..dot], dots.directory, dots.file_type, b".");
    // `..` runs to the end of the block, so that the index hides behind it.
    encode_entry(&mut block[dot..], dots.parent, dots.file_type, b"..");
    block[24..32].copy_from_slice(&[0, 0, 0, 0, HALF_MD4, INFO_LENGTH, indirect_levels, 0]);
    fill_entries(block, seed, ROOT_ENTRIES_OFFSET, entries);
}

/// Returns an index block below the root. `seed` is the directory's.
///
/// # Panics
/// With no entries or more than [`NODE_LIMIT`].
pub(crate) fn encode_node(seed: Checksum, entries: &[DxEntry]) -> [u8; BLOCK_SIZE] {
    let mut block = [0; BLOCK_SIZE];
    fill_node(&mut block, Some(seed), entries);
    block
}

/// Writes an index block of any size into zeros; with a checksum if there is a `seed`.
///
/// # Panics
/// With no entries or more than [`limit_at`] [`NODE_ENTRIES_OFFSET`].
pub(crate) fn fill_node(block: &mut [u8], seed: Option<Checksum>, entries: &[DxEntry]) {
    encode_entry(block, InodeNumber(0), 0, b"");
    fill_entries(block, seed, NODE_ENTRIES_OFFSET, entries);
}

/// Returns how many entries an index block has whose entries start at `offset`.
pub(crate) const fn limit_at(offset: usize, block_size: usize, has_checksum: bool) -> usize {
    let tail = if has_checksum { TAIL_SIZE } else { 0 };
    block_size.saturating_sub(offset).saturating_sub(tail) / 8
}

/// Writes `struct dx_countlimit`, the entries and the checksum. The hash of the first entry counts as the
/// smallest one; its place holds limit and count.
///
/// # Panics
/// With no entries or more than [`limit_at`] `offset`.
pub(crate) fn fill_entries(block: &mut [u8], seed: Option<Checksum>, offset: usize, entries: &[DxEntry]) {
    let limit = limit_at(offset, block.len(), seed.is_some());
    assert!(!entries.is_empty() && entries.len() <= limit, "an index block has 1 to {limit} entries");
    let end = offset.saturating_add(entries.len().saturating_mul(8));
    for (place, entry) in block[offset..end].chunks_exact_mut(8).zip(entries) {
        place[0..4].copy_from_slice(&entry.hash.to_le_bytes());
        place[4..8].copy_from_slice(&entry.block.to_le_bytes());
    }
    let count = |number: usize| u16::try_from(number).expect("at most 510 entries").to_le_bytes();
    let (limit_place, count_place) = block[offset..end].split_at_mut(2);
    limit_place.copy_from_slice(&count(limit));
    count_place[..2].copy_from_slice(&count(entries.len()));
    if let Some(seed) = seed {
        seal(block, seed, end);
    }
}

/// Writes the checksum of an index block whose entries in use stop at `end`.
pub(crate) fn seal(block: &mut [u8], seed: Checksum, end: usize) {
    let csum = checksum(block, seed, end).to_le_bytes();
    let place = block.len().saturating_sub(4);
    block[place..].copy_from_slice(&csum);
}

/// Returns the checksum of an index block whose entries in use stop at `end`.
pub(crate) fn checksum(block: &[u8], seed: Checksum, end: usize) -> u32 {
    // The checksum covers the entries in use, then `dt_reserved`, and its own place as zeros. The kernel
    // leaves old bytes of the list in `dt_reserved`.
    let tail = &block[block.len().saturating_sub(TAIL_SIZE)..];
    seed.with(&block[..end]).with(&tail[..4]).with(&[0; 4]).value()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn t03_index_blocks() {
        let seed = Checksum::of_filesystem(&[9; 16]);
        let entries = [DxEntry { hash: 0, block: 1 }, DxEntry { hash: 0x11, block: 2 }];
        let root = encode_root(seed, InodeNumber(12), InodeNumber(2), 0, &entries);
        assert_eq!(root[..10], [12, 0, 0, 0, 12, 0, 1, 2, b'.', 0]);
        assert_eq!(root[12..22], [2, 0, 0, 0, 0xf4, 0x0f, 2, 2, b'.', b'.']);
        assert_eq!(
            root[24..48],
            [0, 0, 0, 0, 1, 8, 0, 0, 0xfb, 1, 2, 0, 1, 0, 0, 0, 0x11, 0, 0, 0, 2, 0, 0, 0]
        );
        assert_eq!(root[4092..], seed.with(&root[..48]).with(&[0; 8]).value().to_le_bytes());
        let node = encode_node(seed, &entries);
        assert_eq!(node[..12], [0, 0, 0, 0, 0, 0x10, 0, 0, 0xfe, 1, 2, 0]);
        assert_eq!(node[4092..], seed.with(&node[..24]).with(&[0; 8]).value().to_le_bytes());
    }
}
