//! Hard links, those to files that come later in their layer among them.

use banger_tree::{Attributes, GuestPath, Inode, InodeId, NodeKind, Timestamp};

use super::apply::Applier;
use super::error::EntryError;
use super::warning::{WarningKind, shown};

/// How often the links that wait are gone through at the end of a layer: that many links may each
/// lead to the next one in the wrong order.
const MAX_PASSES: usize = 40;

/// A hard link whose target is not there yet. Its place in the tree is kept by an inode of its own,
/// so that a later entry which takes the place, or a directory on the way to it, wins.
#[derive(Debug)]
pub(super) struct PendingLink {
    /// The entry's path as it is in the tar, for errors.
    path: Vec<u8>,
    number: usize,
    placeholder: InodeId,
    dir: InodeId,
    name: Box<[u8]>,
    target: GuestPath,
}

impl Applier<'_> {
    /// Applies a hard link, or keeps it for the end of the layer.
    pub(super) fn apply_hard_link(
        &mut self,
        path: &[u8],
        (parent, name): (&[u8], &[u8]),
        target: &[u8],
        mtime: Timestamp,
    ) -> Result<(), EntryError> {
        let target = GuestPath::parse(target).map_err(EntryError::LinkTarget)?;
        let dir = self.ensure_directory(parent, mtime, path)?;
        if let Some(existing) = self.tree.child(dir, name) {
            if self.origins.is_own(dir, name, existing) {
                self.warn(path, WarningKind::Duplicate);
            }
            // To itself, while that waits for its own target.
            if self.origins.placeholder(existing).is_some() && self.find(&target) == Some(existing) {
                return Ok(());
            }
        }
        if self.link(dir, name, &target)? {
            return Ok(());
        }
        // The path is kept until the layer's end.
        self.count_metadata(path.len() as u64)?;
        self.remove(dir, name)?;
        let kind = NodeKind::Regular { size_bytes: 0, content: None };
        let inode = Inode::new(kind, Attributes::default());
        let placeholder = self.tree.insert(dir, name, inode).map_err(EntryError::Tree)?;
        let number = self.pending.len();
        self.origins.made_placeholder(placeholder, number);
        let (path, name) = (path.to_vec(), name.into());
        self.pending.push(PendingLink { path, number, placeholder, dir, name, target });
        Ok(())
    }

    /// Applies the links that waited for their targets.
    pub(super) fn apply_pending_links(&mut self) -> Result<(), (Vec<u8>, EntryError)> {
        let mut pending = std::mem::take(&mut self.pending);
        for _ in 0..MAX_PASSES {
            let mut waiting = Vec::new();
            let count = pending.len();
            for link in pending {
                match self.apply_pending(&link) {
                    Ok(true) => {}
                    Ok(false) => waiting.push(link),
                    Err(error) => return Err((link.path, error)),
                }
            }
            pending = waiting;
            if pending.is_empty() || pending.len() == count {
                break;
            }
        }
        match pending.into_iter().next() {
            None => Ok(()),
            Some(link) => {
                let target = shown(link.target.as_bytes());
                Err((link.path, EntryError::LinkTargetMissing { target }))
            }
        }
    }

    /// Returns whether nothing more is to be done for `link`.
    fn apply_pending(&mut self, link: &PendingLink) -> Result<bool, EntryError> {
        // As long as the placeholder lives it has its one name, so the directory lives as well.
        let is_kept = self.tree.contains(link.placeholder)
            && self.origins.placeholder(link.placeholder) == Some(link.number);
        if is_kept { self.link(link.dir, &link.name, &link.target) } else { Ok(true) }
    }

    /// Gives the inode that `target` leads to the name `name` in `dir`, in the place of what has
    /// it. Returns false where the target does not exist.
    fn link(&mut self, dir: InodeId, name: &[u8], target: &GuestPath) -> Result<bool, EntryError> {
        let Some(inode) = self.find(target).filter(|inode| self.origins.placeholder(*inode).is_none()) else {
            return Ok(false);
        };
        if self.tree.inode(inode).is_dir() {
            let target = shown(target.as_bytes());
            return Err(EntryError::LinkToDirectory { target });
        }
        self.origins.linked(dir, name, inode);
        if self.tree.child(dir, name) == Some(inode) {
            return Ok(true);
        }
        self.relink(dir, name, inode)?;
        Ok(true)
    }

    /// Returns the inode at `path`: symlinks in its parents are followed, the last one is not.
    fn find(&self, path: &GuestPath) -> Option<InodeId> {
        let bytes = path.as_bytes();
        let slash = bytes.iter().rposition(|byte| *byte == b'/')?;
        match &bytes[slash + 1..] {
            [] => Some(self.tree.root()),
            name => self.tree.child(self.find_directory(&bytes[..slash])?, name),
        }
    }
}
