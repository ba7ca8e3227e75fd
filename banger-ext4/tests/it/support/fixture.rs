//! Trees to build, with the bytes of their files.

use std::collections::BTreeMap;

use banger_tree::{
    Attributes, ContentId, ContentStore, GuestPath, Inode, InodeId, LayerIndex, MemoryStore, NodeKind,
    Timestamp, Tree,
};

/// A tree with its contents in memory.
#[derive(Debug, Default)]
pub(crate) struct Fixture {
    pub(crate) tree: Tree,
    pub(crate) store: MemoryStore,
}

/// Attributes as images have them: a mode, owned by root, of a time that is not 0.
pub(crate) fn mode(mode: u16) -> Attributes {
    Attributes { mtime: Timestamp::from_seconds(1_600_000_000), ..Attributes::with_mode(mode) }
}

impl Fixture {
    /// Adds `kind` at `path`, whose parents exist; returns its inode.
    pub(crate) fn add(&mut self, path: impl AsRef<[u8]>, kind: NodeKind, attributes: Attributes) -> InodeId {
        let (dir, name) = self.place(path.as_ref());
        self.tree.insert(dir, &name, Inode::new(kind, attributes)).unwrap()
    }

    pub(crate) fn dir(&mut self, path: impl AsRef<[u8]>) -> InodeId {
        self.add(path, NodeKind::empty_directory(), mode(0o755))
    }

    pub(crate) fn file(&mut self, path: impl AsRef<[u8]>, bytes: &[u8]) -> InodeId {
        self.file_with(path, bytes, mode(0o644))
    }

    pub(crate) fn file_with(
        &mut self,
        path: impl AsRef<[u8]>,
        bytes: &[u8],
        attributes: Attributes,
    ) -> InodeId {
        let content = self.content(&[(0, bytes)], bytes.len() as u64);
        self.add(path, NodeKind::Regular { size_bytes: bytes.len() as u64, content }, attributes)
    }

    pub(crate) fn symlink(&mut self, path: impl AsRef<[u8]>, target: &[u8]) -> InodeId {
        self.add(path, NodeKind::Symlink { target: target.into() }, mode(0o777))
    }

    /// Adds one more name for `target`.
    pub(crate) fn link(&mut self, path: impl AsRef<[u8]>, target: InodeId) {
        let (dir, name) = self.place(path.as_ref());
        self.tree.link(dir, &name, target).unwrap();
    }

    /// Returns a content of `size_bytes` with `pieces` at their offsets and holes elsewhere.
    pub(crate) fn content(&mut self, pieces: &[(u64, &[u8])], size_bytes: u64) -> Option<ContentId> {
        if size_bytes == 0 {
            return None;
        }
        let id = self.store.begin(LayerIndex(0), size_bytes).unwrap();
        let mut at = 0;
        for (offset, bytes) in pieces {
            self.store.append_hole(id, offset - at).unwrap();
            self.store.append(id, bytes).unwrap();
            at = offset + bytes.len() as u64;
        }
        self.store.append_hole(id, size_bytes - at).unwrap();
        self.store.finish(id).unwrap();
        Some(id)
    }

    /// Returns the same tree with its contents copied into `store`, runs of zero blocks as holes.
    pub(crate) fn transplanted(&self, store: &mut dyn ContentStore) -> Tree {
        let mut copy = Tree::new();
        *copy.attributes_mut(copy.root()) = self.tree.inode(self.tree.root()).attributes.clone();
        let mut copies = BTreeMap::from([(self.tree.root(), copy.root())]);
        for (path, id) in self.tree.walk().skip(1) {
            let name = path.file_name().unwrap();
            let parent = self.tree.resolve(&path.parent().unwrap(), false).unwrap().node.unwrap();
            if let Some(known) = copies.get(&id) {
                copy.link(copies[&parent], name, *known).unwrap();
                continue;
            }
            let inode = self.tree.inode(id);
            let kind = match &inode.kind {
                NodeKind::Directory { .. } => NodeKind::empty_directory(),
                NodeKind::Regular { size_bytes, content: Some(content) } => {
                    let content = Some(copy_content(&self.store, *content, *size_bytes, store));
                    NodeKind::Regular { size_bytes: *size_bytes, content }
                }
                other => other.clone(),
            };
            let inode = Inode::new(kind, inode.attributes.clone());
            copies.insert(id, copy.insert(copies[&parent], name, inode).unwrap());
        }
        copy
    }

    fn place(&self, path: &[u8]) -> (InodeId, Vec<u8>) {
        let path = GuestPath::parse(path).unwrap();
        let parent = self.tree.resolve(&path.parent().unwrap(), false).unwrap();
        (parent.node.expect("the parent exists"), path.file_name().unwrap().to_vec())
    }
}

fn copy_content(
    from: &dyn ContentStore,
    id: ContentId,
    size_bytes: u64,
    to: &mut dyn ContentStore,
) -> ContentId {
    let copy = to.begin(LayerIndex(0), size_bytes).unwrap();
    let (mut buffer, mut offset) = (vec![0; 1 << 16], 0);
    loop {
        let length = from.read_at(id, offset, &mut buffer).unwrap();
        match &buffer[..length] {
            [] => break,
            bytes if bytes.iter().all(|byte| *byte == 0) => to.append_hole(copy, length as u64).unwrap(),
            bytes => to.append(copy, bytes).unwrap(),
        }
        offset += length as u64;
    }
    to.finish(copy).unwrap();
    copy
}
