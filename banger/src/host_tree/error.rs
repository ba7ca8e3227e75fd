//! Why a directory of the host cannot be read into a tree.

use std::io;

use banger_tree::{Advice, ContentError, ErrorContext, ErrorKind, Failure, Setting, TreeError};

/// Error of reading a directory of the host. Paths that are not UTF-8 are escaped.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DirectoryError {
    /// The host refuses.
    #[error("cannot {action} {path}: {source}")]
    Io {
        /// The action that failed, as a verb: "open", "list", "read the attributes of".
        action: &'static str,
        /// The file or directory.
        path: String,
        /// The host's error.
        source: io::Error,
    },
    /// A file was written, replaced or moved while it was read.
    #[error("{path} changed while it was read")]
    Changed {
        /// The file or directory.
        path: String,
    },
    /// A limit of [`Limits`](crate::Limits).
    #[error("{path} makes it more than {maximum} {what}")]
    Limit {
        /// The path at which the limit was passed.
        path: String,
        /// The option that sets the limit, if there is one.
        setting: Option<Setting>,
        /// The limited quantity.
        what: &'static str,
        /// The limit.
        maximum: u64,
    },
    /// A file of a type that only this host has.
    #[error("{path} is of a type that ext4 does not have")]
    FileType {
        /// The file.
        path: String,
    },
    /// The bytes of a file could not be stored.
    #[error("{path}: {source}")]
    Content {
        /// The file.
        path: String,
        /// The error of the store.
        source: ContentError,
    },
    /// The host has a name that no tree has.
    #[error("{path}: {source}")]
    Tree {
        /// The file.
        path: String,
        /// The error of the tree.
        source: TreeError,
    },
    /// It is a file or directory of a known format, but not a root file system.
    #[error("{path} is {format}, not a tar or directory with a root file system")]
    Format {
        /// The file or directory.
        path: String,
        /// Its kind, with an article.
        format: String,
        /// The next step.
        advice: String,
    },
    /// The file is missing, and its name is that of a container image.
    #[error("there is no file or directory {reference}")]
    Reference {
        /// The name.
        reference: String,
    },
    /// The caller asked to stop.
    #[error("cancelled")]
    Cancelled,
}

impl DirectoryError {
    /// Returns a number that stays the same for this kind of failure in all versions.
    pub fn code(&self) -> u32 {
        match self {
            Self::Io { .. } => 600,
            Self::Changed { .. } => 601,
            Self::Limit { .. } => 602,
            Self::FileType { .. } => 603,
            Self::Content { .. } => 604,
            Self::Tree { .. } => 605,
            Self::Cancelled => 606,
            Self::Format { .. } => 607,
            Self::Reference { .. } => 608,
        }
    }
}

impl Failure for DirectoryError {
    fn code(&self) -> u32 {
        self.code()
    }

    fn kind(&self) -> ErrorKind {
        match self {
            Self::Io { source, .. } => ErrorKind::of_io(source),
            Self::Changed { .. } => ErrorKind::InUse,
            Self::Limit { .. } => ErrorKind::Limit,
            Self::FileType { .. } | Self::Format { .. } => ErrorKind::Unsupported,
            Self::Content { source, .. } => source.kind(),
            Self::Tree { .. } => ErrorKind::Damaged,
            Self::Reference { .. } => ErrorKind::NotFound,
            Self::Cancelled => ErrorKind::Cancelled,
        }
    }

    fn is_transient(&self) -> bool {
        matches!(self, Self::Changed { .. })
    }

    fn advice(&self) -> Option<Advice> {
        Some(match self {
            Self::Changed { .. } => Advice::new("build again when nothing writes there"),
            Self::Limit { setting, .. } => {
                Advice::with_setting("if the source is to be trusted, raise {setting}", (*setting)?)
            }
            Self::FileType { .. } => Advice::new("remove it"),
            Self::Format { advice, .. } => Advice::new(advice.clone()),
            Self::Reference { .. } => Advice::new("pull it if you mean the container image of this name"),
            Self::Content { source, .. } => return source.advice(),
            Self::Tree { source, .. } => return source.advice(),
            Self::Io { .. } | Self::Cancelled => return None,
        })
    }

    fn context(&self) -> ErrorContext {
        let context = ErrorContext::default();
        match self {
            Self::Limit { path, maximum, .. } => context.with("path", path).with("limit", maximum),
            Self::Format { path, format, .. } => context.with("path", path).with("format", format),
            Self::Io { path, .. }
            | Self::Changed { path }
            | Self::FileType { path }
            | Self::Content { path, .. }
            | Self::Tree { path, .. } => context.with("path", path),
            Self::Reference { reference } => context.with("reference", reference),
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
