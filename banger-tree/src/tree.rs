//! The merged root file system in memory.

use crate::attributes::Attributes;
use crate::children::{Children, ChildrenIter};
use crate::content_id::ContentId;
use crate::inode::Inode;
use crate::inode_id::InodeId;
use crate::kind::{FileType, NodeKind};
use crate::path::{GuestPath, check_name};
use crate::resolve::{Lookup, Resolved, resolve};
use crate::resolve_error::ResolveError;
use crate::tree_error::TreeError;

/// The merged root file system: inodes and the names that lead to them.
///
/// Every inode but the root has at least one name, and a directory has exactly one. When its last name is
/// removed, an inode is removed with everything below it.
#[derive(Clone, Debug)]
pub struct Tree {
    slots: Vec<Option<Inode>>,
    free: Vec<InodeId>,
}

impl Default for Tree {
    fn default() -> Self {
        Self::new()
    }
}

impl Tree {
    /// Returns a tree of one empty root directory, 0755 0:0 of time 0.
    pub fn new() -> Self {
        let mut root = Inode::new(NodeKind::empty_directory(), Attributes::with_mode(0o755));
        root.names = 1;
        Self { slots: vec![Some(root)], free: Vec::new() }
    }

    /// Returns the root directory.
    pub fn root(&self) -> InodeId {
        InodeId(0)
    }

    /// Returns the number of inodes, including the root.
    pub fn inode_count(&self) -> usize {
        self.slots.len() - self.free.len()
    }

    /// Returns a number above every [`InodeId::index`] in use: the size of a table by inode.
    pub fn inode_bound(&self) -> usize {
        self.slots.len()
    }

    /// Returns whether an inode has this id now: the original one or a later one.
    pub fn contains(&self, id: InodeId) -> bool {
        self.slots.get(id.index()).is_some_and(Option::is_some)
    }

    /// Returns the inode.
    ///
    /// # Panics
    /// `id` was removed, or belongs to another tree.
    pub fn inode(&self, id: InodeId) -> &Inode {
        self.slots[id.index()].as_ref().expect("an inode id is used only while a name leads to it")
    }

    /// Returns all inodes, in the order of their numbers.
    pub(crate) fn inodes(&self) -> impl Iterator<Item = (InodeId, &Inode)> {
        let ids = (0_u32..).map(InodeId);
        ids.zip(&self.slots).filter_map(|(id, slot)| slot.as_ref().map(|inode| (id, inode)))
    }

    /// Gives the file `id` another content with the same bytes.
    pub(crate) fn rename_content(&mut self, id: InodeId, to: ContentId) {
        if let NodeKind::Regular { content, .. } = &mut self.inode_mut(id).kind {
            *content = Some(to);
        }
    }

    /// Returns the inode's attributes, mutable.
    ///
    /// # Panics
    /// As [`Tree::inode`].
    pub fn attributes_mut(&mut self, id: InodeId) -> &mut Attributes {
        &mut self.inode_mut(id).attributes
    }

    /// Returns the inode that `name` leads to in `dir`, or `None`.
    pub fn child(&self, dir: InodeId, name: &[u8]) -> Option<InodeId> {
        self.inode(dir).children()?.get(name).copied()
    }

    /// Adds `inode` to `dir` under `name`; returns its id.
    ///
    /// # Errors
    /// `dir` is not a directory, or `name` is not a valid name or is taken.
    pub fn insert(&mut self, dir: InodeId, name: &[u8], inode: Inode) -> Result<InodeId, TreeError> {
        self.check_vacant(dir, name)?;
        let id = match self.free.pop() {
            Some(id) => id,
            None => {
                self.slots.push(None);
                InodeId(u32::try_from(self.slots.len() - 1).expect("fewer inodes than ext4 can number"))
            }
        };
        self.slots[id.index()] = Some(Inode { names: 1, ..inode });
        self.children_mut(dir)?.insert(name.into(), id);
        Ok(id)
    }

    /// Adds a hard link to `target`.
    ///
    /// # Errors
    /// As [`Tree::insert`], or `target` is a directory.
    pub fn link(&mut self, dir: InodeId, name: &[u8], target: InodeId) -> Result<(), TreeError> {
        self.check_vacant(dir, name)?;
        if self.inode(target).is_dir() {
            return Err(TreeError::DirectoryLink(target));
        }
        self.inode_mut(target).names += 1;
        self.children_mut(dir)?.insert(name.into(), target);
        Ok(())
    }

    /// Removes `name` from `dir`; a directory is removed with everything below it. Returns the contents
    /// without a name, for [`ContentStore::release`](crate::ContentStore::release). Does nothing if `name`
    /// does not exist.
    pub fn remove(&mut self, dir: InodeId, name: &[u8]) -> Vec<ContentId> {
        let removed = self.children_mut(dir).ok().and_then(|children| children.remove(name));
        self.forget(removed)
    }

