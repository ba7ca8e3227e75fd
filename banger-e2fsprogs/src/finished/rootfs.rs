//! The tree of the image by path, within the limits of ext4.

use std::io::Read;

use banger_tree::{
    AttributeChange, Attributes, DirEntry, GuestPath, NodeKind, Rootfs, RootfsError, Stat, TreeRootfs,
    Xattrs, places,
};

use super::DebugfsRootfs;
use crate::limits;
use banger_ext4::on_disk::LINK_MAX;

impl DebugfsRootfs {
    /// Looks at the tree with its contents.
    fn look<T>(&self, look: impl FnOnce(&dyn Rootfs) -> Result<T, RootfsError>) -> Result<T, RootfsError> {
        let edited = &mut *self.edited.borrow_mut();
        look(&TreeRootfs::new(&mut edited.tree, &mut edited.contents))
    }

    /// Changes the tree. The commit removes everything from the image that the tree does not have any more.
    fn change(
        &mut self,
        change: impl FnOnce(&mut dyn Rootfs) -> Result<(), RootfsError>,
    ) -> Result<(), RootfsError> {
        let edited = self.edited.get_mut();
        change(&mut TreeRootfs::new(&mut edited.tree, &mut edited.contents))?;
        self.numbers.retain(|id, _| edited.tree.contains(*id));
        self.is_changed = true;
        Ok(())
    }

    fn check(path: &GuestPath, kind: &NodeKind, xattrs: &Xattrs) -> Result<(), RootfsError> {
        limits::check_node(kind, xattrs).map_err(|reason| RootfsError::Limit {
            path: path.clone(),
            reason,
            advice: None,
        })
    }
}

impl Rootfs for DebugfsRootfs {
    fn stat(&self, path: &GuestPath) -> Result<Option<Stat>, RootfsError> {
        self.look(|tree| tree.stat(path))
    }

    fn resolve(&self, path: &GuestPath) -> Result<GuestPath, RootfsError> {
        self.look(|tree| tree.resolve(path))
    }

    fn read(&self, path: &GuestPath) -> Result<Vec<u8>, RootfsError> {
        self.look(|tree| tree.read(path))
    }

    fn read_at(&self, path: &GuestPath, offset: u64, buffer: &mut [u8]) -> Result<usize, RootfsError> {
        self.look(|tree| tree.read_at(path, offset, buffer))
    }

    fn read_link(&self, path: &GuestPath) -> Result<Vec<u8>, RootfsError> {
        self.look(|tree| tree.read_link(path))
    }

    fn read_dir(&self, path: &GuestPath) -> Result<Vec<DirEntry>, RootfsError> {
        self.look(|tree| tree.read_dir(path))
    }

    fn create_dir(&mut self, path: &GuestPath, attributes: &Attributes) -> Result<(), RootfsError> {
        places::vacant(&self.edited.get_mut().tree, path)?;
        Self::check(path, &NodeKind::empty_directory(), &attributes.xattrs)?;
        self.change(|tree| tree.create_dir(path, attributes))
    }

    fn write_file(
        &mut self,
        path: &GuestPath,
        content: &mut dyn Read,
        attributes: &Attributes,
    ) -> Result<(), RootfsError> {
        let tree = &self.edited.get_mut().tree;
        let replaced = places::for_file(tree, path)?.node.filter(|id| tree.inode(*id).names() == 1);
        Self::check(path, &NodeKind::Regular { size_bytes: 0, content: None }, &attributes.xattrs)?;
        self.change(|tree| tree.write_file(path, content, attributes))?;
        // The tree may give the new inode the number of the one that went.
        if let Some(id) = replaced {
            self.numbers.remove(&id);
        }
        Ok(())
    }

    fn symlink(
        &mut self,
        path: &GuestPath,
        target: &[u8],
        attributes: &Attributes,
    ) -> Result<(), RootfsError> {
        places::vacant(&self.edited.get_mut().tree, path)?;
        let most = self.edited.get_mut().contents.image.symlink_max();
        if target.is_empty() || target.len() > most {
            let reason = format!("a symlink's target of {} bytes is not of 1 to {most}", target.len());
            return Err(RootfsError::Limit { path: path.clone(), reason, advice: None });
        }
        Self::check(path, &NodeKind::Symlink { target: target.into() }, &attributes.xattrs)?;
        self.change(|tree| tree.symlink(path, target, attributes))
    }

    fn hard_link(&mut self, existing: &GuestPath, path: &GuestPath) -> Result<(), RootfsError> {
        let tree = &self.edited.get_mut().tree;
        let (id, _) = places::for_link(tree, existing, path)?;
        if tree.inode(id).names() >= LINK_MAX {
            let reason = format!("it would have more than {LINK_MAX} links");
            return Err(RootfsError::Limit { path: path.clone(), reason, advice: None });
        }
        self.change(|tree| tree.hard_link(existing, path))
    }

    fn mknod(
        &mut self,
        path: &GuestPath,
        kind: &NodeKind,
        attributes: &Attributes,
    ) -> Result<(), RootfsError> {
        places::for_node(&self.edited.get_mut().tree, path, kind)?;
        Self::check(path, kind, &attributes.xattrs)?;
        self.change(|tree| tree.mknod(path, kind, attributes))
    }

    fn remove(&mut self, path: &GuestPath) -> Result<(), RootfsError> {
        self.change(|tree| tree.remove(path))
    }

    fn rename(&mut self, from: &GuestPath, to: &GuestPath) -> Result<(), RootfsError> {
        self.change(|tree| tree.rename(from, to))
    }

    fn set_attributes(&mut self, path: &GuestPath, change: &AttributeChange) -> Result<(), RootfsError> {
        places::existing(&self.edited.get_mut().tree, path)?;
        if let Some(xattrs) = &change.xattrs {
            Self::check(path, &NodeKind::Fifo, xattrs)?;
        }
        self.change(|tree| tree.set_attributes(path, change))
    }

    fn commit(&mut self) -> Result<(), RootfsError> {
        self.commit_changes()
    }
}
