//! A root file system that can be looked into and edited by path.

use std::io::Read;

use crate::attributes::{AttributeChange, Attributes};
use crate::budget::OverBudget;
use crate::content_error::ContentError;
use crate::failure::{Advice, ErrorContext, ErrorKind, Failure};
use crate::kind::{FileType, NodeKind};
use crate::path::{GuestPath, PathError};
use crate::resolve_error::ResolveError;

/// What `lstat` and `listxattr` tell of a path.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Stat {
    /// Number of the inode: equal for hard links of one file, stable until the next change.
    pub inode: u64,
    /// Type.
    pub file_type: FileType,
    /// Permissions, owner, time, xattrs.
    pub attributes: Attributes,
    /// Names that lead to the inode; for a directory 2 and one for each directory in it (1 where
    /// ext4's `dir_nlink` stopped counting).
    pub nlink: u32,
    /// Bytes of a regular file or of a symlink's target; 0 for the rest.
    pub size_bytes: u64,
    /// Major and minor number of a device.
    pub device: Option<(u32, u32)>,
}

impl Stat {
    /// Returns what is known of an inode with one name, without bytes and without device numbers.
    pub fn new(inode: u64, file_type: FileType, attributes: Attributes) -> Self {
        Self { inode, file_type, attributes, nlink: 1, size_bytes: 0, device: None }
    }
}

/// One entry of a directory.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct DirEntry {
    /// The name, never `.` or `..`.
    pub name: Vec<u8>,
    /// Number of the inode, as in [`Stat::inode`].
    pub inode: u64,
    /// Type.
    pub file_type: FileType,
}

