//! Why a tree refuses a change.

use crate::inode_id::InodeId;
use crate::path::PathError;

/// Why a tree refused a change.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TreeError {
    /// The name cannot be a directory entry.
    #[error(transparent)]
    Name(#[from] PathError),
    /// The inode that was to hold an entry is not a directory.
    #[error("inode {} is not a directory", .0.0)]
    NotADirectory(InodeId),
    /// The name is taken.
    #[error("{} exists", crate::escape_bytes(.name))]
    Exists {
        /// The name.
        name: Vec<u8>,
    },
    /// A second name for a directory.
    #[error("inode {} is a directory and cannot have a second name", .0.0)]
    DirectoryLink(InodeId),
}
