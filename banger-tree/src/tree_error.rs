//! Errors of changes to a tree.

use crate::failure::{ErrorContext, ErrorKind, Failure};
use crate::inode_id::InodeId;
use crate::path::PathError;
use crate::resolve_error::ResolveError;

/// Error of a change to a tree.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TreeError {
    /// The name cannot be a directory entry.
    #[error(transparent)]
    Name(#[from] PathError),
    /// The inode for a new entry is not a directory.
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

impl TreeError {
    /// Returns a number that stays the same for this failure in all versions.
    pub fn code(&self) -> u32 {
        match self {
            Self::Name(error) => error.code(),
            Self::NotADirectory(_) => ResolveError::NOT_A_DIRECTORY_CODE,
            Self::Exists { .. } => 705,
            Self::DirectoryLink(_) => 702,
        }
    }
}

impl Failure for TreeError {
    fn code(&self) -> u32 {
        self.code()
    }

    fn kind(&self) -> ErrorKind {
        match self {
            Self::Exists { .. } => ErrorKind::Exists,
            Self::Name(_) | Self::NotADirectory(_) | Self::DirectoryLink(_) => ErrorKind::Argument,
        }
    }

    fn context(&self) -> ErrorContext {
        match self {
            Self::Name(error) => error.context(),
            Self::NotADirectory(inode) | Self::DirectoryLink(inode) => {
                ErrorContext::default().with("inode", inode.0)
            }
            Self::Exists { name } => ErrorContext::default().with("name", crate::escape_bytes(name)),
        }
    }
}