impl DirEntry {
    /// Returns an entry that leads to `inode`.
    pub fn new(name: Vec<u8>, inode: u64, file_type: FileType) -> Self {
        Self { name, inode, file_type }
    }
}

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
    /// The file system cannot hold this: links, xattrs, times, space.
    #[error("{path}: {reason}")]
    Limit {
        /// The path.
        path: GuestPath,
        /// Which limit, with numbers.
        reason: String,
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
    #[error("{image} is damaged: {reason}")]
    Corrupt {
        /// The image.
        image: String,
        /// Which structure, with its number.
        reason: String,
    },
    /// The image has what this implementation does not know, so that it cannot even be read.
    #[error("{image} cannot be read: {reason}")]
    Unreadable {
        /// The image.
        image: String,
        /// Which feature or state, and what to do.
        reason: String,
    },
    /// The image can be read, but has what this implementation must not change.
    #[error("{image} cannot be edited: {reason}")]
    Unsupported {
        /// The image.
        image: String,
        /// Which feature or state, and what to do.
        reason: String,
    },
    /// Another program uses the image.
    #[error("{image} is in use: {user}")]
    InUse {
        /// The image.
        image: String,
        /// Who uses it, or how.
        user: String,
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
            Self::Limit { .. } => 712,
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
            Self::Content { .. } | Self::Tool { .. } => ErrorKind::Internal,
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
            Self::InUse { .. } => Some(Advice::new("try again when the other program has ended")),
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
            | Self::Content { path, .. }
            | Self::Source { path, .. }
            | Self::Limit { path, .. }
            | Self::TooManyChanges { path } => context.with("path", path),
            Self::Corrupt { image, .. }
            | Self::Unreadable { image, .. }
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

/// A root file system, looked into and edited by path.
///
/// Paths are resolved inside the root: symlinks in parents are followed as a kernel would with
/// this root, the last component never is (use [`resolve`](Self::resolve) first to follow it).
/// Parents are not created. Changes may become visible to others only at
/// [`commit`](Self::commit), which makes all of them or none; reads through the same value see
/// them at once.
pub trait Rootfs: Send {
    /// Returns what is at `path`, or `None` if nothing is (also when a parent is missing).
    ///
    /// # Errors
    /// A parent is no directory, or symlinks loop.
    fn stat(&self, path: &GuestPath) -> Result<Option<Stat>, RootfsError>;

    /// Returns the path with every symlink followed, the last one too.
    ///
    /// # Errors
    /// The path does not exist, or symlinks loop.
    fn resolve(&self, path: &GuestPath) -> Result<GuestPath, RootfsError>;

    /// Returns the bytes of a regular file.
    ///
    /// # Errors
    /// The path does not exist or is no regular file.
    fn read(&self, path: &GuestPath) -> Result<Vec<u8>, RootfsError>;

    /// Reads bytes of a regular file from `offset` on into `buffer`; returns how many, 0 at the end.
    ///
    /// # Errors
    /// The path does not exist or is no regular file.
    fn read_at(&self, path: &GuestPath, offset: u64, buffer: &mut [u8]) -> Result<usize, RootfsError>;

    /// Returns the target of a symlink.
    ///
    /// # Errors
    /// The path does not exist or is no symlink.
    fn read_link(&self, path: &GuestPath) -> Result<Vec<u8>, RootfsError>;

    /// Returns the entries of a directory, ordered by the bytes of their names.
    ///
    /// # Errors
    /// The path does not exist or is no directory.
    fn read_dir(&self, path: &GuestPath) -> Result<Vec<DirEntry>, RootfsError>;

    /// Makes an empty directory.
    ///
    /// # Errors
    /// The path is taken, or its parent is missing.
    fn create_dir(&mut self, path: &GuestPath, attributes: &Attributes) -> Result<(), RootfsError>;

    /// Makes a regular file of what `content` gives, in the place of whatever was there but a
    /// directory. Other hard links of a replaced file keep its old content.
    ///
    /// # Errors
    /// The path is a directory, its parent is missing, or there is no room.
    fn write_file(
        &mut self,
        path: &GuestPath,
        content: &mut dyn Read,
        attributes: &Attributes,
    ) -> Result<(), RootfsError>;

    /// Makes a symlink to `target`, which is stored verbatim.
    ///
    /// # Errors
    /// The path is taken, its parent is missing, or the target is empty or too long for a block.
    fn symlink(
        &mut self,
        path: &GuestPath,
        target: &[u8],
        attributes: &Attributes,
    ) -> Result<(), RootfsError>;

    /// Gives `existing`, which is no directory, one more name.
    ///
    /// # Errors
    /// `existing` is missing or a directory, or `path` is taken.
    fn hard_link(&mut self, existing: &GuestPath, path: &GuestPath) -> Result<(), RootfsError>;

    /// Makes a device, FIFO or socket; `kind` is one of these.
    ///
    /// # Errors
    /// The path is taken, its parent is missing, or `kind` is another one.
    fn mknod(
        &mut self,
        path: &GuestPath,
        kind: &NodeKind,
        attributes: &Attributes,
    ) -> Result<(), RootfsError>;

    /// Removes `path`, and all below it if it is a directory.
    ///
    /// # Errors
    /// The path does not exist or is the root; or [`RootfsError::TooManyChanges`], after which parts of
    /// it can be removed one by one, with commits in between.
    fn remove(&mut self, path: &GuestPath) -> Result<(), RootfsError>;

    /// Moves `from` to `to`, which must not exist.
    ///
    /// # Errors
    /// `from` is missing or the root, `to` is taken or lies below `from`.
    fn rename(&mut self, from: &GuestPath, to: &GuestPath) -> Result<(), RootfsError>;

    /// Changes the attributes of what is at `path`.
    ///
    /// # Errors
    /// The path does not exist.
    fn set_attributes(&mut self, path: &GuestPath, change: &AttributeChange) -> Result<(), RootfsError>;

    /// Returns whether so many changes wait that a commit should come before more of them.
    fn is_commit_due(&self) -> bool {
        false
    }

    /// Makes all changes since the last commit last, or none of them.
    ///
    /// # Errors
    /// The host refuses; then the root file system is as it was at the last commit.
    fn commit(&mut self) -> Result<(), RootfsError>;
}
