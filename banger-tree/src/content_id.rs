//! Numbers of contents.

use std::num::NonZeroU32;

/// Number of one content in a [`ContentStore`](crate::ContentStore). It is never zero, so an `Option` takes
/// no more memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ContentId(pub NonZeroU32);

impl ContentId {
    /// Returns the id of the `index`th content, counted from 0.
    ///
    /// # Panics
    /// At 2^32 - 1 contents. No ext4 file system has so many inodes.
    pub fn from_index(index: usize) -> Self {
        let number = u32::try_from(index).ok().and_then(|index| index.checked_add(1));
        Self(number.and_then(NonZeroU32::new).expect("fewer contents than an ext4 file system has inodes"))
    }

    /// Returns the position counted from 0 that [`ContentId::from_index`] made this of.
    pub fn index(self) -> usize {
        usize::try_from(self.0.get() - 1).expect("usize holds 32 bits on every supported host")
    }
}
