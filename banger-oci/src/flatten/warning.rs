//! Warnings: odd facts that do not fail the run.

use std::fmt;

use banger_tree::escape_bytes;

use super::name::LayerName;

/// Something odd about one entry of a layer.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Warning {
    /// The layer.
    pub layer: LayerName,
    /// The entry's path, as in the tar, escaped; empty for the layer as a whole.
    pub path: String,
    /// The odd fact.
    pub kind: WarningKind,
}

impl fmt::Display for Warning {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let layer = self.layer.short();
        match self.path.as_str() {
            "" => write!(formatter, "{layer}: {}", self.kind),
            path => write!(formatter, "{layer}: {path}: {}", self.kind),
        }
    }
}

/// The odd fact about an entry.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum WarningKind {
    /// The layer has the path before; the later entry holds.
    #[error("the layer has this path more than once; the last one holds")]
    Duplicate,
    /// A path leads through a file of the same layer; a directory replaced the file.
    #[error("something on the way that this layer made is no directory and was replaced by one")]
    ReplacedByParent,
    /// The time is outside the range of ext4, and was moved to the nearest end of the range.
    #[error("the modification time is outside of ext4's range and was clamped")]
    TimeClamped,
    /// An extended attribute of a namespace that ext4 does not have was left out.
    #[error("the extended attribute {name} cannot be stored and was left out")]
    XattrDropped {
        /// Its name.
        name: String,
    },
    /// An access control list as text was left out; only its binary form is kept.
    #[error("an access control list in text form was left out")]
    AclText,
    /// An entry that is not a file was skipped: a volume label, or AUFS bookkeeping.
    #[error("{what} was passed over")]
    Skipped {
        /// The kind of entry.
        what: &'static str,
    },
    /// A pax header has a record more than once; the last one holds.
    #[error("the pax header has the record {key} more than once; the last one holds")]
    RepeatedRecord {
        /// Its key.
        key: String,
    },
    /// The tar lacks the blocks that should end it.
    #[error("the tar lacks the two blocks of zeros at its end; nothing says that it is whole")]
    NoEndBlocks,
    /// A tar that belongs to no image holds nothing.
    #[error("the tar has no entries, so the file system is empty")]
    NoEntries,
    /// Zeros follow the compressed bytes.
    #[error("zeros follow the compressed bytes and were passed over")]
    ZerosAtEnd,
}

/// Keeps the first warnings and counts all.
#[derive(Debug)]
pub(super) struct Warnings {
    pub(super) kept: Vec<Warning>,
    pub(super) count: u64,
    maximum: usize,
}

impl Warnings {
    pub(super) fn new(maximum: usize) -> Self {
        Self { kept: Vec::new(), count: 0, maximum }
    }

    pub(super) fn add(&mut self, layer: &LayerName, path: &[u8], kind: WarningKind) {
        self.count += 1;
        if self.kept.len() < self.maximum {
            self.kept.push(Warning { layer: layer.clone(), path: shown(path), kind });
        }
    }
}

/// Returns bytes of a layer as text for errors and warnings: escaped, and at most as long as a path. A header
/// may have a megabyte.
pub(super) fn shown(bytes: &[u8]) -> String {
    match bytes.get(..banger_tree::PATH_MAX) {
        Some(start) if start.len() < bytes.len() => escape_bytes(start) + "…",
        _ => escape_bytes(bytes),
    }
}
