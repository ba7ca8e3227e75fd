//! The partitions of a disk.

use std::fmt;
use std::io;

/// A partition of a disk.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Partition {
    /// The number, from 1 on, as Linux counts.
    pub number: u32,
    /// The label; `None` with MBR, and for a partition without one.
    pub label: Option<String>,
    /// The first byte.
    pub start: u64,
    /// The byte after the last one.
    pub end: u64,
}

impl fmt::Display for Partition {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.label {
            Some(label) => write!(formatter, "{} ({})", self.number, banger_tree::escape_text(label)),
            None => write!(formatter, "{}", self.number),
        }
    }
}

/// Why a table of partitions cannot be read.
#[derive(Debug)]
pub(super) enum Fault {
    Io(io::Error),
    Damaged(String),
}

impl From<io::Error> for Fault {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::UnexpectedEof => Self::Damaged("it goes on behind the end of the disk".to_owned()),
            _ => Self::Io(error),
        }
    }
}
