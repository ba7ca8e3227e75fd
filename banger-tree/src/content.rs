//! Where the bytes of regular files go while a tree is made.

use std::num::NonZeroU32;

use crate::attributes::Xattrs;

/// Number of one file's bytes in a [`ContentStore`]; never zero, so that an `Option` is as small.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ContentId(pub NonZeroU32);

impl ContentId {
    /// Returns the id of the `index`th content, counted from 0.
    ///
    /// # Panics
    /// At 2^32 - 1 contents, which no ext4 file system has inodes for.
    pub fn from_index(index: usize) -> Self {
        let number = u32::try_from(index).ok().and_then(|index| index.checked_add(1));
        Self(number.and_then(NonZeroU32::new).expect("fewer contents than an ext4 file system has inodes"))
    }

    /// Returns the position counted from 0 that [`ContentId::from_index`] made this of.
    pub fn index(self) -> usize {
        usize::try_from(self.0.get() - 1).expect("usize holds 32 bits on every supported host")
    }
}

/// Position of a layer in its image, 0 for the base; what is written after the layers (injected
/// files) counts as one more.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LayerIndex(pub u32);

/// Why a store could not take or give bytes.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ContentError {
    /// The file system being built, or the disk under the store, is full.
    #[error("no space left for {needed_bytes} more bytes of file content in {store}")]
    NoSpace {
        /// What is full: a path of the host or "the image".
        store: String,
        /// Bytes that did not fit.
        needed_bytes: u64,
    },
    /// More or fewer bytes came than the file was begun with.
    #[error("file content of {declared_bytes} bytes got {written_bytes}")]
    WrongLength {
        /// Length given to [`ContentStore::begin`].
        declared_bytes: u64,
        /// Bytes appended.
        written_bytes: u64,
    },
    /// An id that is unknown, released, or not yet finished.
    #[error("content {} is not readable here", .id.0)]
    Unknown {
        /// The id asked for.
        id: ContentId,
    },
    /// What is being built has no room for the extended attributes of one inode.
    #[error("{reason}")]
    Xattrs {
        /// Which limit, with numbers.
        reason: String,
    },
    /// The host failed to read or write.
    #[error("cannot {action} {store}: {source}")]
    Io {
        /// What was tried, as a verb: "write", "read".
        action: &'static str,
        /// The file it was tried on.
        store: String,
        /// The host's error.
        source: std::io::Error,
    },
}

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
