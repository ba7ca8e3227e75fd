//! Why layers cannot be applied.

use std::io;

use banger_tree::{
    Advice, ContentError, ErrorContext, ErrorKind, Failure, OverBudget, PathError, ResolveStop, Setting,
    TreeError,
};

use super::name::LayerName;
use crate::digest::Digest;
use crate::tar::TarError;

/// Why a stack of layers does not make a tree.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FlattenError {
    /// A layer cannot be opened.
    #[error("cannot open {layer}: {source}")]
    Open {
        /// The layer.
        layer: LayerName,
        /// The error of the source.
        source: io::Error,
    },
    /// A layer cannot be read or decompressed, or does not have its digest.
    #[error("cannot read {layer}: {source}")]
    Read {
        /// The layer.
        layer: LayerName,
        /// The error of the source or of the decompressor.
        source: io::Error,
    },
    /// The tar in a layer is not the one that the image's configuration names.
    #[error("{layer} unpacks to {actual}, and the image's configuration says {expected}")]
    DiffId {
        /// The layer.
        layer: LayerName,
        /// The configuration's `diff_id`.
        expected: Digest,
        /// The digest of the tar.
        actual: Digest,
    },
    /// The tar in a layer is malformed or truncated.
    #[error("{layer}: {source}{}", at(.path))]
    Tar {
        /// The layer.
        layer: LayerName,
        /// The entry that was being read; empty between two.
        path: String,
        /// The reason.
        source: TarError,
    },
    /// A tar that belongs to no image is empty, without even the blocks that end a tar.
    #[error("{layer} is empty, without the two blocks of zeros that end a tar")]
    Unterminated {
        /// The tar.
        layer: LayerName,
    },
    /// An entry that no root file system can hold.
    #[error("{layer}: {}{source}", before(.path))]
    Entry {
        /// The layer.
        layer: LayerName,
        /// The entry's path, as in the tar; empty behind the last entry.
        path: String,
        /// The reason.
        source: EntryError,
    },
    /// A tar that belongs to no image has no entries, and is not empty either.
    #[error("{layer} has no entries, and other bytes where the tar should end")]
    NotATar {
        /// The tar.
        layer: LayerName,
    },
    /// More layers than the limits allow.
    #[error(transparent)]
    TooManyLayers(OverBudget),
    /// The run was cancelled.
    #[error("cancelled")]
    Cancelled,
}

impl FlattenError {
    /// Returns a number that stays the same for this kind of failure in all versions.
    pub fn code(&self) -> u32 {
        match self {
            Self::Open { .. } => 200,
            Self::Read { .. } => 201,
            Self::DiffId { .. } => 202,
            Self::Tar { .. } => 203,
            Self::Entry { source: EntryError::Limit { .. }, .. } | Self::TooManyLayers(_) => 205,
            Self::Entry { source: EntryError::Content(_), .. } => 206,
            Self::Entry { .. } => 204,
            Self::Cancelled => 207,
            Self::Unterminated { .. } => 208,
            Self::NotATar { .. } => 209,
        }
    }
}

impl Failure for FlattenError {
    fn code(&self) -> u32 {
        self.code()
    }

    fn kind(&self) -> ErrorKind {
        match self {
            Self::Open { source, .. } => ErrorKind::of_io(source),
            // A decompressor that finds damage calls it anything.
            Self::Read { source, .. } if source.raw_os_error().is_none() => match source.kind() {
                io::ErrorKind::Other => ErrorKind::Damaged,
                io::ErrorKind::OutOfMemory => ErrorKind::Limit,
                _ => ErrorKind::of_io(source),
            },
            Self::Read { source, .. } => ErrorKind::of_io(source),
            Self::DiffId { .. } | Self::Unterminated { .. } | Self::NotATar { .. } => ErrorKind::Damaged,
            Self::Tar { source, .. } => source.kind(),
            Self::Entry { source, .. } => source.kind(),
            Self::TooManyLayers(over) => over.kind(),
            Self::Cancelled => ErrorKind::Cancelled,
        }
    }

    fn advice(&self) -> Option<Advice> {
        match self {
            Self::DiffId { .. } => Some(Advice::new("build the image again")),
            Self::Unterminated { .. } | Self::NotATar { .. } => {
                Some(Advice::new("check that it is the tar of a root file system"))
            }
            Self::TooManyLayers(over) => over.advice(),
            Self::Entry { source, .. } => match source {
                EntryError::Limit { setting, .. } => setting.map(Advice::to_raise),
                EntryError::Content(error) => error.advice(),
                EntryError::Tree(error) => error.advice(),
                EntryError::Tar(error) => error.advice(),
                _ => None,
            },
            Self::Tar { source, .. } => source.advice(),
            _ => None,
        }
    }

