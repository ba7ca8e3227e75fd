//! Errors of an archive.

use std::io;

use banger_tree::{ErrorContext, ErrorKind, Failure};

/// Why an archive cannot be read; offsets are bytes from its start.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TarError {
    /// The input failed.
    #[error("cannot read the archive at byte {offset}: {source}")]
    Read {
        /// Position of the reader in the archive.
        offset: u64,
        /// The input's error.
        source: io::Error,
    },
    /// The archive ends inside a header, a file or an extended header.
    #[error("the archive ends early, at byte {offset}, inside {inside}")]
    Truncated {
        /// Position of its end.
        offset: u64,
        /// The truncated part.
        inside: &'static str,
    },
    /// A block that should be a header has a wrong checksum, or follows a lone block of zeros.
    #[error("no tar header at byte {offset}: {reason}")]
    NotAHeader {
        /// Position of the block.
        offset: u64,
        /// The recognised format.
        reason: &'static str,
    },
    /// A number in a header is malformed or out of its range.
    #[error("bad {field} in the header at byte {offset}")]
    Number {
        /// Position of the header.
        offset: u64,
        /// The field, or the key of the pax record.
        field: &'static str,
    },
    /// An extended header (pax `x`, GNU `L` or `K`) is malformed, repeated, contradicted by
    /// another, or belongs to no file.
    #[error("bad {record} extended header at byte {offset}: {reason}")]
    Extended {
        /// Position of its header, or of the archive's end if no file follows.
        offset: u64,
        /// Which kind.
        record: &'static str,
        /// The reason.
        reason: &'static str,
    },
    /// A sparse file whose map is malformed, or of a kind that is unknown.
    #[error("bad map of the sparse file at byte {offset}: {reason}")]
    Sparse {
        /// Position of the file's header.
        offset: u64,
        /// The reason.
        reason: &'static str,
    },
    /// A type flag without meaning for a root file system: part of a multi-volume archive, or an extension of
    /// a vendor.
    #[error("unsupported type flag {:?} in the header at byte {offset}", char::from(*.flag))]
    TypeFlag {
        /// Position of the header.
        offset: u64,
        /// The flag.
        flag: u8,
    },
    /// One of the reader's limits.
    #[error("{what} of {value} at byte {offset} is more than the {maximum} that are allowed")]
    Limit {
        /// Position of the header.
        offset: u64,
        /// The limited quantity.
        what: &'static str,
        /// The value in the archive.
        value: u64,
        /// The limit.
        maximum: u64,
    },
}

impl TarError {
    /// Returns a number that stays the same for this failure in all versions.
    pub fn code(&self) -> u32 {
        203
    }

    /// Returns the position of the error in the archive, in bytes from the start.
    pub fn offset(&self) -> u64 {
        match self {
            Self::Read { offset, .. }
            | Self::Truncated { offset, .. }
            | Self::NotAHeader { offset, .. }
            | Self::Number { offset, .. }
            | Self::Extended { offset, .. }
            | Self::Sparse { offset, .. }
            | Self::TypeFlag { offset, .. }
            | Self::Limit { offset, .. } => *offset,
        }
    }
}

impl Failure for TarError {
    fn code(&self) -> u32 {
        self.code()
    }

    fn kind(&self) -> ErrorKind {
        match self {
            Self::Read { source, .. } => ErrorKind::of_io(source),
            Self::TypeFlag { .. } => ErrorKind::Unsupported,
            Self::Limit { .. } => ErrorKind::Limit,
            _ => ErrorKind::Damaged,
        }
    }

    fn context(&self) -> ErrorContext {
        ErrorContext::default().with("offset", self.offset())
    }
}
