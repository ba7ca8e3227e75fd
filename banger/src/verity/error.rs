//! Why a hash tree was not made, or not used.

use std::io;

use banger_tree::{Advice, ErrorContext, ErrorKind, Failure};
use camino::{Utf8Path, Utf8PathBuf};

/// Why a hash tree was not made, or not used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum VerityError {
    /// The file does not consist of whole blocks.
    #[error("{path} has {size_bytes} bytes; dm-verity needs a multiple of 4096, and at least 4096")]
    Size {
        /// The file.
        path: Utf8PathBuf,
        /// Its size.
        size_bytes: u64,
    },
    /// The host failed.
    #[error("cannot {action} {path}: {source}")]
    Io {
        /// The action that failed, as a verb.
        action: &'static str,
        /// The file.
        path: Utf8PathBuf,
        /// The error of the host.
        source: io::Error,
    },
    /// The file has a hash tree, which an edit would make wrong.
    #[error(
        "{path} cannot be changed: it has a dm-verity hash tree in {tree}, which would not fit it any more"
    )]
    Protected {
        /// The ext4 file.
        path: Utf8PathBuf,
        /// The file with its hash tree.
        tree: Utf8PathBuf,
    },
    /// A hash tree is not the recorded one.
    #[error("the hash tree {path} is not that of the record: {reason}")]
    Damaged {
        /// The file with the hash tree.
        path: Utf8PathBuf,
        /// What is wrong.
        reason: String,
    },
    /// The caller asked to stop.
    #[error("interrupted")]
    Cancelled,
}

impl VerityError {
    /// Returns a function that makes the error of a failed `action` on `path`.
    pub(crate) fn io(action: &'static str, path: &Utf8Path) -> impl Fn(io::Error) -> Self + use<> {
        let path = path.to_owned();
        move |source| Self::Io { action, path: path.clone(), source }
    }

    /// Returns a number that stays the same for this kind of failure in all versions.
    pub fn code(&self) -> u32 {
        match self {
            Self::Size { .. } => 1290,
            Self::Io { .. } => 1291,
            Self::Protected { .. } => 1292,
            Self::Damaged { .. } => 1293,
            Self::Cancelled => 505,
        }
    }
}

impl Failure for VerityError {
    fn code(&self) -> u32 {
        self.code()
    }

    fn kind(&self) -> ErrorKind {
        match self {
            Self::Size { .. } => ErrorKind::Argument,
            Self::Io { source, .. } => ErrorKind::of_io(source),
            Self::Protected { .. } => ErrorKind::Unsupported,
            Self::Damaged { .. } => ErrorKind::Damaged,
            Self::Cancelled => ErrorKind::Cancelled,
        }
    }

    fn advice(&self) -> Option<Advice> {
        Some(match self {
            Self::Size { .. } => Advice::new("choose a size that is a multiple of 4096"),
            Self::Io { source, .. } => return Advice::on_full_disk(source),
            Self::Protected { .. } => {
                Advice::new("edit a copy of the file without its hash tree, for example an exported one")
            }
            Self::Damaged { .. } => Advice::new("pull the image again"),
            Self::Cancelled => return None,
        })
    }

    fn context(&self) -> ErrorContext {
        let context = ErrorContext::default();
        match self {
            Self::Size { path, size_bytes } => context.with("path", path).with("size_bytes", size_bytes),
            Self::Io { path, .. } | Self::Damaged { path, .. } => context.with("path", path),
            Self::Protected { path, tree } => context.with("path", path).with("tree", tree),
            Self::Cancelled => context,
        }
    }

    fn os_error(&self) -> Option<i32> {
        match self {
            Self::Io { source, .. } => source.raw_os_error(),
            _ => None,
        }
    }
}
