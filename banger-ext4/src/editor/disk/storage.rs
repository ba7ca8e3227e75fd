//! What an image lies on.

use std::fmt;
use std::io;

/// What an image lies on: bytes by offset, and a way to make them last.
///
/// All changes of a commit are made in an order that is safe if everything written before a
/// [`sync`](Self::sync) is on the disk when it returns, whatever else is lost.
pub trait Storage: fmt::Debug + Send {
    /// Returns how many bytes there are.
    ///
    /// # Errors
    /// The host refuses.
    fn size_bytes(&self) -> io::Result<u64>;

    /// Fills `buffer` with the bytes from `offset` on.
    ///
    /// # Errors
    /// The host refuses, or there are fewer bytes.
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

    /// Makes the number of bytes `size_bytes`; new ones are zero and take no space. Asked for only
    /// where a file system is to grow beyond the end, and to take that back.
    ///
    /// # Errors
    /// The host refuses, or the size is fixed.
    fn set_size(&mut self, _size_bytes: u64) -> io::Result<()> {
        Err(io::Error::new(io::ErrorKind::Unsupported, "it has a fixed size"))
    }

    /// Returns the first offset from `offset` on where there may be other bytes than zeros, or
    /// `u64::MAX`.
    ///
    /// # Errors
    /// The host refuses.
    fn next_data(&self, offset: u64) -> io::Result<u64> {
        Ok(offset)
    }

    /// Lets the host have the space of bytes that nobody needs any more: they read as zeros then, or
    /// stay as they are. Asked for only when a commit is on the disk.
    ///
    /// # Errors
    /// The host refuses, which harms nobody.
    fn punch_hole(&mut self, _offset: u64, _length: u64) -> io::Result<()> {
        Ok(())
    }

    /// Returns another program that has the image open, if one is seen. Asked for where the image
    /// was not unmounted: a machine may be running on it.
    fn other_user(&self) -> Option<String> {
        None
    }

    /// Makes sure that no other disk has the image open, before the first write.
    ///
    /// # Errors
    /// One has, or the host refuses.
    fn lock(&mut self) -> io::Result<()> {
        Ok(())
    }
}
