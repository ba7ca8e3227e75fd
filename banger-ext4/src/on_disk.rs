//! Numbers and small codecs of the on-disk format, for another backend.
//!
//! A backend that runs foreign tools reads images back and compares them field by field. It uses the facts of
//! this module, so that they have one home. Constants have the kernel's names if there are any.

use banger_tree::{FileType, Timestamp};

use crate::format::{self, Group, acl, device, dirent, extent, inode, superblock, timestamp, xattr};

/// Bytes of a block.
pub const BLOCK_BYTES: u64 = format::BLOCK_BYTES;
/// Bytes of an inode.
pub const INODE_BYTES: u64 = format::INODE_SIZE as u64;
/// Blocks of a group.
pub const BLOCKS_PER_GROUP: u64 = format::BLOCKS_PER_GROUP;
/// Bytes of a group descriptor with the feature `64bit`.
pub const DESC_BYTES: u64 = format::DESC_SIZE as u64;

/// Bytes of an inode that every version of ext2 has (`EXT4_GOOD_OLD_INODE_SIZE`).
pub const GOOD_OLD_INODE_BYTES: usize = inode::GOOD_OLD_SIZE;
/// `EXT4_EXTENTS_FL`: `i_block` is an extent tree.
pub const EXTENTS_FL: u32 = inode::EXTENTS_FL;
/// `EXT4_INDEX_FL`: the directory has a hash index.
pub const INDEX_FL: u32 = inode::INDEX_FL;
/// Bytes of the longest target of a symlink that lies in `i_block`.
pub const FAST_SYMLINK_MAX: usize = inode::FAST_SYMLINK_MAX;
/// `EXT4_LINK_MAX`: most names of a file; a directory with more has a count of 1.
pub const LINK_MAX: u32 = inode::LINK_MAX;
/// `EXT4_FEATURE_INCOMPAT_64BIT`.
pub const INCOMPAT_64BIT: u32 = superblock::incompat::BIT64;

/// `eh_magic` of a node of an extent tree.
pub const EXTENT_MAGIC: u16 = extent::MAGIC;
/// Most blocks of an extent; a greater `ee_len` marks an unwritten extent.
pub const EXTENT_MAX_BLOCKS: u32 = extent::EXTENT_MAX_BLOCKS;
/// Extents in an inode.
pub const EXTENTS_IN_INODE: u64 = extent::ROOT_ENTRIES as u64;
/// Extents in a block.
pub const EXTENTS_IN_BLOCK: u64 = extent::BLOCK_ENTRIES as u64;

/// Bytes of the checksum at the end of a directory's block.
pub const DIRENT_TAIL_BYTES: usize = dirent::TAIL_SIZE;
/// `file_type` of the entry that holds this checksum.
pub const DIRENT_TAIL_FILE_TYPE: u8 = dirent::TAIL_FILE_TYPE;

/// Magic number before extended attributes, in an inode or a block.
pub const XATTR_MAGIC: u32 = xattr::MAGIC;
/// Name of the attribute that holds a file's own ACL.
pub const ACL_ACCESS: &[u8] = acl::ACCESS;
/// Name of the attribute that holds the ACL that a directory hands down.
pub const ACL_DEFAULT: &[u8] = acl::DEFAULT;

/// Largest major number of a device.
pub const DEVICE_MAJOR_MAX: u32 = device::MAJOR_MAX;
/// Largest minor number of a device.
pub const DEVICE_MINOR_MAX: u32 = device::MINOR_MAX;

/// Returns the bytes of a directory entry whose name has `name_bytes` bytes.
pub const fn dirent_bytes(name_bytes: usize) -> usize {
    dirent::entry_size(name_bytes)
}

/// Returns the `file_type` of a directory entry.
pub fn file_type_code(file_type: FileType) -> u8 {
    dirent::file_type_code(file_type)
}

/// Returns the `i_block` of a device, or `None` if a number is too large.
pub fn encode_device(major: u32, minor: u32) -> Option<[u8; 60]> {
    device::encode(major, minor)
}

/// Returns the major and minor number in the `i_block` of a device.
pub fn decode_device(i_block: &[u8; 60]) -> (u32, u32) {
    device::decode(i_block)
}

/// Returns the two fields of a time, for example `i_mtime` and `i_mtime_extra`. A time outside the range of
/// ext4 becomes the nearest one in it.
pub fn encode_time(time: Timestamp) -> [u32; 2] {
    let timestamp::EncodedTime { seconds, extra } = timestamp::EncodedTime::new(time);
    [seconds, extra]
}

/// Returns the time that [`encode_time`] encoded.
pub fn decode_time([seconds, extra]: [u32; 2]) -> Timestamp {
    timestamp::EncodedTime { seconds, extra }.decode()
}

/// Returns the form on disk of an ACL in the form of the xattr interface, or `None` if it is malformed.
pub fn acl_to_disk(value: &[u8]) -> Option<Vec<u8>> {
    acl::to_disk(value)
}

/// Returns the form of the xattr interface of an ACL on disk, or `None` if it is malformed.
pub fn acl_from_disk(value: &[u8]) -> Option<Vec<u8>> {
    acl::from_disk(value)
}

/// Returns whether a copy of the superblock is in this group (`sparse_super`).
pub fn has_superblock(group: u32) -> bool {
    Group(group).has_super()
}
