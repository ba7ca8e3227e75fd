//! Why a root file system could not do what was asked.

use crate::budget::OverBudget;
use crate::content_error::ContentError;
use crate::corruption::Corruption;
use crate::failure::{Advice, ErrorContext, ErrorKind, Failure};
use crate::path::{GuestPath, PathError};
use crate::resolve_error::ResolveError;

/// Why a root file system could not do what was asked.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RootfsError {
    /// The path does not exist.
    #[error("{path} does not exist")]
    NotFound {
        /// The path, or the first part of it that is missing.
        path: GuestPath,
    },
    /// A directory was needed.
    #[error("{path} is not a directory")]
    NotADirectory {
        /// What is something else.
        path: GuestPath,
    },
    /// Something other than a directory was needed.
    #[error("{path} is a directory")]
    IsADirectory {
        /// The directory.
        path: GuestPath,
    },
    /// A regular file was needed.
    #[error("{path} is not a regular file")]
    NotAFile {
        /// What is something else.
        path: GuestPath,
    },
    /// A symlink was needed.
    #[error("{path} is not a symlink")]
    NotASymlink {
        /// What is something else.
        path: GuestPath,
    },
    /// The path is taken.
    #[error("{path} exists already")]
    AlreadyExists {
        /// The path.
        path: GuestPath,
    },
    /// The root cannot be replaced, removed or moved.
    #[error("the root directory cannot be replaced or removed")]
    Root,
    /// A directory was to move below itself.
    #[error("{path} cannot move below itself")]
    BelowItself {
        /// The directory.
        path: GuestPath,
    },
    /// Over 40 symlinks, or a symlink whose target is no path.
    #[error(transparent)]
    Symlinks(ResolveError),
    /// Paths lead through more symlinks and directories, all together, than the budget allows.
    #[error("{path}: {source}")]
    OverBudget {
        /// The path that was one too many.
        path: GuestPath,
        /// The limit.
        source: OverBudget,
    },
    /// A path that no file system can hold.
    #[error(transparent)]
    Path(#[from] PathError),
    /// The file's bytes could not be read or written.
    #[error("{path}: {source}")]
    Content {
        /// The file.
        path: GuestPath,
        /// What went wrong.
        source: ContentError,
    },
    /// The bytes given for a file could not be read.
    #[error("cannot read the new content of {path}: {source}")]
    Source {
        /// The file that was to be written.
        path: GuestPath,
        /// The reader's error.
        source: std::io::Error,
    },
    /// The file system has no free block or inode for this.
    #[error("{path}: {reason}")]
    NoSpace {
        /// The path.
        path: GuestPath,
        /// What is used up.
        reason: String,
    },
    /// The file system cannot hold this: links, xattrs, times.
    #[error("{path}: {reason}")]
    Limit {
        /// The path.
        path: GuestPath,
        /// Which limit, with numbers.
        reason: String,
        /// What to do, if something helps.
        advice: Option<Advice>,
    },
    /// One operation changes more than a commit can hold; nothing of it was done.
    #[error("{path}: one commit cannot hold all changes")]
    TooManyChanges {
        /// The path of the operation.
        path: GuestPath,
    },
    /// The caller asked to stop.
    #[error("interrupted")]
    Cancelled,
    /// The image is damaged.
    #[error("{image} is damaged: {damage}")]
    Corrupt {
        /// The image.
        image: String,
        /// Which structure, with its number.
        damage: Corruption,
    },
    /// The image has what this implementation does not know, so that it cannot even be read.
    #[error("{image} cannot be read: {reason}")]
    Unreadable {
        /// The image.
        image: String,
        /// Which feature or state.
        reason: String,
        /// What to do, if something helps.
        advice: Option<Advice>,
    },
    /// The image can be read, but has what this implementation must not change.
    #[error("{image} cannot be edited: {reason}")]
    Unsupported {
        /// The image.
        image: String,
        /// Which feature or state.
        reason: String,
        /// What to do, if something helps.
        advice: Option<Advice>,
    },
    /// Another program uses the image.
    #[error("{image} is in use: {user}")]
    InUse {
        /// The image.
        image: String,
        /// Who uses it, or how.
        user: String,
        /// What to do, if something helps.
        advice: Option<Advice>,
    },
    /// The file system cannot have this size.
    #[error("{image} cannot be made {size_bytes} bytes large: {reason}")]
    Size {
        /// The image.
        image: String,
        /// The size asked for.
        size_bytes: u64,
        /// Why not, and what can.
        reason: String,
    },
    /// A tool that does the work failed.
    #[error("{tool} failed on {image}: {reason}")]
    Tool {
        /// The tool with its version.
        tool: String,
        /// The image.
        image: String,
        /// What it said.
        reason: String,
    },
    /// The host failed to read or write the image.
    #[error("cannot {action} {image}: {source}")]
    Io {
        /// What was tried, as a verb.
        action: &'static str,
        /// The image.
        image: String,
        /// The host's error.
        source: std::io::Error,
    },
}

