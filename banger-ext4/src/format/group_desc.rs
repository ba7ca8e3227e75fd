//! Group descriptors of 64 bytes.

use super::crc32c::Checksum;
use super::field::on_disk;
use super::{Block, Group, hi16, hi32, join16, join32, lo16, lo32};

/// `bg_flags`: the inode bitmap is not written, all its inodes are free.
pub(crate) const INODE_UNINIT: u16 = 1;
/// `bg_flags`: the block bitmap is not written, only the group's own metadata is in use.
pub(crate) const BLOCK_UNINIT: u16 = 2;
/// `bg_flags`: the unused part of the inode table reads as zeros.
pub(crate) const INODE_ZEROED: u16 = 4;

on_disk! {
    /// `struct ext4_group_desc`.
    struct GroupDesc[64] {
        0x00 bg_block_bitmap_lo: u32,
        0x04 bg_inode_bitmap_lo: u32,
        0x08 bg_inode_table_lo: u32,
        0x0c bg_free_blocks_count_lo: u16,
        0x0e bg_free_inodes_count_lo: u16,
        0x10 bg_used_dirs_count_lo: u16,
        0x12 bg_flags: u16,
        0x14 bg_exclude_bitmap_lo: u32,
        0x18 bg_block_bitmap_csum_lo: u16,
        0x1a bg_inode_bitmap_csum_lo: u16,
        0x1c bg_itable_unused_lo: u16,
        0x1e bg_checksum: u16,
        0x20 bg_block_bitmap_hi: u32,
        0x24 bg_inode_bitmap_hi: u32,
        0x28 bg_inode_table_hi: u32,
        0x2c bg_free_blocks_count_hi: u16,
        0x2e bg_free_inodes_count_hi: u16,
        0x30 bg_used_dirs_count_hi: u16,
        0x32 bg_itable_unused_hi: u16,
        0x34 bg_exclude_bitmap_hi: u32,
        0x38 bg_block_bitmap_csum_hi: u16,
        0x3a bg_inode_bitmap_csum_hi: u16,
        0x3c bg_reserved: u32,
    }
}

impl GroupDesc {
    /// Sets the blocks of the bitmaps and the inode table.
    pub(crate) fn set_places(&mut self, block_bitmap: Block, inode_bitmap: Block, inode_table: Block) {
        (self.bg_block_bitmap_lo, self.bg_block_bitmap_hi) = (lo32(block_bitmap.0), hi32(block_bitmap.0));
        (self.bg_inode_bitmap_lo, self.bg_inode_bitmap_hi) = (lo32(inode_bitmap.0), hi32(inode_bitmap.0));
        (self.bg_inode_table_lo, self.bg_inode_table_hi) = (lo32(inode_table.0), hi32(inode_table.0));
    }

    /// Returns the block of the block bitmap.
    pub(crate) fn block_bitmap(&self) -> Block {
        Block(join32(self.bg_block_bitmap_lo, self.bg_block_bitmap_hi))
    }

    /// Returns the block of the inode bitmap.
    pub(crate) fn inode_bitmap(&self) -> Block {
        Block(join32(self.bg_inode_bitmap_lo, self.bg_inode_bitmap_hi))
    }

    /// Returns the first block of the inode table.
    pub(crate) fn inode_table(&self) -> Block {
        Block(join32(self.bg_inode_table_lo, self.bg_inode_table_hi))
    }

    /// Returns the number of free blocks.
    pub(crate) fn free_blocks(&self) -> u32 {
        join16(self.bg_free_blocks_count_lo, self.bg_free_blocks_count_hi)
    }

    /// Returns the number of free inodes.
    pub(crate) fn free_inodes(&self) -> u32 {
        join16(self.bg_free_inodes_count_lo, self.bg_free_inodes_count_hi)
    }

    /// Returns the number of directories.
    pub(crate) fn used_dirs(&self) -> u32 {
        join16(self.bg_used_dirs_count_lo, self.bg_used_dirs_count_hi)
    }

    /// Returns how many inodes at the end of the table were never used.
    pub(crate) fn itable_unused(&self) -> u32 {
        join16(self.bg_itable_unused_lo, self.bg_itable_unused_hi)
    }

    /// Sets the counters of the group's blocks and inodes; `itable_unused` counts the inodes at
    /// the end of the table that were never used.
    pub(crate) fn set_counts(
        &mut self,
        free_blocks: u32,
        free_inodes: u32,
        used_dirs: u32,
        itable_unused: u32,
    ) {
        (self.bg_free_blocks_count_lo, self.bg_free_blocks_count_hi) = (lo16(free_blocks), hi16(free_blocks));
        (self.bg_free_inodes_count_lo, self.bg_free_inodes_count_hi) = (lo16(free_inodes), hi16(free_inodes));
        (self.bg_used_dirs_count_lo, self.bg_used_dirs_count_hi) = (lo16(used_dirs), hi16(used_dirs));
        (self.bg_itable_unused_lo, self.bg_itable_unused_hi) = (lo16(itable_unused), hi16(itable_unused));
    }

    /// Sets the checksum of the block bitmap, which covers the whole block.
    pub(crate) fn set_block_bitmap_csum(&mut self, seed: Checksum, bitmap: &[u8]) {
        let csum = seed.with(bitmap).value();
        (self.bg_block_bitmap_csum_lo, self.bg_block_bitmap_csum_hi) = (lo16(csum), hi16(csum));
    }

    /// Sets the checksum of the inode bitmap, of which `bitmap` is the part with inodes behind it.
    pub(crate) fn set_inode_bitmap_csum(&mut self, seed: Checksum, bitmap: &[u8]) {
        let csum = seed.with(bitmap).value();
        (self.bg_inode_bitmap_csum_lo, self.bg_inode_bitmap_csum_hi) = (lo16(csum), hi16(csum));
    }

    /// Returns the bytes on disk with the right `bg_checksum`.
    pub(crate) fn encode_with_checksum(&self, seed: Checksum, group: Group) -> [u8; Self::SIZE] {
        let mut bytes = self.encode();
        bytes[0x1e..0x20].fill(0);
        let csum = lo16(seed.of_group(group).with(&bytes).value());
        bytes[0x1e..0x20].copy_from_slice(&csum.to_le_bytes());
        bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn decodes_what_it_encodes() {
        let bytes: [u8; 64] = std::array::from_fn(|at| u8::try_from(at).unwrap());
        assert_eq!(GroupDesc::decode(&bytes).encode(), bytes);
        let seed = Checksum::of_filesystem(&[1; 16]);
        let sealed = GroupDesc::decode(&bytes).encode_with_checksum(seed, Group(9));
        let other = GroupDesc::decode(&sealed).encode_with_checksum(seed, Group(9));
        assert_eq!(sealed, other, "the checksum does not cover itself");
        assert_ne!(sealed, GroupDesc::decode(&bytes).encode_with_checksum(seed, Group(8)));
    }
}
