//! Why a part of a disk is not found.

use std::io;

use banger_tree::{Advice, ErrorContext, ErrorKind, Failure, Setting};
use camino::{Utf8Path, Utf8PathBuf};

use super::partition::{Fault, Partition};

/// Why a part of a disk is not found.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PlaceError {
    /// The file has no table of partitions.
    #[error("{file} has no partitions: there is no GPT and no MBR")]
    NoTable {
        /// The file.
        file: Utf8PathBuf,
    },
    /// The table is damaged.
    #[error("the partitions of {file} cannot be read: {reason}")]
    Damaged {
        /// The file.
        file: Utf8PathBuf,
        /// What is wrong.
        reason: String,
    },
    /// The table has no such partition.
    #[error("{file} has no partition {wanted}; it has {}", list(.found))]
    NoPartition {
        /// The file.
        file: Utf8PathBuf,
        /// The number or label.
        wanted: String,
        /// The partitions that it has.
        found: Vec<Partition>,
    },
    /// Several partitions have the label.
    #[error("{file} has several partitions {wanted}")]
    SeveralPartitions {
        /// The file.
        file: Utf8PathBuf,
        /// The label.
        wanted: String,
    },
    /// The file is a whole disk.
    #[error("{file} is a disk with partitions: {}", list(.found))]
    Partitions {
        /// The file.
        file: Utf8PathBuf,
        /// Its partitions.
        found: Vec<Partition>,
    },
    /// The file is an image of another format.
    #[error("{file} is {format}, not the bytes of a disk")]
    Format {
        /// The file.
        file: Utf8PathBuf,
        /// Its format, with an article.
        format: &'static str,
        /// The next step.
        advice: &'static str,
    },
    /// The host failed.
    #[error("cannot read {file}: {source}")]
    Io {
        /// The file.
        file: Utf8PathBuf,
        /// The error of the host.
        source: io::Error,
    },
}

/// Most partitions in a message.
const LISTED: usize = 16;

fn list(found: &[Partition]) -> String {
    if found.is_empty() {
        return "none".to_owned();
    }
    let mut text = found.iter().take(LISTED).map(ToString::to_string).collect::<Vec<_>>().join(", ");
    if found.len() > LISTED {
        text.push_str(&format!(" and {} more", found.len() - LISTED));
    }
    text
}

impl PlaceError {
    /// Returns the error of a table of `file` that cannot be read.
    pub(super) fn of_table(file: &Utf8Path, fault: Fault) -> Self {
        let file = file.to_owned();
        match fault {
            Fault::Io(source) => Self::Io { file, source },
            Fault::Damaged(reason) => Self::Damaged { file, reason },
        }
    }

    /// Returns a number that stays the same for this kind of failure in all versions.
    pub fn code(&self) -> u32 {
        match self {
            Self::NoTable { .. } => 1380,
            Self::Damaged { .. } => 1381,
            Self::NoPartition { .. } => 1382,
            Self::SeveralPartitions { .. } => 1383,
            Self::Partitions { .. } => 1384,
            Self::Format { .. } => 1385,
            Self::Io { .. } => 1386,
        }
    }

    fn file(&self) -> &Utf8PathBuf {
        match self {
            Self::NoTable { file }
            | Self::Damaged { file, .. }
            | Self::NoPartition { file, .. }
            | Self::SeveralPartitions { file, .. }
            | Self::Partitions { file, .. }
            | Self::Format { file, .. }
            | Self::Io { file, .. } => file,
        }
    }
}

impl Failure for PlaceError {
    fn code(&self) -> u32 {
        self.code()
    }

    fn kind(&self) -> ErrorKind {
        match self {
            Self::NoTable { .. } | Self::NoPartition { .. } => ErrorKind::NotFound,
            Self::Damaged { .. } => ErrorKind::Damaged,
            Self::SeveralPartitions { .. } | Self::Partitions { .. } => ErrorKind::Argument,
            Self::Format { .. } => ErrorKind::Unsupported,
            Self::Io { source, .. } => ErrorKind::of_io(source),
        }
    }

    fn advice(&self) -> Option<Advice> {
        const PARTITION: Setting = Setting("partition");
        Some(match self {
            Self::NoTable { .. } => Advice::with_setting("leave out {setting}", PARTITION),
            Self::NoPartition { .. } | Self::Partitions { .. } => {
                Advice::with_setting("choose one with {setting}, by its number or label", PARTITION)
            }
            Self::SeveralPartitions { .. } => {
                Advice::with_setting("choose one with {setting}, by its number", PARTITION)
            }
            Self::Format { advice, .. } => Advice::new(*advice),
            Self::Damaged { .. } | Self::Io { .. } => return None,
        })
    }

    fn context(&self) -> ErrorContext {
        let context = ErrorContext::default().with("file", self.file());
        match self {
            Self::NoPartition { wanted, .. } | Self::SeveralPartitions { wanted, .. } => {
                context.with("partition", wanted)
            }
            _ => context,
        }
    }

    fn os_error(&self) -> Option<i32> {
        match self {
            Self::Io { source, .. } => source.raw_os_error(),
            _ => None,
        }
    }
}
