//! Why an image could not be built.

use std::io;

use banger_tree::{Advice, ContentError, ErrorContext, ErrorKind, Failure, GuestPath, OverBudget, Setting};
use camino::Utf8PathBuf;

/// Why an image could not be built. Nothing of it is left behind.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Ext4Error {
    /// The content does not fit the size that was asked for.
    #[error("the content needs {needed_bytes} bytes and the image has {size_bytes}")]
    NoSpace {
        /// Size of the file system.
        size_bytes: u64,
        /// A size that would do, about.
        needed_bytes: u64,
    },
    /// There are more inodes in the tree than in the file system.
    #[error("the content needs {needed} inodes and the image has {inodes}")]
    NoInodes {
        /// Inodes of the file system.
        inodes: u64,
        /// Inodes of the tree, including the reserved ones.
        needed: u64,
    },
    /// ext4 cannot have this size.
    #[error("a file system of {size_bytes} bytes cannot be made: {reason}")]
    InvalidSize {
        /// Size asked for.
        size_bytes: u64,
        /// The reason, and the possible sizes.
        reason: String,
    },
    /// The label is longer than ext4's 16 bytes, or holds a NUL byte.
    #[error("label {label:?} is not one of at most 16 bytes")]
    InvalidLabel {
        /// The label asked for.
        label: String,
    },
    /// No journal can have this size.
    #[error("a journal of {size_bytes} bytes cannot be made: it has {least_bytes} to {most_bytes} bytes")]
    InvalidJournal {
        /// Size asked for.
        size_bytes: u64,
        /// The smallest that kernels take.
        least_bytes: u64,
        /// The largest.
        most_bytes: u64,
    },
    /// More blocks are to be kept for root than half of the file system.
    #[error("{blocks} blocks cannot be reserved: {most}, half of the file system, is the most")]
    InvalidReserved {
        /// Blocks asked for.
        blocks: u64,
        /// The most possible.
        most: u64,
    },
    /// ext4 cannot hold a property of one path: xattrs, links, size.
    #[error("{path} does not fit into ext4: {reason}")]
    Limit {
        /// The path.
        path: GuestPath,
        /// Which limit, with numbers.
        reason: String,
    },
    /// A tool of the e2fsprogs backend is not there.
    #[error("{tool} not found")]
    ToolMissing {
        /// Name of the program.
        tool: String,
    },
    /// A tool exists but must not be used.
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
        /// Its message, on one line.
        reason: String,
    },
    /// File content could not be stored or read again.
    #[error(transparent)]
    Content(#[from] ContentError),
    /// The host failed to read or write.
    #[error("cannot {action} {path}: {source}")]
    Io {
        /// The action that failed, as a verb.
        action: &'static str,
        /// The file or directory.
        path: Utf8PathBuf,
        /// The host's error.
        source: io::Error,
    },
    /// Directories, symlinks and extended attributes take more than the budget allows.
    #[error(transparent)]
    OverBudget(OverBudget),
    /// The caller asked to stop.
    #[error("cancelled")]
    Cancelled,
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
            Self::OverBudget(_) => 311,
            Self::InvalidJournal { .. } => 312,
            Self::InvalidReserved { .. } => 313,
        }
    }
}

impl Failure for Ext4Error {
    fn code(&self) -> u32 {
        self.code()
    }

    fn kind(&self) -> ErrorKind {
        match self {
            Self::NoSpace { .. } | Self::NoInodes { .. } => ErrorKind::NoSpace,
            Self::InvalidSize { .. }
            | Self::InvalidLabel { .. }
            | Self::InvalidJournal { .. }
            | Self::InvalidReserved { .. } => ErrorKind::Argument,
            Self::Limit { .. } | Self::OverBudget(_) => ErrorKind::Limit,
            Self::ToolMissing { .. } => ErrorKind::NotFound,
            Self::ToolUnfit { .. } => ErrorKind::Unsupported,
            Self::ToolFailed { .. } => ErrorKind::Internal,
            Self::Content(error) => error.kind(),
            Self::Io { source, .. } => ErrorKind::of_io(source),
            Self::Cancelled => ErrorKind::Cancelled,
        }
    }

