//! Extent trees.

use super::crc32c::Checksum;
use super::field::on_disk;
use super::{BLOCK_SIZE, Block, hi32, join32, lo16, lo32};

/// `eh_magic`.
pub(crate) const MAGIC: u16 = 0xf30a;
/// Entries in an inode's `i_block`.
pub(crate) const ROOT_ENTRIES: usize = 4;
/// Entries in a block of the tree.
pub(crate) const BLOCK_ENTRIES: usize = 340;
/// Blocks of one extent that is written to; longer lengths mean "not initialised".
pub(crate) const EXTENT_MAX_BLOCKS: u32 = 32768;

const _: () = assert!(entries_of_block(BLOCK_SIZE) == BLOCK_ENTRIES && tail_offset(BLOCK_ENTRIES) == 4092);

on_disk! {
    /// `struct ext4_extent_header`.
    struct ExtentHeader[12] {
        0x0 eh_magic: u16,
        0x2 eh_entries: u16,
        0x4 eh_max: u16,
        0x6 eh_depth: u16,
        0x8 eh_generation: u32,
    }
}

on_disk! {
    /// `struct ext4_extent`.
    struct Extent[12] {
        0x0 ee_block: u32,
        0x4 ee_len: u16,
        0x6 ee_start_hi: u16,
        0x8 ee_start_lo: u32,
    }
}

on_disk! {
    /// `struct ext4_extent_idx`.
    struct ExtentIndex[12] {
        0x0 ei_block: u32,
        0x4 ei_leaf_lo: u32,
        0x8 ei_leaf_hi: u16,
        0xa ei_unused: u16,
    }
}

impl Extent {
    /// Returns the extent of `len` blocks at `start` that are the file's from `logical` on.
    pub(crate) fn new(logical: u32, len: u16, start: Block) -> Self {
        Self { ee_block: logical, ee_len: len, ee_start_hi: lo16(hi32(start.0)), ee_start_lo: lo32(start.0) }
    }

    /// Returns the first block.
    pub(crate) fn start(&self) -> Block {
        Block(join32(self.ee_start_lo, u32::from(self.ee_start_hi)))
    }
}

impl ExtentIndex {
    /// Returns the entry for the block `leaf`, below which the file's blocks from `logical` on are.
    pub(crate) fn new(logical: u32, leaf: Block) -> Self {
        Self { ei_block: logical, ei_leaf_lo: lo32(leaf.0), ei_leaf_hi: lo16(hi32(leaf.0)), ei_unused: 0 }
    }

    /// Returns the block one level down.
    pub(crate) fn leaf(&self) -> Block {
        Block(join32(self.ei_leaf_lo, u32::from(self.ei_leaf_hi)))
    }
}

/// Writes a node into `bytes`: the header, then `entries` of 12 bytes each.
fn encode_node(bytes: &mut [u8], depth: u16, max: usize, entries: &[[u8; 12]]) {
    let count = |number: usize| u16::try_from(number).expect("a node has at most 340 entries");
    let header = ExtentHeader {
        eh_magic: MAGIC,
        eh_entries: count(entries.len()),
        eh_max: count(max),
        eh_depth: depth,
        eh_generation: 0,
    };
    let (head, body) = bytes.split_at_mut(ExtentHeader::SIZE);
    head.copy_from_slice(&header.encode());
    for (place, entry) in body.chunks_exact_mut(12).zip(entries) {
        place.copy_from_slice(entry);
    }
}

/// Returns an `i_block` with the root of a tree; `depth` 0 means that `entries` are extents.
///
/// # Panics
/// With more than [`ROOT_ENTRIES`].
pub(crate) fn encode_root(depth: u16, entries: &[[u8; 12]]) -> [u8; 60] {
    assert!(entries.len() <= ROOT_ENTRIES, "the root has four entries");
    let mut i_block = [0; 60];
    encode_node(&mut i_block, depth, ROOT_ENTRIES, entries);
    i_block
}

/// Returns a block of a tree. `seed` is the inode's.
///
/// # Panics
/// With more than [`BLOCK_ENTRIES`].
pub(crate) fn encode_block(seed: Checksum, depth: u16, entries: &[[u8; 12]]) -> [u8; BLOCK_SIZE] {
    let mut block = [0; BLOCK_SIZE];
    fill_block(&mut block, Some(seed), depth, entries);
    block
}

/// Returns how many entries a block of `block_size` bytes of a tree has.
pub(crate) const fn entries_of_block(block_size: usize) -> usize {
    // The remainder is the checksum's place.
    block_size.saturating_sub(ExtentHeader::SIZE) / 12
}

/// Writes a block of a tree, of any size, into zeros; with a checksum if there is a `seed`.
///
/// # Panics
/// With more than [`entries_of_block`].
pub(crate) fn fill_block(block: &mut [u8], seed: Option<Checksum>, depth: u16, entries: &[[u8; 12]]) {
    let most = entries_of_block(block.len());
    assert!(entries.len() <= most, "a block has {most} entries");
    encode_node(block, depth, most, entries);
    if let Some(seed) = seed {
        let (covered, tail) = block.split_at_mut(tail_offset(most));
        tail[..4].copy_from_slice(&seed.with(covered).value().to_le_bytes());
    }
}

/// Returns the position of the checksum in a block of a tree with `eh_max` entries.
pub(crate) const fn tail_offset(eh_max: usize) -> usize {
    ExtentHeader::SIZE.saturating_add(eh_max.saturating_mul(12))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn t04_nodes_and_their_checksum() {
        let start = Block(0x2345_6789_abcd);
        let extent = Extent::new(7, 32768, start);
        assert_eq!(Extent::decode(&extent.encode()), extent);
        assert_eq!(extent.start(), start);
        let index = ExtentIndex::new(9, start);
        assert_eq!(ExtentIndex::decode(&index.encode()).leaf(), start);

        let seed = Checksum::of_filesystem(&[3; 16]);
        let block = encode_block(seed, 0, &[extent.encode(); BLOCK_ENTRIES]);
        let header = ExtentHeader::decode(&block[..12].try_into().unwrap());
        assert_eq!(
            (header.eh_magic, header.eh_entries, header.eh_max, header.eh_depth),
            (MAGIC, 340, 340, 0)
        );
        assert_eq!(block[4092..], seed.with(&block[..4092]).value().to_le_bytes());
        let root = encode_root(1, &[index.encode()]);
        assert_eq!(root[..12], [0x0a, 0xf3, 1, 0, 4, 0, 1, 0, 0, 0, 0, 0]);
    }
}
