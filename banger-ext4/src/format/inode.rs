//! Inodes of 256 bytes.

use super::crc32c::Checksum;
use super::field::on_disk;
use super::timestamp::EncodedTime;
use super::{Block, InodeNumber, hi16, hi32, join16, join32, lo16, lo32};

/// Bytes before the extra fields.
pub(crate) const GOOD_OLD_SIZE: usize = 128;
/// `i_extra_isize`: the fields up to `i_projid`.
pub(crate) const EXTRA_ISIZE: u16 = 32;
/// Returns whether an inode of `inode_size` bytes has room for `bytes` of extra fields, and xattrs can
/// begin after them.
pub(crate) fn is_extra_isize(bytes: u16, inode_size: usize) -> bool {
    usize::from(bytes) <= inode_size.saturating_sub(GOOD_OLD_SIZE) && bytes.is_multiple_of(4)
}

/// Bytes for xattrs after the fields.
pub(crate) const XATTR_SPACE: usize = 96;
/// `i_flags`: content, or the names of a directory, are encrypted.
pub(crate) const ENCRYPT_FL: u32 = 0x800;
/// `i_flags`: `i_blocks` counts blocks.
pub(crate) const HUGE_FILE_FL: u32 = 0x4_0000;
/// `i_flags`: the content is protected by verity; its hashes lie behind the end.
pub(crate) const VERITY_FL: u32 = 0x10_0000;
/// `i_flags`: the content is the value of an extended attribute.
pub(crate) const EA_INODE_FL: u32 = 0x20_0000;
/// `i_flags`: the content is in the inode.
pub(crate) const INLINE_DATA_FL: u32 = 0x1000_0000;
/// `i_flags`: new inodes in the directory get its project.
pub(crate) const PROJINHERIT_FL: u32 = 0x2000_0000;
/// `i_flags`: names of the directory are looked up without letter case.
pub(crate) const CASEFOLD_FL: u32 = 0x4000_0000;
/// `i_flags`: the directory is an htree.
pub(crate) const INDEX_FL: u32 = 0x1000;
/// `i_flags`: for AFS, which needs its own feature.
pub(crate) const IMAGIC_FL: u32 = 0x2000;
/// `i_flags`: `i_block` is the root of an extent tree.
pub(crate) const EXTENTS_FL: u32 = 0x8_0000;
/// Longest symlink target that `i_block` holds; the kernel keeps one byte for a NUL.
pub(crate) const FAST_SYMLINK_MAX: usize = 59;
/// Most names a file, and most subdirectories plus two a directory that is counted, can have.
pub(crate) const LINK_MAX: u32 = 65000;

on_disk! {
    /// `struct ext4_inode`.
    struct Inode[256] {
        0x00 i_mode: u16,
        0x02 i_uid: u16,
        0x04 i_size_lo: u32,
        0x08 i_atime: u32,
        0x0c i_ctime: u32,
        0x10 i_mtime: u32,
        0x14 i_dtime: u32,
        0x18 i_gid: u16,
        0x1a i_links_count: u16,
        0x1c i_blocks_lo: u32,
        0x20 i_flags: u32,
        0x24 l_i_version: u32,
        0x28 i_block: [u8; 60],
        0x64 i_generation: u32,
        0x68 i_file_acl_lo: u32,
        0x6c i_size_high: u32,
        0x70 i_obso_faddr: u32,
        0x74 l_i_blocks_high: u16,
        0x76 l_i_file_acl_high: u16,
        0x78 l_i_uid_high: u16,
        0x7a l_i_gid_high: u16,
        0x7c l_i_checksum_lo: u16,
        0x7e l_i_reserved: u16,
        0x80 i_extra_isize: u16,
        0x82 i_checksum_hi: u16,
        0x84 i_ctime_extra: u32,
        0x88 i_mtime_extra: u32,
        0x8c i_atime_extra: u32,
        0x90 i_crtime: u32,
        0x94 i_crtime_extra: u32,
        0x98 i_version_hi: u32,
        0x9c i_projid: u32,
        0xa0 xattrs: [u8; 96],
    }
}