    fn advice(&self) -> Option<Advice> {
        match self {
            Self::NoSpace { .. } => Some(Advice::with_setting("choose a larger {setting}", Setting("size"))),
            Self::NoInodes { .. } => {
                Some(Advice::with_setting("choose a larger {setting}, or a larger size", Setting("inodes")))
            }
            Self::ToolMissing { .. } => Some(Advice::with_setting(
                "install e2fsprogs 1.43 or newer, or choose native as {setting}",
                Setting("backend"),
            )),
            Self::Content(error) => error.advice(),
            Self::Io { source, .. } => Advice::on_full_disk(source),
            Self::OverBudget(over) => over.advice(),
            _ => None,
        }
    }

    fn context(&self) -> ErrorContext {
        let context = ErrorContext::default();
        match self {
            Self::NoSpace { size_bytes, needed_bytes } => {
                context.with("size_bytes", size_bytes).with("needed_bytes", needed_bytes)
            }
            Self::NoInodes { inodes, needed } => context.with("inodes", inodes).with("needed", needed),
            Self::InvalidSize { size_bytes, .. } => context.with("size_bytes", size_bytes),
            Self::InvalidLabel { label } => context.with("label", label),
            Self::InvalidJournal { size_bytes, .. } => context.with("size_bytes", size_bytes),
            Self::InvalidReserved { blocks, most } => context.with("blocks", blocks).with("most", most),
            Self::Limit { path, .. } => context.with("guest_path", path),
            Self::ToolMissing { tool } => context.with("tool", tool),
            Self::ToolUnfit { tool, version, .. } | Self::ToolFailed { tool, version, .. } => {
                context.with("tool", tool).with("version", version)
            }
            Self::Io { path, .. } => context.with("path", path),
            Self::Content(error) => error.context(),
            Self::OverBudget(over) => over.context(),
            Self::Cancelled => context,
        }
    }
}

#[cfg(test)]
mod tests {
    use banger_tree::{Budget, Cost};

    use super::*;

    #[test]
    fn each_failure_has_its_kind() {
        let (tool, reason) = (|| "mkfs.ext4".to_owned(), || "of this".to_owned());
        let full = ContentError::NoSpace { store: "disk".to_owned(), needed_bytes: 1, advice: None };
        let over = Budget::unlimited().with_limit(Cost::Entries, 0).charge(Cost::Entries, 1).unwrap_err();
        let table = [
            (Ext4Error::NoSpace { size_bytes: 1, needed_bytes: 2 }, ErrorKind::NoSpace),
            (Ext4Error::NoInodes { inodes: 1, needed: 2 }, ErrorKind::NoSpace),
            (Ext4Error::InvalidSize { size_bytes: 1, reason: reason() }, ErrorKind::Argument),
            (Ext4Error::InvalidLabel { label: reason() }, ErrorKind::Argument),
            (Ext4Error::InvalidJournal { size_bytes: 1, least_bytes: 2, most_bytes: 3 }, ErrorKind::Argument),
            (Ext4Error::InvalidReserved { blocks: 2, most: 1 }, ErrorKind::Argument),
            (Ext4Error::Limit { path: GuestPath::root(), reason: reason() }, ErrorKind::Limit),
            (Ext4Error::ToolMissing { tool: tool() }, ErrorKind::NotFound),
            (
                Ext4Error::ToolUnfit { tool: tool(), version: tool(), reason: reason() },
                ErrorKind::Unsupported,
            ),
            (Ext4Error::ToolFailed { tool: tool(), version: tool(), reason: reason() }, ErrorKind::Internal),
            (Ext4Error::Content(full), ErrorKind::NoSpace),
            (Ext4Error::Content(ContentError::Cancelled), ErrorKind::Cancelled),
            (
                Ext4Error::Io {
                    action: "write",
                    path: "x".into(),
                    source: io::ErrorKind::StorageFull.into(),
                },
                ErrorKind::NoSpace,
            ),
            (Ext4Error::OverBudget(over), ErrorKind::Limit),
            (Ext4Error::Cancelled, ErrorKind::Cancelled),
        ];
        let mut codes: Vec<u32> = table.iter().map(|(error, _)| error.code()).collect();
        codes.sort_unstable();
        codes.dedup();
        // Each variant has a code of its own.
        assert_eq!(codes, (300..=313).collect::<Vec<_>>());
        for (error, kind) in table {
            assert_eq!(error.kind(), kind, "{error}");
            assert!(!error.to_string().contains(';'), "advice in the message: {error}");
        }
    }
}
