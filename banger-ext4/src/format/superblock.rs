//! The superblock, 1024 bytes at offset 1024 of the image and at the start of the groups with
//! copies.

use super::crc32c::Checksum;
use super::field::on_disk;
use super::{hi32, join32, lo32};

/// Offset of the primary superblock in bytes.
pub(crate) const PRIMARY_OFFSET: usize = 1024;
/// `s_magic`.
pub(crate) const MAGIC: u16 = 0xef53;
/// `s_state`: unmounted cleanly.
pub(crate) const STATE_VALID: u16 = 1;
/// `s_state`: errors were found.
pub(crate) const STATE_ERROR: u16 = 2;
/// `s_errors`: go on.
pub(crate) const ERRORS_CONTINUE: u16 = 1;
/// `s_rev_level`: inode size and features are stored.
pub(crate) const REV_DYNAMIC: u32 = 1;
/// `s_max_mnt_count`: never check for the number of mounts.
pub(crate) const MAX_MNT_COUNT_NEVER: u16 = 0xffff;
/// `s_checksum_type`: CRC-32C.
pub(crate) const CHECKSUM_CRC32C: u8 = 1;
/// `s_jnl_backup_type`: `s_jnl_blocks` copies the journal's `i_block`.
pub(crate) const JNL_BACKUP_BLOCKS: u8 = 1;
/// `s_flags`: names are hashed as signed bytes.
pub(crate) const FLAGS_SIGNED_HASH: u32 = 1;
/// `s_flags`: names are hashed as unsigned bytes.
pub(crate) const FLAGS_UNSIGNED_HASH: u32 = 2;
/// `s_default_mount_opts`: `user_xattr`.
pub(crate) const DEFM_XATTR_USER: u32 = 4;
/// `s_default_mount_opts`: `acl`.
pub(crate) const DEFM_ACL: u32 = 8;

/// `s_feature_compat`: a kernel that does not know them may write.
pub(crate) mod compat {
    pub(crate) const DIR_PREALLOC: u32 = 0x1;
    pub(crate) const IMAGIC_INODES: u32 = 0x2;
    pub(crate) const HAS_JOURNAL: u32 = 0x4;
    pub(crate) const EXT_ATTR: u32 = 0x8;
    pub(crate) const RESIZE_INODE: u32 = 0x10;
    pub(crate) const DIR_INDEX: u32 = 0x20;
    pub(crate) const SPARSE_SUPER2: u32 = 0x200;
    pub(crate) const FAST_COMMIT: u32 = 0x400;
    pub(crate) const STABLE_INODES: u32 = 0x800;
    /// A file without a name records unlinked files that are open.
    pub(crate) const ORPHAN_FILE: u32 = 0x1000;
}

/// `s_feature_incompat`: a kernel that does not know them must not mount.
pub(crate) mod incompat {
    pub(crate) const FILETYPE: u32 = 0x2;
    pub(crate) const RECOVER: u32 = 0x4;
    pub(crate) const JOURNAL_DEV: u32 = 0x8;
    pub(crate) const META_BG: u32 = 0x10;
    pub(crate) const EXTENTS: u32 = 0x40;
    pub(crate) const BIT64: u32 = 0x80;
    pub(crate) const MMP: u32 = 0x100;
    pub(crate) const FLEX_BG: u32 = 0x200;
    pub(crate) const EA_INODE: u32 = 0x400;
    pub(crate) const CSUM_SEED: u32 = 0x2000;
    pub(crate) const LARGE_DIR: u32 = 0x4000;
    pub(crate) const INLINE_DATA: u32 = 0x8000;
    pub(crate) const ENCRYPT: u32 = 0x1_0000;
    pub(crate) const CASEFOLD: u32 = 0x2_0000;
}