    /// Sets the inode of `name` in `dir` to `target`, then removes the old inode as [`Tree::remove`] does. So
    /// the target may lie below the old inode. Returns the contents without a name.
    ///
    /// # Errors
    /// `dir` is not a directory, `name` is not a valid name, or `target` is a directory.
    pub fn relink(
        &mut self,
        dir: InodeId,
        name: &[u8],
        target: InodeId,
    ) -> Result<Vec<ContentId>, TreeError> {
        check_name(name)?;
        if self.inode(target).is_dir() {
            return Err(TreeError::DirectoryLink(target));
        }
        let replaced = self.children_mut(dir)?.insert(name.into(), target);
        self.inode_mut(target).names += 1;
        Ok(self.forget(replaced))
    }

    /// Removes one name of `removed`. If that was the last one, does the same for everything below it.
    fn forget(&mut self, removed: Option<InodeId>) -> Vec<ContentId> {
        let mut unnamed: Vec<InodeId> = removed.into_iter().collect();
        let mut contents = Vec::new();
        while let Some(id) = unnamed.pop() {
            let inode = self.inode_mut(id);
            inode.names -= 1;
            if inode.names > 0 {
                continue;
            }
            match self.slots[id.index()].take().map(|inode| inode.kind) {
                Some(NodeKind::Directory { children }) => unnamed.extend(children.into_values()),
                Some(NodeKind::Regular { content, .. }) => contents.extend(content),
                _ => {}
            }
            self.free.push(id);
        }
        contents
    }

    /// Moves the entry `name` of `dir` to `new_name` of `new_dir`, which must be vacant. The caller makes
    /// sure that a directory does not move below itself.
    ///
    /// # Errors
    /// As [`Tree::insert`].
    pub fn rename(
        &mut self,
        dir: InodeId,
        name: &[u8],
        new_dir: InodeId,
        new_name: &[u8],
    ) -> Result<(), TreeError> {
        self.check_vacant(new_dir, new_name)?;
        if let Some(id) = self.children_mut(dir)?.remove(name) {
            self.children_mut(new_dir)?.insert(new_name.into(), id);
        }
        Ok(())
    }

    /// Follows `path` through the tree as a kernel would with the tree as its root.
    ///
    /// # Errors
    /// A parent is missing or not a directory, or the path has over 40 symlinks.
    pub fn resolve(&self, path: &GuestPath, follow_last: bool) -> Result<Resolved<InodeId>, ResolveError> {
        resolve(self, path, follow_last)
    }

    /// Returns every path with its inode, parents before children, siblings in the order of their
    /// names; first the root.
    pub fn walk(&self) -> TreeWalk<'_> {
        TreeWalk { tree: self, path: GuestPath::root(), levels: Vec::new(), starts: true }
    }

    fn check_vacant(&self, dir: InodeId, name: &[u8]) -> Result<(), TreeError> {
        check_name(name)?;
        let children = self.inode(dir).children().ok_or(TreeError::NotADirectory(dir))?;
        if children.contains_key(name) {
            return Err(TreeError::Exists { name: name.to_vec() });
        }
        Ok(())
    }

    fn inode_mut(&mut self, id: InodeId) -> &mut Inode {
        self.slots[id.index()].as_mut().expect("an inode id is used only while a name leads to it")
    }

    fn children_mut(&mut self, dir: InodeId) -> Result<&mut Children, TreeError> {
        match &mut self.inode_mut(dir).kind {
            NodeKind::Directory { children } => Ok(children),
            _ => Err(TreeError::NotADirectory(dir)),
        }
    }
}

impl Lookup for Tree {
    type Node = InodeId;
    type Error = ResolveError;

    fn root(&self) -> InodeId {
        Tree::root(self)
    }

    fn child(&self, dir: InodeId, name: &[u8]) -> Result<Option<InodeId>, ResolveError> {
        Ok(Tree::child(self, dir, name))
    }

    fn file_type(&self, node: InodeId) -> Result<FileType, ResolveError> {
        Ok(self.inode(node).kind.file_type())
    }

    fn link_target(&self, node: InodeId) -> Result<Vec<u8>, ResolveError> {
        match &self.inode(node).kind {
            NodeKind::Symlink { target } => Ok(target.to_vec()),
            _ => Ok(Vec::new()),
        }
    }
}

/// Iterator of [`Tree::walk`]. It holds one path, for any number of names.
#[derive(Debug)]
pub struct TreeWalk<'a> {
    tree: &'a Tree,
    /// The directory whose entries come next.
    path: GuestPath,
    /// Entries to come, of the directories on the way.
    levels: Vec<ChildrenIter<'a>>,
    starts: bool,
}

