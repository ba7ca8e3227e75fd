//! Where the bytes of regular files go while a tree is made.

use crate::attributes::Xattrs;
use crate::content_error::ContentError;
use crate::content_id::ContentId;

/// Position of a layer in its image, 0 for the base; what is written after the layers (injected
/// files) counts as one more.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LayerIndex(pub u32);

/// Takes the bytes of regular files to their final place as they stream out of the layers.
///
/// One content is written at a time, from its first byte to its last, holes as holes:
/// [`begin`](Self::begin), any number of [`append`](Self::append) and
/// [`append_hole`](Self::append_hole), [`finish`](Self::finish). Contents of zero bytes are never
/// stored: a tree says so by itself. Order of calls, layer numbers and bytes alone decide what a
/// store does, so that the same calls make the same image.
pub trait ContentStore: Send {
    /// Checks that an inode of what is being built can have `xattrs`, so that whoever knows where
    /// they come from can say so; anything goes where the store has no say in that.
    ///
    /// # Errors
    /// [`ContentError::Xattrs`], which says why not.
    fn check_xattrs(&self, _xattrs: &Xattrs) -> Result<(), ContentError> {
        Ok(())
    }

    /// Starts a content of exactly `size_bytes` (at least 1) that comes from `layer`.
    ///
    /// # Errors
    /// There is no room for it, or the host refuses.
    fn begin(&mut self, layer: LayerIndex, size_bytes: u64) -> Result<ContentId, ContentError>;

    /// Adds `bytes` at the end of the content that was begun last.
    ///
    /// # Errors
    /// More bytes than were announced, or the host refuses.
    fn append(&mut self, id: ContentId, bytes: &[u8]) -> Result<(), ContentError>;

    /// Adds `length_bytes` of zeros at the end without storing them.
    ///
    /// # Errors
    /// As [`append`](Self::append).
    fn append_hole(&mut self, id: ContentId, length_bytes: u64) -> Result<(), ContentError>;

    /// Ends the content that was begun last; from here on it can be read.
    ///
    /// # Errors
    /// Fewer bytes than were announced, or the host refuses.
    fn finish(&mut self, id: ContentId) -> Result<(), ContentError>;

    /// Gives back the space of a content, finished or not: nothing names it any more.
    ///
    /// # Errors
    /// The host refuses.
    fn release(&mut self, id: ContentId) -> Result<(), ContentError>;

    /// Reads bytes of a finished content from `offset` on into `buffer`; returns how many, 0 at
    /// its end.
    ///
    /// # Errors
    /// The id is unknown, or the host refuses.
    fn read_at(&self, id: ContentId, offset: u64, buffer: &mut [u8]) -> Result<usize, ContentError>;
}