/// `s_feature_ro_compat`: a kernel that does not know them must not write.
pub(crate) mod ro_compat {
    pub(crate) const SPARSE_SUPER: u32 = 0x1;
    pub(crate) const LARGE_FILE: u32 = 0x2;
    pub(crate) const HUGE_FILE: u32 = 0x8;
    pub(crate) const GDT_CSUM: u32 = 0x10;
    pub(crate) const DIR_NLINK: u32 = 0x20;
    pub(crate) const EXTRA_ISIZE: u32 = 0x40;
    pub(crate) const QUOTA: u32 = 0x100;
    pub(crate) const BIGALLOC: u32 = 0x200;
    pub(crate) const METADATA_CSUM: u32 = 0x400;
    pub(crate) const PROJECT: u32 = 0x2000;
    pub(crate) const SHARED_BLOCKS: u32 = 0x4000;
    pub(crate) const VERITY: u32 = 0x8000;
    /// The orphan file has unlinked files in it.
    pub(crate) const ORPHAN_PRESENT: u32 = 0x1_0000;
}

on_disk! {
    /// `struct ext4_super_block`.
    struct Superblock[1024] {
        0x000 s_inodes_count: u32,
        0x004 s_blocks_count_lo: u32,
        0x008 s_r_blocks_count_lo: u32,
        0x00c s_free_blocks_count_lo: u32,
        0x010 s_free_inodes_count: u32,
        0x014 s_first_data_block: u32,
        0x018 s_log_block_size: u32,
        0x01c s_log_cluster_size: u32,
        0x020 s_blocks_per_group: u32,
        0x024 s_clusters_per_group: u32,
        0x028 s_inodes_per_group: u32,
        0x02c s_mtime: u32,
        0x030 s_wtime: u32,
        0x034 s_mnt_count: u16,
        0x036 s_max_mnt_count: u16,
        0x038 s_magic: u16,
        0x03a s_state: u16,
        0x03c s_errors: u16,
        0x03e s_minor_rev_level: u16,
        0x040 s_lastcheck: u32,
        0x044 s_checkinterval: u32,
        0x048 s_creator_os: u32,
        0x04c s_rev_level: u32,
        0x050 s_def_resuid: u16,
        0x052 s_def_resgid: u16,
        0x054 s_first_ino: u32,
        0x058 s_inode_size: u16,
        0x05a s_block_group_nr: u16,
        0x05c s_feature_compat: u32,
        0x060 s_feature_incompat: u32,
        0x064 s_feature_ro_compat: u32,
        0x068 s_uuid: [u8; 16],
        0x078 s_volume_name: [u8; 16],
        0x088 s_last_mounted: [u8; 64],
        0x0c8 s_algorithm_usage_bitmap: u32,
        0x0cc s_prealloc_blocks: u8,
        0x0cd s_prealloc_dir_blocks: u8,
        0x0ce s_reserved_gdt_blocks: u16,
        0x0d0 s_journal_uuid: [u8; 16],
        0x0e0 s_journal_inum: u32,
        0x0e4 s_journal_dev: u32,
        0x0e8 s_last_orphan: u32,
        0x0ec s_hash_seed: [u8; 16],
        0x0fc s_def_hash_version: u8,
        0x0fd s_jnl_backup_type: u8,
        0x0fe s_desc_size: u16,
        0x100 s_default_mount_opts: u32,
        0x104 s_first_meta_bg: u32,
        0x108 s_mkfs_time: u32,
        0x10c s_jnl_blocks: [u32; 17],
        0x150 s_blocks_count_hi: u32,
        0x154 s_r_blocks_count_hi: u32,
        0x158 s_free_blocks_count_hi: u32,
        0x15c s_min_extra_isize: u16,
        0x15e s_want_extra_isize: u16,
        0x160 s_flags: u32,
        0x164 s_raid_stride: u16,
        0x166 s_mmp_interval: u16,
        0x168 s_mmp_block: u64,
        0x170 s_raid_stripe_width: u32,
        0x174 s_log_groups_per_flex: u8,
        0x175 s_checksum_type: u8,
        0x176 s_encryption_level: u8,
        0x177 s_reserved_pad: u8,
        0x178 s_kbytes_written: u64,
        0x180 s_snapshot_inum: u32,
        0x184 s_snapshot_id: u32,
        0x188 s_snapshot_r_blocks_count: u64,
        0x190 s_snapshot_list: u32,
        0x194 s_error_count: u32,
        0x198 s_first_error_time: u32,
        0x19c s_first_error_ino: u32,
        0x1a0 s_first_error_block: u64,
        0x1a8 s_first_error_func: [u8; 32],
        0x1c8 s_first_error_line: u32,
        0x1cc s_last_error_time: u32,
        0x1d0 s_last_error_ino: u32,
        0x1d4 s_last_error_line: u32,
        0x1d8 s_last_error_block: u64,
        0x1e0 s_last_error_func: [u8; 32],
        0x200 s_mount_opts: [u8; 64],
        0x240 s_usr_quota_inum: u32,
        0x244 s_grp_quota_inum: u32,
        0x248 s_overhead_clusters: u32,
        0x24c s_backup_bgs: [u32; 2],
        0x254 s_encrypt_algos: [u8; 4],
        0x258 s_encrypt_pw_salt: [u8; 16],
        0x268 s_lpf_ino: u32,
        0x26c s_prj_quota_inum: u32,
        0x270 s_checksum_seed: u32,
        0x274 s_wtime_hi: u8,
        0x275 s_mtime_hi: u8,
        0x276 s_mkfs_time_hi: u8,
        0x277 s_lastcheck_hi: u8,
        0x278 s_first_error_time_hi: u8,
        0x279 s_last_error_time_hi: u8,
        0x27a s_first_error_errcode: u8,
        0x27b s_last_error_errcode: u8,
        0x27c s_encoding: u16,
        0x27e s_encoding_flags: u16,
        0x280 s_orphan_file_inum: u32,
        0x284 s_reserved: [u32; 94],
        0x3fc s_checksum: u32,
    }
}

