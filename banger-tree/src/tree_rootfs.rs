//! A tree with its content store, edited by path before any image exists.

use std::fmt;
use std::io::Read;

use crate::attributes::{AttributeChange, Attributes};
use crate::content::{ContentStore, LayerIndex};
use crate::content_error::ContentError;
use crate::content_id::ContentId;
use crate::failure::Advice;
use crate::inode::Inode;
use crate::inode_id::InodeId;
use crate::kind::{FileType, NodeKind};
use crate::path::{GuestPath, SYMLINK_TARGET_MAX};
use crate::places;
use crate::resolve::{Lookup, ResolveAccount, Resolved, resolve};
use crate::resolve_error::ResolveError;
use crate::rootfs::{DirEntry, Rootfs, Stat};
use crate::rootfs_error::RootfsError;
use crate::tree::Tree;
use crate::tree_error::TreeError;

/// A [`Tree`] and its [`ContentStore`] as a [`Rootfs`]: the fast path, for edits before the image is written.
/// Every change takes effect at once; [`commit`](Rootfs::commit) does nothing.
pub struct TreeRootfs<'a> {
    tree: &'a mut Tree,
    store: &'a mut dyn ContentStore,
    layer: LayerIndex,
    account: Option<ResolveAccount>,
}

/// The names of a tree, for the resolution of paths.
struct Names<'a> {
    tree: &'a Tree,
    account: Option<&'a ResolveAccount>,
}

impl Lookup for Names<'_> {
    type Node = InodeId;
    type Error = ResolveError;

    fn root(&self) -> InodeId {
        self.tree.root()
    }

    fn child(&self, dir: InodeId, name: &[u8]) -> Result<Option<InodeId>, ResolveError> {
        Lookup::child(self.tree, dir, name)
    }

    fn file_type(&self, node: InodeId) -> Result<FileType, ResolveError> {
        Lookup::file_type(self.tree, node)
    }

    fn link_target(&self, node: InodeId) -> Result<Vec<u8>, ResolveError> {
        Lookup::link_target(self.tree, node)
    }

    fn account(&self) -> Option<&ResolveAccount> {
        self.account
    }
}

impl fmt::Debug for TreeRootfs<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("TreeRootfs").field("inodes", &self.tree.inode_count()).finish_non_exhaustive()
    }
}

impl<'a> TreeRootfs<'a> {
    /// Returns a view of `tree`, whose contents are in `store`.
    pub fn new(tree: &'a mut Tree, store: &'a mut dyn ContentStore) -> Self {
        Self { tree, store, layer: LayerIndex::default(), account: None }
    }

    /// Returns the view with `layer` as the layer of new contents: one above the last layer of the image.
    pub fn with_layer(self, layer: LayerIndex) -> Self {
        Self { layer, ..self }
    }

    /// Returns the view that charges long paths to `account`, for trees of foreign input.
    pub fn with_account(self, account: ResolveAccount) -> Self {
        Self { account: Some(account), ..self }
    }

    fn names(&self) -> Names<'_> {
        Names { tree: self.tree, account: self.account.as_ref() }
    }

    fn existing(&self, path: &GuestPath) -> Result<InodeId, RootfsError> {
        Ok(places::existing(&self.names(), path)?.0)
    }

    fn insert(&mut self, resolved: &Resolved<InodeId>, inode: Inode) -> Result<(), RootfsError> {
        let name = resolved.path.file_name().ok_or(RootfsError::Root)?;
        self.tree
            .insert(resolved.parent, name, inode)
            .map(drop)
            .map_err(|error| refused(error, &resolved.path))
    }

    fn release(&mut self, path: &GuestPath, contents: Vec<ContentId>) -> Result<(), RootfsError> {
        for id in contents {
            self.store.release(id).map_err(|source| content_error(path, source))?;
        }
        Ok(())
    }

    fn content_of(&self, path: &GuestPath) -> Result<(u64, Option<ContentId>), RootfsError> {
        match self.tree.inode(self.existing(path)?).kind {
            NodeKind::Regular { size_bytes, content } => Ok((size_bytes, content)),
            NodeKind::Directory { .. } => Err(RootfsError::IsADirectory { path: path.clone() }),
            _ => Err(RootfsError::NotAFile { path: path.clone() }),
        }
    }

    fn store_content(&mut self, path: &GuestPath, bytes: &[u8]) -> Result<Option<ContentId>, RootfsError> {
        if bytes.is_empty() {
            return Ok(None);
        }
        let store = &mut self.store;
        let mut write = || -> Result<ContentId, ContentError> {
            let id = store.begin(self.layer, bytes.len() as u64)?;
            store.append(id, bytes)?;
            store.finish(id)?;
            Ok(id)
        };
        write().map(Some).map_err(|source| content_error(path, source))
    }
}

