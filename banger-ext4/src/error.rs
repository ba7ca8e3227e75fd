//! Why an image could not be built.

use std::io;

use banger_tree::{ContentError, GuestPath};
use camino::Utf8PathBuf;

/// Why an image could not be built. Nothing of it is left behind.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Ext4Error {
    /// The content does not fit the size that was asked for.
    #[error("the content needs {needed_bytes} bytes and the image has {size_bytes}; choose a larger --size")]
    NoSpace {
        /// Size of the file system.
        size_bytes: u64,
        /// A size that would do, about.
        needed_bytes: u64,
    },
    /// There are more inodes in the tree than in the file system.
    #[error(
        "the content needs {needed} inodes and the image has {inodes}; choose more --inodes or a larger --size"
    )]
    NoInodes {
        /// Inodes of the file system.
        inodes: u64,
        /// Inodes of the tree with the reserved ones.
        needed: u64,
    },
    /// The size is none that ext4 can have.
    #[error("a file system of {size_bytes} bytes cannot be made: {reason}")]
    InvalidSize {
        /// Size asked for.
        size_bytes: u64,
        /// Why not, and what can.
        reason: String,
    },
    /// The label is longer than ext4's 16 bytes, or holds a NUL byte.
    #[error("label {label:?} is not one of at most 16 bytes")]
    InvalidLabel {
        /// The label asked for.
        label: String,
    },
    /// One path has what ext4 cannot hold: xattrs, links, size.
    #[error("{path} does not fit into ext4: {reason}")]
    Limit {
        /// The path.
        path: GuestPath,
        /// Which limit, with numbers.
        reason: String,
    },
    /// A tool of the e2fsprogs backend is not there.
    #[error("{tool} not found; install e2fsprogs 1.43 or newer, or use --backend native")]
    ToolMissing {
        /// Name of the program.
        tool: String,
    },
    /// A tool is there but must not be used.
    #[error("{tool} {version} cannot be used: {reason}")]
    ToolUnfit {
        /// Path of the program.
        tool: String,
        /// Its version.
        version: String,
        /// Why.
        reason: String,
    },
    /// A tool failed.
    #[error("{tool} {version} failed: {reason}")]
    ToolFailed {
        /// Path of the program.
        tool: String,
        /// Its version.
        version: String,
        /// What it said, on one line.
        reason: String,
    },
    /// File content could not be stored or read again.
    #[error(transparent)]
    Content(#[from] ContentError),
    /// The host failed to read or write.
    #[error("cannot {action} {path}: {source}{}", advice_on(.source))]
    Io {
        /// What was tried, as a verb.
        action: &'static str,
        /// The file or directory.
        path: Utf8PathBuf,
        /// The host's error.
        source: io::Error,
    },
    /// The caller asked to stop.
    #[error("cancelled")]
    Cancelled,
}

/// Returns what to do where the host's disk is full.
fn advice_on(source: &io::Error) -> &'static str {
    match source.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
            "; free some space on that disk, or write to another"
        }
        io::ErrorKind::FileTooLarge => {
            "; raise the limit on the size of files (`ulimit -f`), or choose another disk"
        }
        _ => "",
    }
}

impl Ext4Error {
    /// Returns a number that stays the same for this kind of failure in all versions.
    pub fn code(&self) -> u32 {
        match self {
            Self::NoSpace { .. } => 300,
            Self::NoInodes { .. } => 301,
            Self::InvalidSize { .. } => 302,
            Self::Limit { .. } => 303,
            Self::ToolMissing { .. } => 304,
            Self::ToolUnfit { .. } => 305,
            Self::ToolFailed { .. } => 306,
            Self::Content(_) => 307,
            Self::Io { .. } => 308,
            Self::Cancelled => 309,
            Self::InvalidLabel { .. } => 310,
        }
    }
}
