//! A root file system that can be read and edited by path.

use std::io::Read;

use crate::attributes::{AttributeChange, Attributes};
use crate::kind::{FileType, NodeKind};
use crate::path::GuestPath;
use crate::rootfs_error::RootfsError;

/// The results of `lstat` and `listxattr` for a path.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Stat {
    /// Number of the inode: equal for hard links of one file, stable until the next change.
    pub inode: u64,
    /// Type.
    pub file_type: FileType,
    /// Permissions, owner, time, xattrs.
    pub attributes: Attributes,
    /// Number of hard links. A directory has 2 and one for each directory in it, or 1 if ext4's `dir_nlink`
    /// stopped counting.
    pub nlink: u32,
    /// Bytes of a regular file or of a symlink's target; 0 for the rest.
    pub size_bytes: u64,
    /// Major and minor number of a device.
    pub device: Option<(u32, u32)>,
}

impl Stat {
    /// Returns the data of an inode with one name, without bytes and without device numbers.
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

/// A root file system, looked into and edited by path.
///
/// Paths are resolved inside the root. Symlinks in parents are followed as a kernel does with this root. The
/// last component is never followed; call [`resolve`](Self::resolve) first to follow it. Parents are not
/// created. [`commit`](Self::commit) is atomic: others may see changes only after it. Reads through the same
/// value see changes at once.
pub trait Rootfs: Send {
    /// Returns the state of the inode at `path`, or `None` if the path does not exist (also when a parent is
    /// missing).
    ///
    /// # Errors
    /// A parent is not a directory, or symlinks loop.
    fn stat(&self, path: &GuestPath) -> Result<Option<Stat>, RootfsError>;

    /// Returns the path with every symlink followed, the last one too.
    ///
    /// # Errors
    /// The path does not exist, or symlinks loop.
    fn resolve(&self, path: &GuestPath) -> Result<GuestPath, RootfsError>;

    /// Returns the bytes of a regular file.
    ///
    /// # Errors
    /// The path does not exist or is not a regular file.
    fn read(&self, path: &GuestPath) -> Result<Vec<u8>, RootfsError>;

    /// Reads bytes of a regular file from `offset` on into `buffer`; returns the number of bytes, 0 at the
    /// end.
    ///
    /// # Errors
    /// The path does not exist or is not a regular file.
    fn read_at(&self, path: &GuestPath, offset: u64, buffer: &mut [u8]) -> Result<usize, RootfsError>;

    /// Returns start and end of the next bytes of a regular file from `offset` on that may not be zeros; `None` if only
    /// zeros follow. Two calls may find one piece of the file in parts.
    ///
    /// # Errors
    /// The path does not exist or is not a regular file.
    fn data_from(&self, path: &GuestPath, offset: u64) -> Result<Option<(u64, u64)>, RootfsError> {
        let stat = self.stat(path)?.ok_or_else(|| RootfsError::NotFound { path: path.clone() })?;
        match stat.file_type {
            FileType::Regular => Ok((offset < stat.size_bytes).then_some((offset, stat.size_bytes))),
            _ => Err(RootfsError::NotAFile { path: path.clone() }),
        }
    }

    /// Returns the target of a symlink.
    ///
    /// # Errors
    /// The path does not exist or is not a symlink.
    fn read_link(&self, path: &GuestPath) -> Result<Vec<u8>, RootfsError>;

    /// Returns the entries of a directory, ordered by the bytes of their names.
    ///
    /// # Errors
    /// The path does not exist or is not a directory.
    fn read_dir(&self, path: &GuestPath) -> Result<Vec<DirEntry>, RootfsError>;

    /// Makes an empty directory.
    ///
    /// # Errors
    /// The path is taken, or its parent is missing.
    fn create_dir(&mut self, path: &GuestPath, attributes: &Attributes) -> Result<(), RootfsError>;

    /// Makes a regular file with the bytes of `content`. It replaces anything but a directory. Other hard
    /// links of a replaced file keep its old content.
    ///
    /// # Errors
    /// The path is a directory, its parent is missing, or the image is full.
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

    /// Makes `path` a new hard link of `existing`, which must not be a directory.
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

    /// Removes `path`; a directory is removed with everything below it.
    ///
    /// # Errors
    /// The path does not exist or is the root; or [`RootfsError::TooManyChanges`]. Then remove parts of it
    /// one by one, with commits in between.
    fn remove(&mut self, path: &GuestPath) -> Result<(), RootfsError>;

    /// Moves `from` to `to`, which must not exist.
    ///
    /// # Errors
    /// `from` is missing or the root, `to` is taken or lies below `from`.
    fn rename(&mut self, from: &GuestPath, to: &GuestPath) -> Result<(), RootfsError>;

    /// Changes the attributes of the inode at `path`.
    ///
    /// # Errors
    /// The path does not exist.
    fn set_attributes(&mut self, path: &GuestPath, change: &AttributeChange) -> Result<(), RootfsError>;

    /// Returns whether the caller should commit before it makes more changes.
    fn is_commit_due(&self) -> bool {
        false
    }

    /// Checks that one commit can hold all changes since the last one.
    ///
    /// # Errors
    /// [`RootfsError::TooManyChanges`].
    fn check_one_commit(&self) -> Result<(), RootfsError> {
        Ok(())
    }

    /// Writes all changes since the last commit, or none of them.
    ///
    /// # Errors
    /// The host refuses. Then the root file system stays as the last commit made it.
    fn commit(&mut self) -> Result<(), RootfsError>;
}
