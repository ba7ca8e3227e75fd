//! What can be wrong with an archive.

use std::io;

use banger_tree::{ErrorContext, ErrorKind, Failure};

/// Why an archive cannot be read; offsets are bytes from its start.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TarError {
    /// The input failed.
    #[error("cannot read the archive at byte {offset}: {source}")]
    Read {
        /// Where the archive had been read to.
        offset: u64,
        /// The input's error.
        source: io::Error,
    },
    /// The archive ends inside a header, a file or an extended header.
    #[error("the archive ends early, at byte {offset}, inside {inside}")]
    Truncated {
        /// Where it ends.
        offset: u64,
        /// What is cut.
        inside: &'static str,
    },
    /// A block that should be a header has a wrong checksum, or follows a lone block of zeros.
    #[error("no tar header at byte {offset}: {reason}")]
    NotAHeader {
        /// Where the block starts.
        offset: u64,
        /// What gave it away.
        reason: &'static str,
    },
    /// A number in a header is malformed or out of its range.
    #[error("bad {field} in the header at byte {offset}")]
    Number {
        /// Where the header starts.
        offset: u64,
        /// The field, or the key of the pax record.
        field: &'static str,
    },
    /// An extended header (pax `x`, GNU `L` or `K`) is malformed, repeated, contradicted by
    /// another, or belongs to no file.
    #[error("bad {record} extended header at byte {offset}: {reason}")]
    Extended {
        /// Where its header (or, for one without a file, the archive's end) is.
        offset: u64,
        /// Which kind.
        record: &'static str,
        /// The reason.
        reason: &'static str,
    },
    /// A sparse file whose map is malformed, or of a kind that is unknown.
    #[error("bad map of the sparse file at byte {offset}: {reason}")]
    Sparse {
        /// Where the file's header starts.
        offset: u64,
        /// The reason.
        reason: &'static str,
    },
    /// A type flag that says nothing about a root file system: part of a multi-volume archive, or
    /// a vendor's invention.
    #[error("unsupported type flag {:?} in the header at byte {offset}", char::from(*.flag))]
    TypeFlag {
        /// Where the header starts.
        offset: u64,
        /// The flag.
        flag: u8,
    },
    /// One of the reader's limits.
    #[error("{what} of {value} at byte {offset} is more than the {maximum} that are allowed")]
    Limit {
        /// Where the header starts.
        offset: u64,
        /// What is limited.
        what: &'static str,
        /// What the archive wants.
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

    /// Returns where in the archive it was found, in bytes from the start.
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
