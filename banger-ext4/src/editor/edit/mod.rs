//! Changing a file system by path, and making the changes last.

pub(in crate::editor) mod commit;
pub(in crate::editor) mod grow;
pub(in crate::editor) mod in_use;
pub(in crate::editor) mod journal;
pub(in crate::editor) mod orphans;
pub(in crate::editor) mod recovery;
pub(in crate::editor) mod replay;
pub(in crate::editor) mod rootfs;
