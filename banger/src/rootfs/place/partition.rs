//! The partitions of a disk.

use std::fmt;
use std::fs::File;
use std::io::{self, Seek as _, SeekFrom};

use camino::Utf8Path;

use super::error::PlaceError;
use super::{gpt, mbr};

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

impl Fault {
    pub(super) fn of(self, file: &Utf8Path) -> PlaceError {
        let file = file.to_owned();
        match self {
            Self::Io(source) => PlaceError::Io { file, source },
            Self::Damaged(reason) => PlaceError::Damaged { file, reason },
        }
    }
}

/// Returns the partitions of a disk, in the order of their numbers; `None` without a table.
pub(super) fn partitions_of(mut disk: &File) -> Result<Option<Vec<Partition>>, Fault> {
    // A block device has no length in its metadata.
    let size = disk.seek(SeekFrom::End(0))?;
    let found = match gpt::partitions(disk)? {
        Some(found) => Some(found),
        None => mbr::partitions(disk)?,
    };
    if let Some(found) = &found
        && let Some(outside) = found.iter().find(|partition| partition.end > size)
    {
        let (number, end) = (outside.number, outside.end);
        return Err(Fault::Damaged(format!("partition {number} ends at byte {end}, and the disk at {size}")));
    }
    Ok(found)
}