    fn context(&self) -> ErrorContext {
        let of = |layer: &LayerName| ErrorContext::default().with("layer", layer);
        match self {
            Self::Open { layer, .. }
            | Self::Read { layer, .. }
            | Self::Unterminated { layer }
            | Self::NotATar { layer } => of(layer),
            Self::DiffId { layer, expected, actual } => {
                of(layer).with("expected", expected).with("actual", actual)
            }
            Self::Tar { layer, path, .. } => of(layer).with("path", path),
            Self::Entry { layer, path, source } => {
                let context = of(layer).with("path", path);
                match source {
                    EntryError::Limit { maximum, .. } => context.with("limit", maximum),
                    _ => context,
                }
            }
            Self::TooManyLayers(over) => over.context(),
            Self::Cancelled => ErrorContext::default(),
        }
    }
}

fn at(path: &str) -> String {
    if path.is_empty() { String::new() } else { format!(", at {path}") }
}

fn before(path: &str) -> String {
    if path.is_empty() { String::new() } else { format!("{path}: ") }
}

/// Error of one entry of a layer.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum EntryError {
    /// The path climbs above the root, or has a part that no file system holds.
    #[error(transparent)]
    Path(PathError),
    /// The root of the image as something other than a directory.
    #[error("the root is not a directory")]
    RootNotADirectory,
    /// A whiteout that hides nothing in particular: `.wh.`, `.wh..` or `.wh...`.
    #[error("a whiteout without a name")]
    UnnamedWhiteout,
    /// A directory whose name is a whiteout's.
    #[error("a directory on the way has a whiteout's name")]
    WhiteoutDirectory,
    /// More than 40 symlinks on the way.
    #[error("the path leads through more than {} symlinks", banger_tree::MAX_SYMLINK_HOPS)]
    TooManySymlinks,
    /// The path gets too long when symlinks on the way are followed.
    #[error("the path is longer than {} bytes where symlinks lead it", banger_tree::PATH_MAX)]
    ResolvedTooLong,
    /// A symlink on the way whose target has a part that no file system holds.
    #[error("a symlink on the way has a bad target: {0}")]
    SymlinkTarget(PathError),
    /// An empty, too long or NUL-holding target of a symlink.
    #[error("the target of the symlink is not a path: {reason}")]
    BadTarget {
        /// The reason.
        reason: &'static str,
    },
    /// The target of a hard link climbs above the root, or is not a path.
    #[error("the target of the hard link is not inside the image: {0}")]
    LinkTarget(PathError),
    /// The target of a hard link is in no layer up to this one.
    #[error("the target of the hard link, {target}, does not exist")]
    LinkTargetMissing {
        /// The target, as in the tar.
        target: String,
    },
    /// The target of a hard link is a directory.
    #[error("the target of the hard link, {target}, is a directory")]
    LinkToDirectory {
        /// The target, as in the tar.
        target: String,
    },
    /// A device number that does not fit the 12 bits of major and 20 bits of minor that Linux has.
    #[error("the device number {major}:{minor} is out of range")]
    DeviceNumber {
        /// Major number.
        major: u32,
        /// Minor number.
        minor: u32,
    },
    /// Extended attributes that ext4 cannot hold.
    #[error("extended attributes of {bytes} bytes do not fit the {maximum} that an inode has room for")]
    XattrsTooLarge {
        /// The needed bytes.
        bytes: u64,
        /// [`Limits::max_xattr_bytes`](super::Limits::max_xattr_bytes).
        maximum: u64,
    },
    /// The name of an extended attribute is too long for ext4.
    #[error("the extended attribute {name} has a name of more than {} bytes", banger_tree::XATTR_NAME_MAX)]
    XattrName {
        /// The name.
        name: String,
    },
    /// A limit of [`Limits`](super::Limits).
    #[error("the image has more than {maximum} {what}")]
    Limit {
        /// The field of [`Limits`](super::Limits), if there is one.
        setting: Option<Setting>,
        /// The limited quantity.
        what: &'static str,
        /// The limit.
        maximum: u64,
    },
    /// The store could not take the file's bytes or extended attributes.
    #[error(transparent)]
    Content(ContentError),
    /// The tree refused the entry.
    #[error(transparent)]
    Tree(TreeError),
    /// The tar is damaged inside this entry.
    #[error(transparent)]
    Tar(TarError),
    /// The run was cancelled.
    #[error("cancelled")]
    Cancelled,
}

impl EntryError {
    fn kind(&self) -> ErrorKind {
        match self {
            Self::Limit { .. } | Self::XattrsTooLarge { .. } | Self::XattrName { .. } => ErrorKind::Limit,
            Self::Content(error) => error.kind(),
            Self::Tree(error) => error.kind(),
            Self::Tar(error) => error.kind(),
            Self::Cancelled => ErrorKind::Cancelled,
            _ => ErrorKind::Damaged,
        }
    }
}

impl From<OverBudget> for EntryError {
    fn from(OverBudget { cost, limit, .. }: OverBudget) -> Self {
        Self::Limit { setting: cost.setting(), what: cost.unit(), maximum: limit }
    }
}

impl From<ResolveStop> for EntryError {
    fn from(stop: ResolveStop) -> Self {
        match stop {
            ResolveStop::OverBudget(over) => over.into(),
            ResolveStop::Cancelled => Self::Cancelled,
        }
    }
}