fn content_error(path: &GuestPath, source: ContentError) -> RootfsError {
    RootfsError::Content { path: path.clone(), source }
}

fn refused(error: TreeError, path: &GuestPath) -> RootfsError {
    match error {
        TreeError::Name(source) => RootfsError::Path(source),
        TreeError::NotADirectory(_) => RootfsError::NotADirectory { path: path.clone() },
        TreeError::Exists { .. } => RootfsError::AlreadyExists { path: path.clone() },
        TreeError::DirectoryLink(_) => RootfsError::IsADirectory { path: path.clone() },
    }
}

impl Rootfs for TreeRootfs<'_> {
    fn stat(&self, path: &GuestPath) -> Result<Option<Stat>, RootfsError> {
        let id = match resolve(&self.names(), path, false) {
            Ok(Resolved { node: Some(id), .. }) => id,
            Ok(_) | Err(ResolveError::NotFound { .. }) => return Ok(None),
            Err(error) => return Err(error.into()),
        };
        let inode = self.tree.inode(id);
        let directories = |children: &crate::children::Children| {
            let count = children.values().filter(|child| self.tree.inode(**child).is_dir()).count();
            u32::try_from(count).unwrap_or(u32::MAX - 2)
        };
        Ok(Some(Stat {
            inode: id.index() as u64,
            file_type: inode.kind.file_type(),
            attributes: inode.attributes.clone(),
            nlink: inode.children().map_or(inode.names(), |children| 2 + directories(children)),
            size_bytes: inode.size_bytes(),
            device: match inode.kind {
                NodeKind::CharDevice { major, minor } | NodeKind::BlockDevice { major, minor } => {
                    Some((major, minor))
                }
                _ => None,
            },
        }))
    }

    fn resolve(&self, path: &GuestPath) -> Result<GuestPath, RootfsError> {
        let resolved = resolve(&self.names(), path, true)?;
        match resolved.node {
            Some(_) => Ok(resolved.path),
            None => Err(RootfsError::NotFound { path: resolved.path }),
        }
    }

    fn read(&self, path: &GuestPath) -> Result<Vec<u8>, RootfsError> {
        let (size_bytes, content) = self.content_of(path)?;
        let Some(id) = content else { return Ok(Vec::new()) };
        let size = usize::try_from(size_bytes).map_err(|_| RootfsError::Limit {
            path: path.clone(),
            reason: format!("a file of {size_bytes} bytes does not fit in memory"),
            advice: Some(Advice::new("read it in parts")),
        })?;
        let mut bytes = vec![0; size];
        let mut done = 0;
        while done < size {
            let count = self
                .store
                .read_at(id, done as u64, &mut bytes[done..])
                .map_err(|source| content_error(path, source))?;
            if count == 0 {
                let source =
                    ContentError::WrongLength { declared_bytes: size_bytes, written_bytes: done as u64 };
                return Err(content_error(path, source));
            }
            done += count;
        }
        Ok(bytes)
    }

    fn read_at(&self, path: &GuestPath, offset: u64, buffer: &mut [u8]) -> Result<usize, RootfsError> {
        match self.content_of(path)? {
            (_, Some(id)) => {
                self.store.read_at(id, offset, buffer).map_err(|source| content_error(path, source))
            }
            (_, None) => Ok(0),
        }
    }

    fn read_link(&self, path: &GuestPath) -> Result<Vec<u8>, RootfsError> {
        match &self.tree.inode(self.existing(path)?).kind {
            NodeKind::Symlink { target } => Ok(target.to_vec()),
            _ => Err(RootfsError::NotASymlink { path: path.clone() }),
        }
    }

    fn read_dir(&self, path: &GuestPath) -> Result<Vec<DirEntry>, RootfsError> {
        let inode = self.tree.inode(self.existing(path)?);
        let children = inode.children().ok_or_else(|| RootfsError::NotADirectory { path: path.clone() })?;
        let entry = |name: &[u8], id: &InodeId| DirEntry {
            name: name.to_vec(),
            inode: id.index() as u64,
            file_type: self.tree.inode(*id).kind.file_type(),
        };
        Ok(children.iter().map(|(name, id)| entry(name, id)).collect())
    }

    fn create_dir(&mut self, path: &GuestPath, attributes: &Attributes) -> Result<(), RootfsError> {
        let place = places::vacant(&self.names(), path)?;
        self.insert(&place, Inode::new(NodeKind::empty_directory(), attributes.clone()))
    }

    fn write_file(
        &mut self,
        path: &GuestPath,
        content: &mut dyn Read,
        attributes: &Attributes,
    ) -> Result<(), RootfsError> {
        let place = places::for_file(&self.names(), path)?;
        let name = place.path.file_name().ok_or(RootfsError::Root)?;
        let mut bytes = Vec::new();
        content
            .read_to_end(&mut bytes)
            .map_err(|source| RootfsError::Source { path: path.clone(), source })?;
        let content = self.store_content(path, &bytes)?;
        let released = self.tree.remove(place.parent, name);
        let kind = NodeKind::Regular { size_bytes: bytes.len() as u64, content };
        self.insert(&place, Inode::new(kind, attributes.clone()))?;
        self.release(path, released)
    }

    fn symlink(
        &mut self,
        path: &GuestPath,
        target: &[u8],
        attributes: &Attributes,
    ) -> Result<(), RootfsError> {
        let place = places::vacant(&self.names(), path)?;
        if target.is_empty() || target.len() > SYMLINK_TARGET_MAX {
            let reason =
                format!("a symlink's target of {} bytes is not of 1 to {SYMLINK_TARGET_MAX}", target.len());
            let path = path.clone();
            return Err(RootfsError::Limit { path, reason, advice: None });
        }
        self.insert(&place, Inode::new(NodeKind::Symlink { target: target.into() }, attributes.clone()))
    }

    fn hard_link(&mut self, existing: &GuestPath, path: &GuestPath) -> Result<(), RootfsError> {
        let (target, place) = places::for_link(&self.names(), existing, path)?;
        let name = place.path.file_name().ok_or(RootfsError::Root)?;
        self.tree.link(place.parent, name, target).map_err(|error| refused(error, path))
    }

    fn mknod(
        &mut self,
        path: &GuestPath,
        kind: &NodeKind,
        attributes: &Attributes,
    ) -> Result<(), RootfsError> {
        let place = places::for_node(&self.names(), path, kind)?;
        self.insert(&place, Inode::new(kind.clone(), attributes.clone()))
    }

    fn remove(&mut self, path: &GuestPath) -> Result<(), RootfsError> {
        let (_, place) = places::for_removal(&self.names(), path)?;
        let name = place.path.file_name().ok_or(RootfsError::Root)?;
        let released = self.tree.remove(place.parent, name);
        self.release(path, released)
    }

    fn rename(&mut self, from: &GuestPath, to: &GuestPath) -> Result<(), RootfsError> {
        let (source, place) = places::for_rename(&self.names(), from, to)?;
        let name = source.path.file_name().ok_or(RootfsError::Root)?;
        let new_name = place.path.file_name().ok_or(RootfsError::Root)?;
        self.tree.rename(source.parent, name, place.parent, new_name).map_err(|error| refused(error, to))
    }

    fn set_attributes(&mut self, path: &GuestPath, change: &AttributeChange) -> Result<(), RootfsError> {
        let id = self.existing(path)?;
        let attributes = self.tree.attributes_mut(id);
        *attributes = change.applied_to(attributes);
        Ok(())
    }

    fn commit(&mut self) -> Result<(), RootfsError> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::memory_store::MemoryStore;

    fn path(text: &str) -> GuestPath {
        GuestPath::parse(text).unwrap()
    }

    #[test]
    fn edits_by_path_and_releases_what_it_replaces() {
        let (mut tree, mut store) = (Tree::new(), MemoryStore::default());
        let mut rootfs = TreeRootfs::new(&mut tree, &mut store);
        let mode = Attributes::with_mode(0o644);
        rootfs.create_dir(&path("/usr"), &Attributes::with_mode(0o755)).unwrap();
        rootfs.create_dir(&path("/usr/lib"), &Attributes::with_mode(0o755)).unwrap();
        rootfs.symlink(&path("/lib"), b"usr/lib", &Attributes::with_mode(0o777)).unwrap();
        rootfs.write_file(&path("/lib/a"), &mut &b"one"[..], &mode).unwrap();
        rootfs.hard_link(&path("/usr/lib/a"), &path("/b")).unwrap();
        rootfs.write_file(&path("/usr/lib/a"), &mut &b"second"[..], &mode).unwrap();
        assert_eq!(rootfs.read(&path("/b")).unwrap(), b"one");
        assert_eq!(rootfs.read(&path("/lib/a")).unwrap(), b"second");
        assert_eq!(rootfs.resolve(&path("/lib")).unwrap(), path("/usr/lib"));
        assert_eq!(rootfs.read_link(&path("/lib")).unwrap(), b"usr/lib");
        assert_eq!(rootfs.stat(&path("/usr")).unwrap().unwrap().nlink, 3);
        rootfs.rename(&path("/usr/lib/a"), &path("/c")).unwrap();
        assert!(matches!(
            rootfs.rename(&path("/usr"), &path("/lib/usr")),
            Err(RootfsError::BelowItself { .. })
        ));
        assert!(rootfs.stat(&path("/usr/lib/a")).unwrap().is_none());
        assert!(rootfs.stat(&path("/no/such")).unwrap().is_none());
        rootfs.remove(&path("/c")).unwrap();
        rootfs.remove(&path("/usr")).unwrap();
        rootfs.write_file(&path("/empty"), &mut &b""[..], &mode).unwrap();
        assert_eq!(rootfs.read(&path("/empty")).unwrap(), b"");
        let change = AttributeChange { uid: Some(7), ..AttributeChange::default() };
        rootfs.set_attributes(&path("/b"), &change).unwrap();
        assert_eq!(rootfs.stat(&path("/b")).unwrap().unwrap().attributes.uid, 7);
        assert_eq!(store.len(), 1, "only /b has content left");
    }

    #[test]
    fn refuses_what_makes_no_sense() {
        let (mut tree, mut store) = (Tree::new(), MemoryStore::default());
        let mut rootfs = TreeRootfs::new(&mut tree, &mut store);
        let mode = Attributes::with_mode(0o644);
        rootfs.create_dir(&path("/d"), &mode).unwrap();
        assert!(matches!(rootfs.remove(&GuestPath::root()), Err(RootfsError::Root)));
        assert!(matches!(rootfs.create_dir(&path("/d"), &mode), Err(RootfsError::AlreadyExists { .. })));
        assert!(matches!(
            rootfs.write_file(&path("/d"), &mut &b"x"[..], &mode),
            Err(RootfsError::IsADirectory { .. })
        ));
        assert!(matches!(rootfs.hard_link(&path("/d"), &path("/e")), Err(RootfsError::IsADirectory { .. })));
        assert!(matches!(rootfs.create_dir(&path("/x/y"), &mode), Err(RootfsError::NotFound { .. })));
        assert!(rootfs.mknod(&path("/n"), &NodeKind::empty_directory(), &mode).is_err());
        for length in [0, SYMLINK_TARGET_MAX + 1] {
            let error = rootfs.symlink(&path("/l"), &vec![b'x'; length], &mode).unwrap_err();
            assert!(matches!(error, RootfsError::Limit { .. }), "{error}");
        }
        rootfs.symlink(&path("/l"), &[b'x'; SYMLINK_TARGET_MAX], &mode).unwrap();
        rootfs.mknod(&path("/n"), &NodeKind::CharDevice { major: 1, minor: 3 }, &mode).unwrap();
        assert_eq!(rootfs.stat(&path("/n")).unwrap().unwrap().device, Some((1, 3)));
        assert!(matches!(rootfs.read(&path("/n")), Err(RootfsError::NotAFile { .. })));
    }
}
