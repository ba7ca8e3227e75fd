//! Why a path leads nowhere.

use crate::budget::OverBudget;
use crate::failure::{Advice, ErrorContext, ErrorKind, Failure};
use crate::path::{GuestPath, PathError};

/// Symlinks followed in one path before it counts as a loop (Linux `MAXSYMLINKS`).
pub const MAX_SYMLINK_HOPS: usize = 40;

/// Why a path leads nowhere.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ResolveError {
    /// A directory on the way does not exist.
    #[error("{path} does not exist")]
    NotFound {
        /// The first path that is missing.
        path: GuestPath,
    },
    /// A component on the way is not a directory.
    #[error("{path} is not a directory")]
    NotADirectory {
        /// The path of this component.
        path: GuestPath,
    },
    /// More than [`MAX_SYMLINK_HOPS`] symlinks.
    #[error("{path} leads through more than {MAX_SYMLINK_HOPS} symlinks")]
    TooManySymlinks {
        /// The path that was asked for.
        path: GuestPath,
    },
    /// A symlink's target makes a path that is too long or holds NUL.
    #[error("{path} leads through a symlink with a bad target: {source}")]
    BadTarget {
        /// The symlink.
        path: GuestPath,
        /// The fault of the target.
        source: PathError,
    },
    /// All paths together have more components than the budget allows.
    #[error("{path}: {source}")]
    OverBudget {
        /// The path that was asked for.
        path: GuestPath,
        /// The limit.
        source: OverBudget,
    },
    /// The run was cancelled.
    #[error("cancelled at {path}")]
    Cancelled {
        /// The path that was asked for.
        path: GuestPath,
    },
}

impl ResolveError {
    /// Code of a path that leads nowhere; of the errors of file systems, too.
    pub const NOT_FOUND_CODE: u32 = 700;
    /// Code of something that should be a directory; of the errors of file systems, too.
    pub const NOT_A_DIRECTORY_CODE: u32 = 701;
    /// Code of symlinks that lead to no path; of the errors of file systems, too.
    pub const SYMLINKS_CODE: u32 = 708;

    /// Returns the path the error is about.
    pub fn path(&self) -> &GuestPath {
        match self {
            Self::NotFound { path }
            | Self::NotADirectory { path }
            | Self::TooManySymlinks { path }
            | Self::BadTarget { path, .. }
            | Self::OverBudget { path, .. }
            | Self::Cancelled { path } => path,
        }
    }

    /// Returns a number that stays the same for this failure in all versions.
    pub fn code(&self) -> u32 {
        match self {
            Self::NotFound { .. } => Self::NOT_FOUND_CODE,
            Self::NotADirectory { .. } => Self::NOT_A_DIRECTORY_CODE,
            Self::TooManySymlinks { .. } | Self::BadTarget { .. } => Self::SYMLINKS_CODE,
            Self::OverBudget { source, .. } => source.code(),
            Self::Cancelled { .. } => 505,
        }
    }
}

impl Failure for ResolveError {
    fn code(&self) -> u32 {
        self.code()
    }

    fn kind(&self) -> ErrorKind {
        match self {
            Self::NotFound { .. } => ErrorKind::NotFound,
            Self::NotADirectory { .. } | Self::TooManySymlinks { .. } | Self::BadTarget { .. } => {
                ErrorKind::Argument
            }
            Self::OverBudget { .. } => ErrorKind::Limit,
            Self::Cancelled { .. } => ErrorKind::Cancelled,
        }
    }

    fn advice(&self) -> Option<Advice> {
        match self {
            Self::OverBudget { source, .. } => source.advice(),
            _ => None,
        }
    }

    fn context(&self) -> ErrorContext {
        ErrorContext::default().with("path", self.path())
    }
}
