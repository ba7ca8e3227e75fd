//! The file system on its disk: blocks and what is in them.

pub(in crate::editor) mod allocate;
pub(in crate::editor) mod block_map;
pub(in crate::editor) mod blocks;
pub(in crate::editor) mod content;
pub(in crate::editor) mod dir_cache;
pub(in crate::editor) mod directory;
pub(in crate::editor) mod extents;
pub(in crate::editor) mod features;
pub(in crate::editor) mod groups;
pub(in crate::editor) mod index;
pub(in crate::editor) mod inline;
pub(in crate::editor) mod inodes;
pub(in crate::editor) mod storage;
pub(in crate::editor) mod volume;
pub(in crate::editor) mod whole_inode;
pub(in crate::editor) mod xattrs;
