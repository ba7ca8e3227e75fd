//! The journal's superblock: big-endian, unlike all else.

use super::field::{Be32, on_disk};

/// `h_magic`.
pub(crate) const MAGIC: u32 = 0xc03b_3998;
/// `h_blocktype` of a superblock with feature fields.
pub(crate) const SUPERBLOCK_V2: u32 = 4;

/// `h_blocktype` of a descriptor block.
pub(crate) const DESCRIPTOR: u32 = 1;
/// `h_blocktype` of a commit block.
pub(crate) const COMMIT: u32 = 2;
/// `h_blocktype` of a superblock without feature fields.
pub(crate) const SUPERBLOCK_V1: u32 = 3;
/// `h_blocktype` of a block of revoke records.
pub(crate) const REVOKE: u32 = 5;
/// Bytes of `struct journal_header_s`.
pub(crate) const HEADER_SIZE: usize = 12;
/// `t_flags`: the block starts with the journal's magic number, and zeros stand for it.
pub(crate) const FLAG_ESCAPE: u32 = 1;
/// `t_flags`: no UUID follows.
pub(crate) const FLAG_SAME_UUID: u32 = 2;
/// `t_flags`: the last tag of its block.
pub(crate) const FLAG_LAST_TAG: u32 = 8;
/// `h_chksum` of a commit block.
pub(crate) const COMMIT_CHECKSUM: usize = 0x10;
/// Blocks for fast commits, if the superblock does not give their number.
pub(crate) const FAST_COMMIT_BLOCKS: u32 = 256;

/// `s_feature_compat`: a commit block has a CRC-32 of its transaction.
pub(crate) const COMPAT_CHECKSUM: u32 = 1;

/// `s_checksum_type`: CRC-32C.
pub(crate) const CHECKSUM_CRC32C: u8 = 4;

/// `s_feature_incompat`.
pub(crate) mod incompat {
    pub(crate) const REVOKE: u32 = 0x1;
    pub(crate) const BIT64: u32 = 0x2;
    pub(crate) const ASYNC_COMMIT: u32 = 0x4;
    pub(crate) const CSUM_V2: u32 = 0x8;
    pub(crate) const CSUM_V3: u32 = 0x10;
    pub(crate) const FAST_COMMIT: u32 = 0x20;
}

on_disk! {
    /// `struct journal_superblock_s`.
    struct JournalSuperblock[1024] {
        0x00 h_magic: Be32,
        0x04 h_blocktype: Be32,
        0x08 h_sequence: Be32,
        0x0c s_blocksize: Be32,
        0x10 s_maxlen: Be32,
        0x14 s_first: Be32,
        0x18 s_sequence: Be32,
        0x1c s_start: Be32,
        0x20 s_errno: Be32,
        0x24 s_feature_compat: Be32,
        0x28 s_feature_incompat: Be32,
        0x2c s_feature_ro_compat: Be32,
        0x30 s_uuid: [u8; 16],
        0x40 s_nr_users: Be32,
        0x44 s_dynsuper: Be32,
        0x48 s_max_transaction: Be32,
        0x4c s_max_trans_data: Be32,
        0x50 s_checksum_type: u8,
        0x51 s_padding2: [u8; 3],
        0x54 s_num_fc_blks: Be32,
        0x58 s_head: Be32,
        0x5c s_padding: [u8; 160],
        0xfc s_checksum: Be32,
        0x100 s_users: [u8; 768],
    }
}

impl JournalSuperblock {
    /// Returns the superblock of an empty journal of `blocks` blocks in the file system `uuid`.
    pub(crate) fn empty(blocks: u32, uuid: [u8; 16]) -> Self {
        let block_size = u32::try_from(super::BLOCK_SIZE).expect("4096");
        Self {
            h_magic: Be32(MAGIC),
            h_blocktype: Be32(SUPERBLOCK_V2),
            s_blocksize: Be32(block_size),
            s_maxlen: Be32(blocks),
            s_first: Be32(1),
            s_sequence: Be32(1),
            s_uuid: uuid,
            s_nr_users: Be32(1),
            ..Self::zeroed()
        }
    }
}

/// Returns the usual number of journal blocks for a file system of `blocks` blocks: that of mke2fs, and at
/// least the 1024 that the kernel needs.
pub(crate) fn default_blocks(blocks: u64) -> u32 {
    const STEPS: [(u64, u32); 8] = [
        (1 << 15, 1 << 10),
        (1 << 18, 1 << 12),
        (1 << 19, 1 << 13),
        (1 << 22, 1 << 14),
        (1 << 23, 1 << 15),
        (1 << 24, 1 << 16),
        (1 << 25, 1 << 17),
        (u64::MAX, 1 << 18),
    ];
    STEPS.iter().find(|(below, _)| blocks < *below).map_or(1 << 18, |(_, size)| *size)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn t10_journal_superblock_is_big_endian() {
        let bytes = JournalSuperblock::empty(1024, [5; 16]).encode();
        assert_eq!(bytes[..8], [0xc0, 0x3b, 0x39, 0x98, 0, 0, 0, 4]);
        assert_eq!(bytes[12..32], [0, 0, 16, 0, 0, 0, 4, 0, 0, 0, 0, 1, 0, 0, 0, 1, 0, 0, 0, 0]);
        assert_eq!(bytes[0x30..0x40], [5; 16]);
        assert_eq!(JournalSuperblock::decode(&bytes).encode(), bytes);
        for (blocks, want) in [(2048, 1024), (32768, 4096), (262_144, 8192), (1 << 32, 262_144)] {
            assert_eq!(default_blocks(blocks), want, "{blocks}");
        }
    }
}
