//! Stores for the bytes of regular files, filled while a tree is made.

use crate::attributes::Xattrs;
use crate::content_error::ContentError;
use crate::content_id::ContentId;

/// Position of a layer in its image, 0 for the base. Injected files, which are written after the layers,
/// count as one more layer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LayerIndex(pub u32);

/// Writes the bytes of regular files to their final place as they stream out of the layers.
///
/// One content is written at a time, from its first byte to its last, holes as holes: [`begin`](Self::begin),
/// any number of [`append`](Self::append) and [`append_hole`](Self::append_hole), [`finish`](Self::finish).
/// Empty contents are never stored: the tree has their size. A store depends only on the order of calls,
/// layer numbers and bytes, so the same calls make the same image.
pub trait ContentStore: Send {
    /// Checks that an inode of the new file system can have `xattrs`, so that the caller can name their
    /// origin in an error. The default accepts all.
    ///
    /// # Errors
    /// [`ContentError::Xattrs`] with the reason.
    fn check_xattrs(&self, _xattrs: &Xattrs) -> Result<(), ContentError> {
        Ok(())
    }

    /// Starts a content of exactly `size_bytes` (at least 1) that comes from `layer`.
    ///
    /// # Errors
    /// The store is full, or the host refuses.
    fn begin(&mut self, layer: LayerIndex, size_bytes: u64) -> Result<ContentId, ContentError>;

    /// Appends `bytes` to the content that was begun last.
    ///
    /// # Errors
    /// More bytes than were announced, or the host refuses.
    fn append(&mut self, id: ContentId, bytes: &[u8]) -> Result<(), ContentError>;

    /// Appends `length_bytes` of zeros without storing them.
    ///
    /// # Errors
    /// As [`append`](Self::append).
    fn append_hole(&mut self, id: ContentId, length_bytes: u64) -> Result<(), ContentError>;

    /// Ends the content that was begun last; from here on it can be read.
    ///
    /// # Errors
    /// Fewer bytes than were announced, or the host refuses.
    fn finish(&mut self, id: ContentId) -> Result<(), ContentError>;

    /// Frees the space of a content, finished or not, that no file names any more.
    ///
    /// # Errors
    /// The host refuses.
    fn release(&mut self, id: ContentId) -> Result<(), ContentError>;

    /// Reads bytes of a finished content from `offset` on into `buffer`; returns the number of bytes, 0 at
    /// the end.
    ///
    /// # Errors
    /// The id is unknown, or the host refuses.
    fn read_at(&self, id: ContentId, offset: u64, buffer: &mut [u8]) -> Result<usize, ContentError>;
}
