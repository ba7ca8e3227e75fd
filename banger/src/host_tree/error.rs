//! Why a directory of the host cannot be read into a tree.

use std::io;

use banger_tree::{ContentError, TreeError};

/// Why a directory of the host does not make a tree. Paths are escaped where they are not UTF-8.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DirectoryError {
    /// The host refuses.
    #[error("cannot {action} {path}: {source}")]
    Io {
        /// What was tried, as a verb: "open", "list", "read the attributes of".
        action: &'static str,
        /// The file or directory.
        path: String,
        /// The host's error.
        source: io::Error,
    },
    /// A file was written, replaced or moved while it was read.
    #[error("{path} changed while it was read; build again when nothing writes there")]
    Changed {
        /// The file or directory.
        path: String,
    },
    /// A limit of [`Limits`](crate::Limits), whose field is named after what is limited.
    #[error("{path} makes it more than {maximum} {what}; if it is to be trusted, raise {option}")]
    Limit {
        /// Where the limit was passed.
        path: String,
        /// The option that sets the limit.
        option: &'static str,
        /// What is limited.
        what: &'static str,
        /// The limit.
        maximum: u64,
    },
    /// A file of a type that only this host has.
    #[error("{path} is of a type that ext4 does not have; remove it")]
    FileType {
        /// The file.
        path: String,
    },
    /// The bytes of a file could not be stored.
    #[error("{path}: {source}")]
    Content {
        /// The file.
        path: String,
        /// What the store says.
        source: ContentError,
    },
    /// The host has a name that no tree has.
    #[error("{path}: {source}")]
    Tree {
        /// The file.
        path: String,
        /// What the tree says.
        source: TreeError,
    },
    /// It is a file or directory of a known format, but not a root file system.
    #[error("{path} is {format}, not a tar or directory with a root file system; {advice}")]
    Format {
        /// The file or directory.
        path: String,
        /// What it is, with an article.
        format: String,
        /// What to do with it.
        advice: String,
    },
    /// There is no such file, and its name is that of a container image.
    #[error(
        "there is no file or directory {reference}; for the container image use `banger image pull {reference}`"
    )]
    Reference {
        /// The name.
        reference: String,
    },
    /// The caller asked to stop.
    #[error("cancelled")]
    Cancelled,
}

impl DirectoryError {
    /// Returns a number that stays the same for this kind of failure in all versions.
    pub fn code(&self) -> u32 {
        match self {
            Self::Io { .. } => 600,
            Self::Changed { .. } => 601,
            Self::Limit { .. } => 602,
            Self::FileType { .. } => 603,
            Self::Content { .. } => 604,
            Self::Tree { .. } => 605,
            Self::Cancelled => 606,
            Self::Format { .. } => 607,
            Self::Reference { .. } => 608,
        }
    }
}