impl Inode {
    /// Returns the length in bytes.
    pub(crate) fn size(&self) -> u64 {
        join32(self.i_size_lo, self.i_size_high)
    }

    /// Returns whether the content is in the inode itself (`inline_data`).
    pub(crate) fn is_inline(&self) -> bool {
        self.i_flags & INLINE_DATA_FL != 0
    }

    /// Sets the length in bytes.
    pub(crate) fn set_size(&mut self, bytes: u64) {
        (self.i_size_lo, self.i_size_high) = (lo32(bytes), hi32(bytes));
    }

    /// Sets the space in use, in units of 512 bytes: data, index and xattr blocks, never holes.
    pub(crate) fn set_blocks(&mut self, sectors: u64) {
        // Below 2^48 units no `HUGE_FILE_FL` is needed, and no file here comes near.
        (self.i_blocks_lo, self.l_i_blocks_high) = (lo32(sectors), lo16(hi32(sectors)));
    }

    /// Returns the space in use, in units of 512 bytes.
    pub(crate) fn blocks(&self) -> u64 {
        join32(self.i_blocks_lo, u32::from(self.l_i_blocks_high))
    }

    /// Sets the owner.
    pub(crate) fn set_owner(&mut self, uid: u32, gid: u32) {
        (self.i_uid, self.l_i_uid_high) = (lo16(uid), hi16(uid));
        (self.i_gid, self.l_i_gid_high) = (lo16(gid), hi16(gid));
    }

    /// Returns the owner's user and group.
    pub(crate) fn owner(&self) -> (u32, u32) {
        (join16(self.i_uid, self.l_i_uid_high), join16(self.i_gid, self.l_i_gid_high))
    }

    /// Returns the block with the xattrs that are not in the inode; 0 without this block.
    pub(crate) fn file_acl(&self) -> Block {
        Block(join32(self.i_file_acl_lo, u32::from(self.l_i_file_acl_high)))
    }

    /// Sets the block with the xattrs that are not in the inode.
    pub(crate) fn set_file_acl(&mut self, block: Block) {
        (self.i_file_acl_lo, self.l_i_file_acl_high) = (lo32(block.0), lo16(hi32(block.0)));
    }

    /// Sets all four times.
    pub(crate) fn set_times(&mut self, time: EncodedTime) {
        (self.i_atime, self.i_atime_extra) = (time.seconds, time.extra);
        (self.i_ctime, self.i_ctime_extra) = (time.seconds, time.extra);
        (self.i_mtime, self.i_mtime_extra) = (time.seconds, time.extra);
        (self.i_crtime, self.i_crtime_extra) = (time.seconds, time.extra);
    }

    /// Returns the bytes on disk with the right checksum.
    pub(crate) fn encode_with_checksum(&self, seed: Checksum, number: InodeNumber) -> [u8; Self::SIZE] {
        let mut bytes = self.encode();
        bytes[0x7c..0x7e].fill(0);
        bytes[0x82..0x84].fill(0);
        let csum = seed.of_inode(number, self.i_generation).with(&bytes).value();
        bytes[0x7c..0x7e].copy_from_slice(&lo16(csum).to_le_bytes());
        bytes[0x82..0x84].copy_from_slice(&hi16(csum).to_le_bytes());
        bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn decodes_what_it_encodes() {
        let bytes: [u8; 256] = std::array::from_fn(|at| u8::try_from(at).unwrap());
        let inode = Inode::decode(&bytes);
        assert_eq!(inode.encode(), bytes);
        assert_eq!(inode.size(), 0x6f6e_6d6c_0706_0504);
        let seed = Checksum::of_filesystem(&[1; 16]);
        let sealed = inode.encode_with_checksum(seed, InodeNumber(12));
        assert_eq!(Inode::decode(&sealed).encode_with_checksum(seed, InodeNumber(12)), sealed);
        assert_ne!(inode.encode_with_checksum(seed, InodeNumber(13)), sealed);
    }
}
