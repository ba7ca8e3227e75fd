//! Looking for damage.

pub(in crate::editor) mod index_check;
pub(in crate::editor) mod inode_check;
pub(in crate::editor) mod superblock_check;
pub(in crate::editor) mod verify;
