//! The storage of an image.

use std::fmt;
use std::io;

/// The storage of an image: bytes by offset, and a flush.
///
/// A commit is safe if everything written before a [`sync`](Self::sync) is on the disk when the call returns.
/// Later writes may be lost.
pub trait Storage: fmt::Debug + Send {
    /// Returns the size in bytes.
    ///
    /// # Errors
    /// The host refuses.
    fn size_bytes(&self) -> io::Result<u64>;

    /// Fills `buffer` with the bytes from `offset` on.
    ///
    /// # Errors
    /// The host refuses, or the storage is shorter.
    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<()>;

    /// Writes `bytes` at `offset`, never beyond the end.
    ///
    /// # Errors
    /// The host refuses.
    fn write_at(&mut self, offset: u64, bytes: &[u8]) -> io::Result<()>;

    /// Returns when everything written is on the disk.
    ///
    /// # Errors
    /// The host refuses.
    fn sync(&mut self) -> io::Result<()>;

    /// Sets the size to `size_bytes`; new bytes are zero and take no space. Called to grow a file system beyond the
    /// end, to undo that, and when a file system has become smaller.
    ///
    /// # Errors
    /// The host refuses, or the size is fixed.
    fn set_size(&mut self, _size_bytes: u64) -> io::Result<()> {
        Err(io::Error::new(io::ErrorKind::Unsupported, "it has a fixed size"))
    }

    /// Returns the first offset from `offset` on that may have bytes other than zeros, or `u64::MAX`.
    ///
    /// # Errors
    /// The host refuses.
    fn next_data(&self, offset: u64) -> io::Result<u64> {
        Ok(offset)
    }

    /// Frees the space of unused bytes on the host. They may read as zeros afterwards or stay unchanged.
    /// Called only when a commit is on the disk.
    ///
    /// # Errors
    /// The host refuses, which does no harm.
    fn punch_hole(&mut self, _offset: u64, _length: u64) -> io::Result<()> {
        Ok(())
    }

    /// Returns another program that has the image open, if one is visible. Called if the image was not
    /// unmounted: a machine may be running on it.
    fn other_user(&self) -> Option<String> {
        None
    }

    /// Returns whether nobody else knows the image, and the caller throws it away if a commit fails: then a commit
    /// needs no journal.
    fn is_unpublished(&self) -> bool {
        false
    }

    /// Makes sure that no other disk has the image open, before the first write.
    ///
    /// # Errors
    /// One has, or the host refuses.
    fn lock(&mut self) -> io::Result<()> {
        Ok(())
    }
}
