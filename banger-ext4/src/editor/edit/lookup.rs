//! The resolution of paths in an image.

use banger_tree::{
    FileType, GuestPath, Lookup, ResolveAccount, ResolveError, Resolved, RootfsError, resolve,
};

use super::Ext4Editor;
use super::paths::WalkedDir;
use crate::editor::disk::whole_inode::WholeInode;
use crate::editor::disk::{content, directory, inodes, names};
use crate::format::InodeNumber;

/// The names of an image, for the resolution of paths.
pub(super) struct Names<'a>(pub(super) &'a Ext4Editor);

impl Lookup for Names<'_> {
    type Node = InodeNumber;
    type Error = RootfsError;

    fn root(&self) -> InodeNumber {
        InodeNumber::ROOT
    }

    fn child(&self, dir: InodeNumber, name: &[u8]) -> Result<Option<InodeNumber>, RootfsError> {
        self.0.disk.check_cancelled()?;
        self.0.known.borrow_mut().count_lookup();
        if let Some(inode) = self.0.known.borrow().child(dir, name) {
            return Ok(Some(inode));
        }
        let found =
            names::find(&self.0.disk, &directory::open(&self.0.disk, dir)?, name)?.map(|found| found.inode());
        if let Some(inode) = found {
            self.0.known.borrow_mut().add_child(dir, name, inode);
        }
        Ok(found)
    }

    fn file_type(&self, node: InodeNumber) -> Result<FileType, RootfsError> {
        Ok(type_of(&inodes::read(&self.0.disk, node)?))
    }

    fn link_target(&self, node: InodeNumber) -> Result<Vec<u8>, RootfsError> {
        content::target_of(&self.0.disk, node, &inodes::read(&self.0.disk, node)?)
    }

    fn account(&self) -> Option<&ResolveAccount> {
        Some(&self.0.account)
    }

    fn place(&self, path: &GuestPath) -> Result<Resolved<InodeNumber>, RootfsError> {
        let (Some(parent), Some(name)) = (path.parent(), path.file_name()) else {
            return resolve(self, path, false);
        };
        let dir = self.walk(&parent)?;
        let node = self.child(dir.inode, name)?;
        let path =
            dir.path.join(name).map_err(|source| ResolveError::BadTarget { path: dir.path, source })?;
        Ok(Resolved { path, parent: dir.inode, node })
    }
}

impl Names<'_> {
    /// Returns the directory at `path` with symlinks followed. Starts at the last known directory on the way.
    fn walk(&self, path: &GuestPath) -> Result<WalkedDir, RootfsError> {
        let mut unknown = Vec::new();
        let mut at = path.clone();
        let mut dir = loop {
            let known = self.0.known.borrow().walked(&at).cloned();
            if let Some(dir) = known {
                break dir;
            }
            let Some(parent) = at.parent() else {
                break WalkedDir { inode: InodeNumber::ROOT, path: GuestPath::root() };
            };
            unknown.push(std::mem::replace(&mut at, parent));
        };
        for path in unknown.into_iter().rev() {
            let name = path.file_name().expect("the root is always known");
            let next =
                dir.path.join(name).map_err(|source| ResolveError::BadTarget { path: dir.path, source })?;
            let Some(node) = self.child(dir.inode, name)? else {
                return Err(RootfsError::NotFound { path: next });
            };
            dir = match self.file_type(node)? {
                FileType::Directory => WalkedDir { inode: node, path: next },
                // From the root again: all symlinks of a path count.
                FileType::Symlink => {
                    let place = resolve(self, &path, true)?;
                    let missing = || RootfsError::NotFound { path: place.path.clone() };
                    let inode = place.node.ok_or_else(missing)?;
                    if self.file_type(inode)? != FileType::Directory {
                        return Err(RootfsError::NotADirectory { path: place.path });
                    }
                    WalkedDir { inode, path: place.path }
                }
                _ => return Err(RootfsError::NotADirectory { path: next }),
            };
            self.0.known.borrow_mut().add_walked(&path, dir.clone());
        }
        Ok(dir)
    }
}

/// Returns the type of an inode in use.
pub(super) fn type_of(inode: &WholeInode) -> FileType {
    FileType::from_mode_bits(inode.i_mode).expect("checked when the inode was read")
}
