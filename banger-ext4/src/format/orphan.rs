//! The file for unlinked inodes (`orphan_file`).

/// Bytes of `struct ext4_orphan_block_tail`: a magic number and a checksum.
pub(crate) const TAIL_SIZE: usize = 8;