impl Iterator for TreeWalk<'_> {
    type Item = (GuestPath, InodeId);

    fn next(&mut self) -> Option<Self::Item> {
        if std::mem::take(&mut self.starts) {
            self.levels.extend(self.tree.inode(self.tree.root()).children().map(Children::iter));
            return Some((GuestPath::root(), self.tree.root()));
        }
        loop {
            let Some((name, id)) = self.levels.last_mut()?.next() else {
                self.levels.pop();
                if let Some(parent) = self.path.parent() {
                    self.path = parent;
                }
                continue;
            };
            let path = self.path.join_unchecked(name);
            if let Some(children) = self.tree.inode(*id).children() {
                self.levels.push(children.iter());
                self.path = path.clone();
            }
            return Some((path, *id));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(index: usize) -> Inode {
        let kind = NodeKind::Regular { size_bytes: 1, content: Some(ContentId::from_index(index)) };
        Inode::new(kind, Attributes::with_mode(0o644))
    }

    fn dir() -> Inode {
        Inode::new(NodeKind::empty_directory(), Attributes::with_mode(0o755))
    }

    #[test]
    fn an_inode_goes_with_its_last_name() {
        let mut tree = Tree::new();
        let root = tree.root();
        let a = tree.insert(root, b"a", file(0)).unwrap();
        tree.link(root, b"b", a).unwrap();
        assert_eq!(tree.inode(a).names(), 2);
        assert_eq!(tree.remove(root, b"a"), []);
        assert_eq!(tree.child(root, b"b"), Some(a));
        assert_eq!(tree.remove(root, b"b"), [ContentId::from_index(0)]);
        assert!(tree.contains(root) && !tree.contains(a));
        assert_eq!(tree.inode_count(), 1);
        assert_eq!(tree.remove(root, b"b"), []);
    }

    #[test]
    fn removing_a_directory_keeps_what_is_linked_from_outside() {
        let mut tree = Tree::new();
        let root = tree.root();
        let top = tree.insert(root, b"d", dir()).unwrap();
        let below = tree.insert(top, b"e", dir()).unwrap();
        let kept = tree.insert(below, b"kept", file(0)).unwrap();
        tree.insert(below, b"lost", file(1)).unwrap();
        tree.link(root, b"link", kept).unwrap();
        assert_eq!(tree.remove(root, b"d"), [ContentId::from_index(1)]);
        assert_eq!(tree.inode_count(), 2);
        assert_eq!(tree.inode(kept).names(), 1);
        let reused = tree.insert(root, b"new", dir()).unwrap();
        assert!(reused.index() < tree.inode_bound());
    }

    #[test]
    fn a_name_moves_to_another_inode() {
        let mut tree = Tree::new();
        let root = tree.root();
        let top = tree.insert(root, b"d", dir()).unwrap();
        let kept = tree.insert(top, b"kept", file(0)).unwrap();
        tree.insert(top, b"lost", file(1)).unwrap();
        assert_eq!(tree.relink(root, b"d", kept), Ok(vec![ContentId::from_index(1)]));
        assert_eq!((tree.child(root, b"d"), tree.inode(kept).names()), (Some(kept), 1));
        assert_eq!(tree.relink(root, b"d", kept), Ok(vec![]));
        assert_eq!(tree.relink(root, b"new", kept), Ok(vec![]));
        assert_eq!(tree.inode(kept).names(), 2);
        assert_eq!(tree.relink(root, b"r", root), Err(TreeError::DirectoryLink(root)));
        assert_eq!(tree.relink(kept, b"x", kept), Err(TreeError::NotADirectory(kept)));
    }

    #[test]
    fn refuses_bad_entries() {
        let mut tree = Tree::new();
        let root = tree.root();
        let f = tree.insert(root, b"f", file(0)).unwrap();
        let d = tree.insert(root, b"d", dir()).unwrap();
        assert_eq!(tree.insert(root, b"f", dir()), Err(TreeError::Exists { name: b"f".to_vec() }));
        assert_eq!(tree.insert(f, b"x", dir()), Err(TreeError::NotADirectory(f)));
        assert_eq!(tree.link(root, b"d2", d), Err(TreeError::DirectoryLink(d)));
        assert!(matches!(tree.insert(root, b"..", dir()), Err(TreeError::Name(_))));
        assert_eq!(tree.inode_count(), 3);
    }

    #[test]
    fn walks_parents_first_in_order_of_names() {
        let mut tree = Tree::new();
        let root = tree.root();
        let b = tree.insert(root, b"b", dir()).unwrap();
        tree.insert(root, b"a", file(0)).unwrap();
        tree.insert(root, b"c", file(1)).unwrap();
        tree.insert(b, b"z", file(2)).unwrap();
        tree.insert(b, b"y", file(3)).unwrap();
        let paths: Vec<String> = tree.walk().map(|(path, _)| path.to_string()).collect();
        assert_eq!(paths, ["/", "/a", "/b", "/b/y", "/b/z", "/c"]);
    }
}
