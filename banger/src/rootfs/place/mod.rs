//! Where a file system lies: in a file or block device, or in a part of one.

mod error;
mod formats;
mod gpt;
mod mbr;
mod partition;
mod table;

use std::convert::Infallible;
use std::fs::File;
use std::ops::Range;
use std::str::FromStr;

use camino::{Utf8Path, Utf8PathBuf};

pub use error::PlaceError;
use formats::format_of;
pub use partition::Partition;
use table::partitions_of;

use crate::error::Error;

/// Where a file system lies.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct RootfsPlace {
    /// The file or block device.
    pub file: Utf8PathBuf,
    /// The part of it.
    pub part: Part,
}

/// A part of a file or block device.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Part {
    /// All of it.
    #[default]
    Whole,
    /// From this byte on.
    Offset(u64),
    /// A partition.
    Partition(WantedPartition),
}

/// A partition, as a user names it.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum WantedPartition {
    /// The one with this number, from 1 on.
    Number(u32),
    /// The one with this label. Only GPT has labels.
    Label(String),
}

impl FromStr for WantedPartition {
    type Err = Infallible;

    /// A text of digits is a number, any other a label.
    fn from_str(text: &str) -> Result<Self, Infallible> {
        let is_number = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
        let number = if is_number { text.parse().ok() } else { None };
        Ok(number.map_or_else(|| Self::Label(text.to_owned()), Self::Number))
    }
}

impl RootfsPlace {
    /// Returns the whole file, or block device.
    pub fn new(file: impl Into<Utf8PathBuf>) -> Self {
        Self { file: file.into(), part: Part::Whole }
    }

    /// Returns the bytes of the file that hold the file system. An open end is `u64::MAX`.
    pub(super) fn range(&self) -> Result<Range<u64>, Error> {
        let wanted = match &self.part {
            Part::Whole => return Ok(0..u64::MAX),
            Part::Offset(start) => return Ok(*start..u64::MAX),
            Part::Partition(wanted) => wanted,
        };
        let mut found = self.partitions()?;
        let fits = |partition: &Partition| match wanted {
            WantedPartition::Number(number) => partition.number == *number,
            WantedPartition::Label(label) => partition.label.as_ref() == Some(label),
        };
        let mut fitting = found.extract_if(.., |partition| fits(partition)).collect::<Vec<_>>();
        match (fitting.pop(), fitting.is_empty()) {
            (Some(partition), true) => Ok(partition.start..partition.end),
            (Some(_), false) => {
                Err(PlaceError::SeveralPartitions { file: self.file.clone(), wanted: self.wanted() }.into())
            }
            (None, _) => {
                Err(PlaceError::NoPartition { file: self.file.clone(), wanted: self.wanted(), found }.into())
            }
        }
    }

    /// Returns the partitions of the file or block device, in the order of their numbers.
    ///
    /// # Errors
    /// It has no table of partitions (GPT or MBR), or the table is damaged; or the host refuses.
    pub fn partitions(&self) -> Result<Vec<Partition>, Error> {
        let io = |source| PlaceError::Io { file: self.file.clone(), source };
        let disk = File::open(&self.file).map_err(io)?;
        let found = partitions_of(&disk).map_err(|fault| PlaceError::of_table(&self.file, fault))?;
        Ok(found.ok_or_else(|| PlaceError::NoTable { file: self.file.clone() })?)
    }

    /// Returns what the file is, if it is no file system: an image of another format, or a disk with partitions.
    pub(super) fn other_content(&self) -> Option<PlaceError> {
        let disk = File::open(&self.file).ok()?;
        let file = self.file.clone();
        if let Some((format, advice)) = format_of(&disk) {
            return Some(PlaceError::Format { file, format, advice });
        }
        let found = partitions_of(&disk).ok()??;
        (self.part == Part::Whole && !found.is_empty()).then_some(PlaceError::Partitions { file, found })
    }

    fn wanted(&self) -> String {
        match &self.part {
            Part::Partition(WantedPartition::Number(number)) => number.to_string(),
            Part::Partition(WantedPartition::Label(label)) => banger_tree::escape_text(label),
            _ => String::new(),
        }
    }
}

banger_tree::setters! {
    RootfsPlace {
        with_part => part: Part,
    }
}

impl From<&Utf8Path> for RootfsPlace {
    fn from(file: &Utf8Path) -> Self {
        Self::new(file)
    }
}

impl From<&Utf8PathBuf> for RootfsPlace {
    fn from(file: &Utf8PathBuf) -> Self {
        Self::new(file.clone())
    }
}

impl From<Utf8PathBuf> for RootfsPlace {
    fn from(file: Utf8PathBuf) -> Self {
        Self::new(file)
    }
}

impl From<&str> for RootfsPlace {
    fn from(file: &str) -> Self {
        Self::new(file)
    }
}

impl From<&RootfsPlace> for RootfsPlace {
    fn from(place: &RootfsPlace) -> Self {
        place.clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digits_are_a_number() {
        let wanted = |text: &str| text.parse::<WantedPartition>().unwrap();
        assert_eq!(wanted("2"), WantedPartition::Number(2));
        for label in ["root", "2nd", "", "+2", "99999999999"] {
            assert_eq!(wanted(label), WantedPartition::Label(label.to_owned()));
        }
    }
}
