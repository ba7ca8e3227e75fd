//! Contents of a tree's files, copied from one store to another.

use crate::cancellation::Cancellation;
use crate::content::{ContentStore, LayerIndex};
use crate::content_error::ContentError;
use crate::content_id::ContentId;
use crate::kind::NodeKind;
use crate::tree::Tree;

/// Bytes of one read; whole blocks.
const BUFFER_LEN: usize = 256 * 1024;
/// Zeros that fill a whole block become a hole.
const BLOCK_LEN: usize = 4096;

impl Tree {
    /// Copies the contents of all files from `from` to `to`; the tree then names the copies. So the builder
    /// of any store can write a tree that was made with another store.
    ///
    /// Contents are copied in the order of their ids in `from`, one copy a file. A block of 4 KiB that is
    /// all zeros becomes a hole. `from` keeps its contents.
    ///
    /// # Errors
    /// A store fails, `to` refuses extended attributes, or the caller asked to stop. Then the tree is
    /// unchanged, and `to` has contents that no file names.
    pub fn copy_contents(
        &mut self,
        from: &dyn ContentStore,
        to: &mut dyn ContentStore,
        cancellation: &Cancellation,
    ) -> Result<(), ContentError> {
        let mut files = Vec::new();
        for (id, inode) in self.inodes() {
            to.check_xattrs(&inode.attributes.xattrs)?;
            if let NodeKind::Regular { size_bytes, content: Some(content) } = inode.kind {
                files.push((content, id, size_bytes));
            }
        }
        files.sort_unstable_by_key(|(content, id, _)| (*content, *id));
        let mut buffer = vec![0; BUFFER_LEN];
        let mut copies = Vec::with_capacity(files.len());
        for (content, id, size_bytes) in files {
            let copy = to.begin(LayerIndex(0), size_bytes)?;
            let mut done_bytes = 0;
            while done_bytes < size_bytes {
                if cancellation.is_cancelled() {
                    return Err(ContentError::Cancelled);
                }
                let left = usize::try_from(size_bytes - done_bytes).unwrap_or(BUFFER_LEN);
                let bytes = &mut buffer[..left.min(BUFFER_LEN)];
                read_exactly(from, content, done_bytes, bytes, size_bytes)?;
                append(to, copy, bytes)?;
                done_bytes += bytes.len() as u64;
            }
            to.finish(copy)?;
            copies.push((id, copy));
        }
        for (id, copy) in copies {
            self.rename_content(id, copy);
        }
        Ok(())
    }
}

fn read_exactly(
    from: &dyn ContentStore,
    content: ContentId,
    offset: u64,
    bytes: &mut [u8],
    declared_bytes: u64,
) -> Result<(), ContentError> {
    let mut filled = 0;
    while filled < bytes.len() {
        let written_bytes = offset + filled as u64;
        match from.read_at(content, written_bytes, &mut bytes[filled..])? {
            0 => return Err(ContentError::WrongLength { declared_bytes, written_bytes }),
            count => filled += count,
        }
    }
    Ok(())
}