impl RootfsError {
    /// Returns a number that stays the same for this failure in all versions.
    pub fn code(&self) -> u32 {
        match self {
            Self::Cancelled => 505,
            Self::NotFound { .. } => ResolveError::NOT_FOUND_CODE,
            Self::NotADirectory { .. } => ResolveError::NOT_A_DIRECTORY_CODE,
            Self::IsADirectory { .. } => 702,
            Self::NotAFile { .. } => 703,
            Self::NotASymlink { .. } => 704,
            Self::AlreadyExists { .. } => 705,
            Self::Root => 706,
            Self::BelowItself { .. } => 707,
            Self::Symlinks(_) => ResolveError::SYMLINKS_CODE,
            Self::Path(_) => 709,
            Self::Content { .. } => 710,
            Self::Source { .. } => 711,
            // One number, as it was: the kind tells them apart.
            Self::Limit { .. } | Self::NoSpace { .. } => 712,
            Self::Corrupt { .. } => 713,
            // One number, as it was: the kind tells them apart.
            Self::Unsupported { .. } | Self::InUse { .. } => 714,
            Self::Tool { .. } => 715,
            Self::Io { .. } => 716,
            Self::Size { .. } => 718,
            Self::Unreadable { .. } => 719,
            Self::TooManyChanges { .. } => 725,
            Self::OverBudget { .. } => 726,
        }
    }
}

impl Failure for RootfsError {
    fn code(&self) -> u32 {
        self.code()
    }

    fn kind(&self) -> ErrorKind {
        match self {
            Self::NotFound { .. } => ErrorKind::NotFound,
            Self::AlreadyExists { .. } => ErrorKind::Exists,
            Self::NotADirectory { .. }
            | Self::IsADirectory { .. }
            | Self::NotAFile { .. }
            | Self::NotASymlink { .. }
            | Self::Root
            | Self::BelowItself { .. }
            | Self::Symlinks(_)
            | Self::Path(_)
            | Self::Size { .. } => ErrorKind::Argument,
            Self::OverBudget { .. } | Self::Limit { .. } | Self::TooManyChanges { .. } => ErrorKind::Limit,
            Self::Cancelled => ErrorKind::Cancelled,
            Self::Corrupt { .. } => ErrorKind::Damaged,
            Self::Unreadable { .. } | Self::Unsupported { .. } => ErrorKind::Unsupported,
            Self::InUse { .. } => ErrorKind::InUse,
            Self::NoSpace { .. } => ErrorKind::NoSpace,
            Self::Content { source, .. } => source.kind(),
            Self::Tool { .. } => ErrorKind::Internal,
            Self::Source { source, .. } | Self::Io { source, .. } => ErrorKind::of_io(source),
        }
    }

    fn is_transient(&self) -> bool {
        self.kind() == ErrorKind::InUse
    }

