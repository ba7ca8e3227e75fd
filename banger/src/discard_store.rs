//! A content store that keeps nothing: for trees whose files nobody reads.

use banger_tree::{ContentError, ContentId, ContentStore, LayerIndex};

/// Takes all bytes and forgets them.
#[derive(Debug, Default)]
pub(crate) struct DiscardStore {
    begun: usize,
}

impl ContentStore for DiscardStore {
    fn begin(&mut self, _layer: LayerIndex, _size_bytes: u64) -> Result<ContentId, ContentError> {
        let id = ContentId::from_index(self.begun);
        self.begun += 1;
        Ok(id)
    }

    fn append(&mut self, _id: ContentId, _bytes: &[u8]) -> Result<(), ContentError> {
        Ok(())
    }

    fn append_hole(&mut self, _id: ContentId, _length_bytes: u64) -> Result<(), ContentError> {
        Ok(())
    }

    fn finish(&mut self, _id: ContentId) -> Result<(), ContentError> {
        Ok(())
    }

    fn release(&mut self, _id: ContentId) -> Result<(), ContentError> {
        Ok(())
    }

    fn read_at(&self, id: ContentId, _offset: u64, _buffer: &mut [u8]) -> Result<usize, ContentError> {
        Err(ContentError::Unknown { id })
    }
}