impl Superblock {
    /// Returns the number of blocks.
    pub(crate) fn blocks_count(&self) -> u64 {
        join32(self.s_blocks_count_lo, self.s_blocks_count_hi)
    }

    /// Sets the number of blocks.
    pub(crate) fn set_blocks_count(&mut self, blocks: u64) {
        (self.s_blocks_count_lo, self.s_blocks_count_hi) = (lo32(blocks), hi32(blocks));
    }

    /// Returns the number of blocks that only root can fill.
    pub(crate) fn r_blocks_count(&self) -> u64 {
        join32(self.s_r_blocks_count_lo, self.s_r_blocks_count_hi)
    }

    /// Sets the number of blocks that only root can fill.
    pub(crate) fn set_r_blocks_count(&mut self, blocks: u64) {
        (self.s_r_blocks_count_lo, self.s_r_blocks_count_hi) = (lo32(blocks), hi32(blocks));
    }

    /// Returns the number of free blocks.
    pub(crate) fn free_blocks_count(&self) -> u64 {
        join32(self.s_free_blocks_count_lo, self.s_free_blocks_count_hi)
    }

    /// Sets the number of free blocks.
    pub(crate) fn set_free_blocks_count(&mut self, blocks: u64) {
        (self.s_free_blocks_count_lo, self.s_free_blocks_count_hi) = (lo32(blocks), hi32(blocks));
    }

    /// Returns the bytes on disk with the right `s_checksum`.
    pub(crate) fn encode_with_checksum(&self) -> [u8; Self::SIZE] {
        let mut bytes = self.encode();
        let (covered, s_checksum) = bytes.split_at_mut(0x3fc);
        s_checksum.copy_from_slice(&Checksum::EMPTY.with(covered).value().to_le_bytes());
        bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn decodes_what_it_encodes() {
        let bytes: [u8; 1024] = std::array::from_fn(|at| u8::try_from(at * 7 % 251).unwrap());
        let superblock = Superblock::decode(&bytes);
        assert_eq!(superblock.encode(), bytes);
        assert_eq!(superblock.s_magic.to_le_bytes(), bytes[0x38..0x3a]);
        let sealed = superblock.encode_with_checksum();
        assert_eq!(
            Superblock::decode(&sealed).s_checksum,
            Checksum::EMPTY.with(&sealed[..1020]).value(),
            "the checksum covers all before it"
        );
    }
}