    fn advice(&self) -> Option<Advice> {
        match self {
            Self::Corrupt { .. } => Some(Advice::new("run e2fsck on it")),
            Self::TooManyChanges { .. } => Some(Advice::new("make the changes in smaller steps")),
            Self::InUse { advice, .. } => {
                Some(advice.clone().unwrap_or(Advice::new("try again when the other program has ended")))
            }
            Self::NoSpace { .. } => Some(Advice::new("grow the file system, or remove files from it")),
            Self::Limit { advice, .. }
            | Self::Unreadable { advice, .. }
            | Self::Unsupported { advice, .. } => advice.clone(),
            Self::Content { source, .. } => source.advice(),
            Self::OverBudget { source, .. } => source.advice(),
            Self::Source { source, .. } | Self::Io { source, .. } => Advice::on_full_disk(source),
            _ => None,
        }
    }

    fn context(&self) -> ErrorContext {
        let context = ErrorContext::default();
        match self {
            Self::NotFound { path }
            | Self::NotADirectory { path }
            | Self::IsADirectory { path }
            | Self::NotAFile { path }
            | Self::NotASymlink { path }
            | Self::AlreadyExists { path }
            | Self::BelowItself { path }
            | Self::OverBudget { path, .. }
            | Self::NoSpace { path, .. }
            | Self::Content { path, .. }
            | Self::Source { path, .. }
            | Self::Limit { path, .. }
            | Self::TooManyChanges { path } => context.with("path", path),
            Self::Corrupt { image, damage } => damage.add_to(context.with("image", image)),
            Self::Unreadable { image, .. }
            | Self::Unsupported { image, .. }
            | Self::InUse { image, .. }
            | Self::Io { image, .. } => context.with("image", image),
            Self::Size { image, size_bytes, .. } => {
                context.with("image", image).with("size_bytes", size_bytes)
            }
            Self::Tool { tool, image, .. } => context.with("tool", tool).with("image", image),
            Self::Root | Self::Symlinks(_) | Self::Path(_) | Self::Cancelled => context,
        }
    }
}

