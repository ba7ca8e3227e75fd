//! A content store in memory.

use std::collections::BTreeMap;

use crate::content::{ContentStore, LayerIndex};
use crate::content_error::ContentError;
use crate::content_id::ContentId;

/// Keeps contents in memory, for tests and for trees of a few small files.
#[derive(Debug, Default)]
pub struct MemoryStore {
    contents: BTreeMap<ContentId, Content>,
    begun: usize,
}

#[derive(Debug)]
struct Content {
    declared_bytes: u64,
    bytes: Vec<u8>,
    finished: bool,
}

impl MemoryStore {
    /// Returns the number of contents that were begun and not released.
    pub fn len(&self) -> usize {
        self.contents.len()
    }

    /// Returns whether the store is empty.
    pub fn is_empty(&self) -> bool {
        self.contents.is_empty()
    }

    fn content(&mut self, id: ContentId) -> Result<&mut Content, ContentError> {
        self.contents.get_mut(&id).ok_or(ContentError::Unknown { id })
    }
}

impl Content {
    fn grow(&mut self, length_bytes: u64) -> Result<usize, ContentError> {
        let written_bytes = (self.bytes.len() as u64).saturating_add(length_bytes);
        if written_bytes > self.declared_bytes {
            return Err(ContentError::WrongLength { declared_bytes: self.declared_bytes, written_bytes });
        }
        usize::try_from(written_bytes).map_err(|_| ContentError::NoSpace {
            store: "memory".to_owned(),
            needed_bytes: length_bytes,
            advice: None,
        })
    }
}

impl ContentStore for MemoryStore {
    fn begin(&mut self, _layer: LayerIndex, size_bytes: u64) -> Result<ContentId, ContentError> {
        let id = ContentId::from_index(self.begun);
        self.begun += 1;
        self.contents.insert(id, Content { declared_bytes: size_bytes, bytes: Vec::new(), finished: false });
        Ok(id)
    }

    fn append(&mut self, id: ContentId, bytes: &[u8]) -> Result<(), ContentError> {
        let content = self.content(id)?;
        content.grow(bytes.len() as u64)?;
        content.bytes.extend_from_slice(bytes);
        Ok(())
    }

    fn append_hole(&mut self, id: ContentId, length_bytes: u64) -> Result<(), ContentError> {
        let content = self.content(id)?;
        let length = content.grow(length_bytes)?;
        content.bytes.resize(length, 0);
        Ok(())
    }

    fn finish(&mut self, id: ContentId) -> Result<(), ContentError> {
        let content = self.content(id)?;
        let (declared_bytes, written_bytes) = (content.declared_bytes, content.bytes.len() as u64);
        if declared_bytes != written_bytes {
            return Err(ContentError::WrongLength { declared_bytes, written_bytes });
        }
        content.finished = true;
        Ok(())
    }

    fn release(&mut self, id: ContentId) -> Result<(), ContentError> {
        self.contents.remove(&id).map(drop).ok_or(ContentError::Unknown { id })
    }

    fn read_at(&self, id: ContentId, offset: u64, buffer: &mut [u8]) -> Result<usize, ContentError> {
        let content =
            self.contents.get(&id).filter(|content| content.finished).ok_or(ContentError::Unknown { id })?;
        let start = usize::try_from(offset).unwrap_or(usize::MAX).min(content.bytes.len());
        let length = buffer.len().min(content.bytes.len() - start);
        buffer[..length].copy_from_slice(&content.bytes[start..start + length]);
        Ok(length)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn holds_what_was_announced_and_nothing_else() {
        let mut store = MemoryStore::default();
        let id = store.begin(LayerIndex(0), 8).unwrap();
        store.append(id, b"abc").unwrap();
        assert!(matches!(
            store.finish(id),
            Err(ContentError::WrongLength { declared_bytes: 8, written_bytes: 3 })
        ));
        store.append_hole(id, 4).unwrap();
        assert!(store.append(id, b"de").is_err());
        store.append(id, b"d").unwrap();
        let mut buffer = [9; 16];
        assert!(store.read_at(id, 0, &mut buffer).is_err());
        store.finish(id).unwrap();
        assert_eq!(store.read_at(id, 2, &mut buffer).unwrap(), 6);
        assert_eq!(&buffer[..6], b"c\0\0\0\0d");
        assert_eq!(store.read_at(id, 8, &mut buffer).unwrap(), 0);
        store.release(id).unwrap();
        assert!(store.is_empty() && store.release(id).is_err());
    }
}
