//! The staging directory: the tree as `mke2fs -d` reads it.
//!
//! It is written from the finished tree only. Every directory is first made under its number, side by side,
//! and filled. Then, children before parents, each is moved under its name into its parent. So a path here
//! has at most one component of the image, and no path leads through the image. Symlinks and long paths
//! cannot lead elsewhere.
//!
//! Owners, permissions and times are set later in the image; here the builder can read everything. An inode
//! that an unprivileged process cannot make has a placeholder, which debugfs turns into the real inode.

use std::ffi::OsStr;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;

use banger_tree::{Cancellation, ContentError, GuestPath, Inode, InodeId, NodeKind, Tree};
use rustix::fs::{AtFlags, CWD, FileType, Mode, OFlags, linkat, mkdirat, openat, renameat, symlinkat};
use rustix::io::Errno;

use crate::host;
use crate::scratch::{NumberedFiles, Scratch, make_directory};
use banger_ext4::Ext4Error;
use banger_ext4::on_disk::FAST_SYMLINK_MAX;

/// Name of the staging directory in the scratch directory.
const STAGING: &str = "staging";
/// The source for `mke2fs -d`, relative to the scratch directory: the tree's root has number 0.
pub(crate) const ROOT: &str = "staging/0";

/// Writes the staging directory of `tree`; its contents are moved out of the store.
///
/// # Errors
/// The host refuses, a content is not there, or the build is cancelled.
pub(crate) fn write(tree: &Tree, scratch: &Scratch, cancellation: &Cancellation) -> Result<(), Ext4Error> {
    let path = scratch.path().join(STAGING);
    make_directory(&path).map_err(|error| host::failed("create", &path, error))?;
    let open = |path: &camino::Utf8Path| {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        openat(CWD, path.as_std_path(), flags, Mode::empty())
            .map_err(|error| host::failed("open", path, error))
    };
    let staging = Staging {
        tree,
        cancellation,
        scratch,
        scratch_dir: open(scratch.path())?,
        dir: open(&path)?,
        staged: vec![None; tree.inode_bound()],
    };
    staging.write()
}

struct Staging<'a> {
    tree: &'a Tree,
    cancellation: &'a Cancellation,
    scratch: &'a Scratch,
    scratch_dir: OwnedFd,
    dir: OwnedFd,
    /// Directory and first name of staged inodes with more than one name.
    staged: Vec<Option<(InodeId, &'a [u8])>>,
}

/// One name of one inode.
#[derive(Clone, Copy)]
struct Entry<'a> {
    dir: InodeId,
    name: &'a [u8],
    id: InodeId,
}

impl<'a> Staging<'a> {
    fn write(mut self) -> Result<(), Ext4Error> {
        let directories = self.directories()?;
        let mut symlinks = Vec::new();
        for directory in &directories {
            self.cancellation_point()?;
            for (name, id) in self.tree.inode(directory.id).children().into_iter().flatten() {
                let entry = Entry { dir: directory.id, name, id: *id };
                match self.tree.inode(*id).kind {
                    NodeKind::Directory { .. } => {}
                    NodeKind::Symlink { .. } => symlinks.push(entry),
                    _ => self.entry(entry)?,
                }
            }
        }
        for entry in symlinks {
            self.entry(entry)?;
        }
        for entry in directories.iter().skip(1).rev() {
            let staged = staged_path(entry.dir, entry.name);
            renameat(&self.dir, number(entry.id), &self.dir, OsStr::from_bytes(&staged))
                .map_err(|error| self.failed("stage", *entry, error))?;
        }
        Ok(())
    }