/// Appends `bytes`, whole blocks of zeros as holes.
fn append(to: &mut dyn ContentStore, copy: ContentId, bytes: &[u8]) -> Result<(), ContentError> {
    let is_hole = |block: &[u8]| block.len() == BLOCK_LEN && block.iter().all(|byte| *byte == 0);
    let mut rest = bytes;
    while let Some(first) = rest.chunks(BLOCK_LEN).next() {
        let hole = is_hole(first);
        let same = rest.chunks(BLOCK_LEN).take_while(|block| is_hole(block) == hole);
        let (run, behind) = rest.split_at(same.map(<[u8]>::len).sum());
        match hole {
            true => to.append_hole(copy, run.len() as u64)?,
            false => to.append(copy, run)?,
        }
        rest = behind;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::attributes::Attributes;
    use crate::inode::Inode;
    use crate::memory_store::MemoryStore;

    /// A store that reads few bytes at a time, and counts the bytes of holes that it gets.
    #[derive(Default)]
    struct Slow {
        inner: MemoryStore,
        hole_bytes: u64,
    }

    impl ContentStore for Slow {
        fn begin(&mut self, layer: LayerIndex, size_bytes: u64) -> Result<ContentId, ContentError> {
            self.inner.begin(layer, size_bytes)
        }
        fn append(&mut self, id: ContentId, bytes: &[u8]) -> Result<(), ContentError> {
            self.inner.append(id, bytes)
        }
        fn append_hole(&mut self, id: ContentId, length_bytes: u64) -> Result<(), ContentError> {
            self.hole_bytes += length_bytes;
            self.inner.append_hole(id, length_bytes)
        }
        fn finish(&mut self, id: ContentId) -> Result<(), ContentError> {
            self.inner.finish(id)
        }
        fn release(&mut self, id: ContentId) -> Result<(), ContentError> {
            self.inner.release(id)
        }
        fn read_at(&self, id: ContentId, offset: u64, buffer: &mut [u8]) -> Result<usize, ContentError> {
            let most = buffer.len().min(1009);
            self.inner.read_at(id, offset, &mut buffer[..most])
        }
    }

    fn content_of(tree: &Tree, name: &[u8]) -> (u64, Option<ContentId>) {
        let id = tree.child(tree.root(), name).unwrap();
        match tree.inode(id).kind {
            NodeKind::Regular { size_bytes, content } => (size_bytes, content),
            _ => panic!("a file"),
        }
    }

    #[test]
    fn an_own_store_is_copied_to_another_one() {
        let (mut tree, mut from) = (Tree::new(), Slow::default());
        let root = tree.root();
        let mut long = vec![7; BUFFER_LEN + 3 * BLOCK_LEN + 1];
        long[BLOCK_LEN..3 * BLOCK_LEN].fill(0);
        let files: [(&[u8], Vec<u8>); 3] =
            [(b"z", b"first".to_vec()), (b"a", long), (b"zeros", vec![0; 100])];
        // An id that is released leaves a gap.
        let gap = from.begin(LayerIndex(0), 1).unwrap();
        from.release(gap).unwrap();
        for (name, bytes) in &files {
            let content = from.begin(LayerIndex(0), bytes.len() as u64).unwrap();
            from.append(content, bytes).unwrap();
            from.finish(content).unwrap();
            let kind = NodeKind::Regular { size_bytes: bytes.len() as u64, content: Some(content) };
            tree.insert(root, name, Inode::new(kind, Attributes::default())).unwrap();
        }
        let empty = NodeKind::Regular { size_bytes: 0, content: None };
        tree.insert(root, b"empty", Inode::new(empty, Attributes::default())).unwrap();
        let linked = tree.child(root, b"a").unwrap();
        tree.link(root, b"link", linked).unwrap();

        let stopped = Cancellation::new();
        stopped.cancel();
        let before: Vec<_> = files.iter().map(|(name, _)| content_of(&tree, name)).collect();
        let refused = tree.copy_contents(&from, &mut MemoryStore::default(), &stopped);
        assert!(matches!(refused, Err(ContentError::Cancelled)));
        assert_eq!(files.iter().map(|(name, _)| content_of(&tree, name)).collect::<Vec<_>>(), before);

        let mut to = Slow::default();
        tree.copy_contents(&from, &mut to, &Cancellation::new()).unwrap();
        assert_eq!(to.hole_bytes, 2 * BLOCK_LEN as u64);
        for (index, (name, bytes)) in files.iter().enumerate() {
            let (size_bytes, content) = content_of(&tree, name);
            assert_eq!((size_bytes, content), (bytes.len() as u64, Some(ContentId::from_index(index))));
            let mut found = vec![1; bytes.len()];
            read_exactly(&to, content.unwrap(), 0, &mut found, size_bytes).unwrap();
            assert!(found == *bytes);
        }
        assert_eq!(content_of(&tree, b"link"), content_of(&tree, b"a"));
    }
}