impl From<ResolveError> for RootfsError {
    fn from(error: ResolveError) -> Self {
        match error {
            ResolveError::NotFound { path } => Self::NotFound { path },
            ResolveError::NotADirectory { path } => Self::NotADirectory { path },
            ResolveError::OverBudget { path, source } => Self::OverBudget { path, source },
            ResolveError::Cancelled { .. } => Self::Cancelled,
            other => Self::Symlinks(other),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io;

    use super::*;
    use crate::budget::Cost;

    fn full() -> io::Error {
        io::ErrorKind::StorageFull.into()
    }

    /// One of each variant; a new one does not compile until it has a number here.
    fn number(error: &RootfsError) -> usize {
        match error {
            RootfsError::NotFound { .. } => 0,
            RootfsError::NotADirectory { .. } => 1,
            RootfsError::IsADirectory { .. } => 2,
            RootfsError::NotAFile { .. } => 3,
            RootfsError::NotASymlink { .. } => 4,
            RootfsError::AlreadyExists { .. } => 5,
            RootfsError::Root => 6,
            RootfsError::BelowItself { .. } => 7,
            RootfsError::Symlinks(_) => 8,
            RootfsError::OverBudget { .. } => 9,
            RootfsError::Path(_) => 10,
            RootfsError::Content { .. } => 11,
            RootfsError::Source { .. } => 12,
            RootfsError::NoSpace { .. } => 13,
            RootfsError::Limit { .. } => 14,
            RootfsError::TooManyChanges { .. } => 15,
            RootfsError::Cancelled => 16,
            RootfsError::Corrupt { .. } => 17,
            RootfsError::Unreadable { .. } => 18,
            RootfsError::Unsupported { .. } => 19,
            RootfsError::InUse { .. } => 20,
            RootfsError::Size { .. } => 21,
            RootfsError::Tool { .. } => 22,
            RootfsError::Io { .. } => 23,
        }
    }

    #[test]
    fn each_failure_has_its_kind() {
        let path = GuestPath::root;
        let (image, reason) = (|| "disk.ext4".to_owned(), || "of this".to_owned());
        let content = |source| RootfsError::Content { path: path(), source };
        let over =
            crate::Budget::unlimited().with_limit(Cost::Entries, 0).charge(Cost::Entries, 1).unwrap_err();
        let table = [
            (RootfsError::NotFound { path: path() }, ErrorKind::NotFound),
            (RootfsError::NotADirectory { path: path() }, ErrorKind::Argument),
            (RootfsError::IsADirectory { path: path() }, ErrorKind::Argument),
            (RootfsError::NotAFile { path: path() }, ErrorKind::Argument),
            (RootfsError::NotASymlink { path: path() }, ErrorKind::Argument),
            (RootfsError::AlreadyExists { path: path() }, ErrorKind::Exists),
            (RootfsError::Root, ErrorKind::Argument),
            (RootfsError::BelowItself { path: path() }, ErrorKind::Argument),
            (RootfsError::Symlinks(ResolveError::TooManySymlinks { path: path() }), ErrorKind::Argument),
            (RootfsError::OverBudget { path: path(), source: over }, ErrorKind::Limit),
            (RootfsError::Path(PathError::Nul { path: vec![0] }), ErrorKind::Argument),
            (
                content(ContentError::NoSpace { store: image(), needed_bytes: 1, advice: None }),
                ErrorKind::NoSpace,
            ),
            (
                content(ContentError::Io { action: "write", store: image(), source: full() }),
                ErrorKind::NoSpace,
            ),
            (content(ContentError::Cancelled), ErrorKind::Cancelled),
            (RootfsError::Source { path: path(), source: full() }, ErrorKind::NoSpace),
            (RootfsError::NoSpace { path: path(), reason: reason() }, ErrorKind::NoSpace),
            (RootfsError::Limit { path: path(), reason: reason(), advice: None }, ErrorKind::Limit),
            (RootfsError::TooManyChanges { path: path() }, ErrorKind::Limit),
            (RootfsError::Cancelled, ErrorKind::Cancelled),
            (
                RootfsError::Corrupt { image: image(), damage: Corruption::new("is none").with_inode(12) },
                ErrorKind::Damaged,
            ),
            (
                RootfsError::Unreadable { image: image(), reason: reason(), advice: None },
                ErrorKind::Unsupported,
            ),
            (
                RootfsError::Unsupported { image: image(), reason: reason(), advice: None },
                ErrorKind::Unsupported,
            ),
            (RootfsError::InUse { image: image(), user: reason(), advice: None }, ErrorKind::InUse),
            (RootfsError::Size { image: image(), size_bytes: 1, reason: reason() }, ErrorKind::Argument),
            (RootfsError::Tool { tool: reason(), image: image(), reason: reason() }, ErrorKind::Internal),
            (RootfsError::Io { action: "read", image: image(), source: full() }, ErrorKind::NoSpace),
        ];
        let mut numbers: Vec<usize> = table.iter().map(|(error, _)| number(error)).collect();
        numbers.dedup();
        assert_eq!(numbers, (0..24).collect::<Vec<_>>(), "each variant is here");
        for (error, kind) in table {
            assert_eq!(error.kind(), kind, "{error}");
            assert!(!error.to_string().contains(';'), "advice in the message: {error}");
        }
    }

    #[test]
    fn damage_tells_its_numbers() {
        let damage = Corruption::new("inode 12 is none").with_inode(12).with_group(2);
        let error = RootfsError::Corrupt { image: "disk.ext4".to_owned(), damage };
        assert_eq!(error.to_string(), "disk.ext4 is damaged: inode 12 is none");
        let context = error.context();
        let pairs: Vec<_> = context.iter().collect();
        assert_eq!(pairs, [("block_group", "2"), ("image", "disk.ext4"), ("inode", "12")]);
    }
}