    /// Makes every directory under its number; returns them, parents first.
    fn directories(&self) -> Result<Vec<Entry<'a>>, Ext4Error> {
        let root = self.tree.root();
        let mut directories = vec![Entry { dir: root, name: b"", id: root }];
        let mut next = 0;
        while let Some(entry) = directories.get(next).copied() {
            self.cancellation_point()?;
            mkdirat(&self.dir, number(entry.id), Mode::RWXU)
                .map_err(|error| self.failed("stage", entry, error))?;
            let children = self.tree.inode(entry.id).children().into_iter().flatten();
            let below = children.filter(|(_, child)| self.tree.inode(**child).is_dir());
            directories.extend(below.map(|(name, child)| Entry { dir: entry.id, name, id: *child }));
            next += 1;
        }
        Ok(directories)
    }

    fn entry(&mut self, entry: Entry<'a>) -> Result<(), Ext4Error> {
        let path = staged_path(entry.dir, entry.name);
        let name = OsStr::from_bytes(&path);
        let inode = self.tree.inode(entry.id);
        let staged = if inode.names() > 1 { self.staged[entry.id.index()] } else { None };
        let outcome = match staged {
            Some((dir, first)) => {
                let first = staged_path(dir, first);
                linkat(&self.dir, OsStr::from_bytes(&first), &self.dir, name, AtFlags::empty())
            }
            None => {
                if inode.names() > 1 {
                    self.staged[entry.id.index()] = Some((entry.dir, entry.name));
                }
                self.node(inode, name)
            }
        };
        match outcome {
            Err(Errno::NOENT) => match inode.kind {
                NodeKind::Regular { content: Some(id), .. } => Err(ContentError::Unknown { id }.into()),
                _ => Err(self.failed("stage", entry, Errno::NOENT)),
            },
            outcome => outcome.map_err(|error| self.failed("stage", entry, error)),
        }
    }

    fn node(&self, inode: &Inode, name: &OsStr) -> Result<(), Errno> {
        let special = |file_type| host::make_special(&self.dir, name, file_type);
        match &inode.kind {
            NodeKind::Regular { content: Some(content), .. } => {
                renameat(&self.scratch_dir, NumberedFiles::relative_path(*content), &self.dir, name)
            }
            NodeKind::Regular { content: None, .. } => self.file(name, b""),
            // mke2fs makes two inodes of two names of a symlink; names of other types stay linked.
            NodeKind::Symlink { target } if inode.names() > 1 && target.len() <= FAST_SYMLINK_MAX => {
                special(FileType::Fifo)
            }
            NodeKind::Symlink { target } if inode.names() > 1 => self.file(name, target),
            NodeKind::Symlink { target } => {
                match symlinkat(OsStr::from_bytes(target), &self.dir, name) {
                    // Not every file system holds targets as long as ext4 does. There, a long
                    // target is in a block, as the bytes of a file are.
                    Err(Errno::NAMETOOLONG | Errno::NOSPC | Errno::INVAL)
                        if target.len() > FAST_SYMLINK_MAX =>
                    {
                        self.file(name, target)
                    }
                    outcome => outcome,
                }
            }
            NodeKind::Socket => special(FileType::Socket),
            // Devices take a privilege; an inode of a FIFO is as empty as theirs.
            NodeKind::Fifo | NodeKind::CharDevice { .. } | NodeKind::BlockDevice { .. } => {
                special(FileType::Fifo)
            }
            NodeKind::Directory { .. } => Err(Errno::ISDIR),
        }
    }

    fn file(&self, name: &OsStr, bytes: &[u8]) -> Result<(), Errno> {
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let file = openat(&self.dir, name, flags, Mode::RUSR | Mode::WUSR)?;
        let mut rest = bytes;
        while !rest.is_empty() {
            let written = rustix::io::retry_on_intr(|| rustix::io::write(&file, rest))?;
            rest = &rest[written..];
        }
        Ok(())
    }

    fn cancellation_point(&self) -> Result<(), Ext4Error> {
        if self.cancellation.is_cancelled() { Err(Ext4Error::Cancelled) } else { Ok(()) }
    }

    /// Returns the error of the host about `entry`, whose path in the image is looked up now.
    fn failed(&self, action: &'static str, entry: Entry<'_>, error: Errno) -> Ext4Error {
        let is_entry = |path: &GuestPath, id: InodeId| {
            id == entry.id && path.file_name().unwrap_or_default() == entry.name
        };
        let path = self.tree.walk().find(|(path, id)| is_entry(path, *id));
        let path = path.map_or_else(GuestPath::root, |(path, _)| path);
        host::failed(action, &self.scratch.path().join(format!("{ROOT}{path}")), error)
    }
}

/// Returns the name that a directory has until it is moved to its place.
fn number(id: InodeId) -> String {
    id.index().to_string()
}

/// Returns the path of `name` in the directory `dir`, relative to the staging directory.
fn staged_path(dir: InodeId, name: &[u8]) -> Vec<u8> {
    let mut path = number(dir).into_bytes();
    path.push(b'/');
    path.extend_from_slice(name);
    path
}
