//! The on-disk structures of ext4: encoding and decoding, no I/O and no policy.
//!
//! Fields carry the kernel's names. Everything is little-endian except the journal. Offsets are
//! written out, and a structure whose fields leave a gap or overlap does not compile.
#![deny(clippy::as_conversions, clippy::arithmetic_side_effects)]
#![allow(dead_code, reason = "decoding is complete for the sake of those who open finished images")]

pub(crate) mod acl;
pub(crate) mod block_map;
pub(crate) mod crc32c;
pub(crate) mod device;
pub(crate) mod dirent;
pub(crate) mod extent;
mod field;
pub(crate) mod group_desc;
pub(crate) mod hash;
pub(crate) mod htree;
pub(crate) mod inode;
pub(crate) mod journal;
pub(crate) mod orphan;
pub(crate) mod superblock;
pub(crate) mod timestamp;
pub(crate) mod xattr;

/// Bytes of a block, in memory. Other block sizes are not written here.
pub(crate) const BLOCK_SIZE: usize = 4096;
/// Bytes of a block, on disk.
pub(crate) const BLOCK_BYTES: u64 = 4096;
/// Blocks of a group: the number of bits in one block of bitmap.
pub(crate) const BLOCKS_PER_GROUP: u64 = 32768;
/// Bytes of an inode.
pub(crate) const INODE_SIZE: usize = 256;
/// Inodes in one block of an inode table.
pub(crate) const INODES_PER_BLOCK: u32 = 16;
/// Bytes of a group descriptor with the 64bit feature.
pub(crate) const DESC_SIZE: usize = 64;
/// Group descriptors in a block.
pub(crate) const DESCS_PER_BLOCK: u64 = 64;

/// Number of a block in the file system.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Block(pub(crate) u64);

/// Number of an inode, from 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct InodeNumber(pub(crate) u32);

impl InodeNumber {
    /// Owns bad blocks.
    pub(crate) const BAD_BLOCKS: Self = Self(1);
    /// The root directory.
    pub(crate) const ROOT: Self = Self(2);
    /// Owns the reserved group descriptor blocks.
    pub(crate) const RESIZE: Self = Self(7);
    /// The journal.
    pub(crate) const JOURNAL: Self = Self(8);
    /// The first that is not reserved, `s_first_ino`: by custom `lost+found`.
    pub(crate) const FIRST: Self = Self(11);
}

/// Number of a block group.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Group(pub(crate) u32);

impl Group {
    /// Returns whether a superblock and group descriptors are in this group (`sparse_super`): 0, 1
    /// and the powers of 3, 5 and 7.
    pub(crate) fn has_super(self) -> bool {
        let is_power = |base: u32| {
            let mut power = base;
            while power < self.0 {
                power = power.saturating_mul(base);
            }
            power == self.0
        };
        self.0 <= 1 || is_power(3) || is_power(5) || is_power(7)
    }

    /// Returns the group's first block.
    pub(crate) fn first_block(self) -> Block {
        Block(u64::from(self.0).saturating_mul(BLOCKS_PER_GROUP))
    }
}

impl Block {
    /// Returns the offset of the block in the image, in bytes.
    pub(crate) fn offset(self) -> u64 {
        self.0.saturating_mul(BLOCK_BYTES)
    }

    /// Returns the group the block is in.
    pub(crate) fn group(self) -> Group {
        Group(u32::try_from(self.0 / BLOCKS_PER_GROUP).expect("block numbers stay below 2^47"))
    }
}

/// Returns the lower half.
pub(crate) const fn lo32(value: u64) -> u32 {
    let [a, b, c, d, ..] = value.to_le_bytes();
    u32::from_le_bytes([a, b, c, d])
}

/// Returns the upper half.
pub(crate) const fn hi32(value: u64) -> u32 {
    lo32(value >> 32)
}

/// Returns the lower half.
pub(crate) const fn lo16(value: u32) -> u16 {
    let [a, b, ..] = value.to_le_bytes();
    u16::from_le_bytes([a, b])
}

/// Returns the upper half.
pub(crate) const fn hi16(value: u32) -> u16 {
    lo16(value >> 16)
}

/// Returns the number that [`lo32`] and [`hi32`] split.
pub(crate) fn join32(lo: u32, hi: u32) -> u64 {
    u64::from(lo) | (u64::from(hi) << 32)
}

/// Returns the number that [`lo16`] and [`hi16`] split.
pub(crate) fn join16(lo: u16, hi: u16) -> u32 {
    u32::from(lo) | (u32::from(hi) << 16)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sparse_super_groups() {
        let with_super: Vec<u32> = (0..400).filter(|group| Group(*group).has_super()).collect();
        assert_eq!(with_super, [0, 1, 3, 5, 7, 9, 25, 27, 49, 81, 125, 243, 343]);
    }

    #[test]
    fn halves_join_again() {
        assert_eq!(join32(lo32(0x1234_5678_9abc_def0), hi32(0x1234_5678_9abc_def0)), 0x1234_5678_9abc_def0);
        assert_eq!(join16(lo16(0x1234_5678), hi16(0x1234_5678)), 0x1234_5678);
    }
}
