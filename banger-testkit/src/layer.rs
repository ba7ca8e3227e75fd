//! Layers written byte by byte.

use crate::entry::{BLOCK_BYTES, Entry, extension, gnu_long};
use crate::sparse::{SparseFile, SparseFormat};

/// Builds a layer tar out of entries and raw bytes, in the order they are given.
///
/// ```
/// use banger_testkit::{Entry, LayerBuilder};
///
/// let tar = LayerBuilder::new()
///     .dir("etc")
///     .file("etc/hostname", "guest\n")
///     .entry(Entry::file("bin/ping", "…").mode(0o4755).xattr("user.origin", "test"))
///     .whiteout("etc/motd")
///     .finish();
/// assert_eq!(tar.len() % 512, 0);
/// ```
#[derive(Debug, Clone, Default)]
pub struct LayerBuilder {
    bytes: Vec<u8>,
}

impl LayerBuilder {
    /// A layer without entries.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds an entry.
    #[must_use]
    pub fn entry(self, entry: Entry) -> Self {
        self.raw(entry.encode())
    }

    /// Adds bytes as they are.
    #[must_use]
    pub fn raw(mut self, bytes: impl AsRef<[u8]>) -> Self {
        self.bytes.extend(bytes.as_ref());
        self
    }

    /// Adds a regular file, mode 0644.
    #[must_use]
    pub fn file(self, path: impl AsRef<[u8]>, content: impl AsRef<[u8]>) -> Self {
        self.entry(Entry::file(path, content))
    }

    /// Adds a directory, mode 0755.
    #[must_use]
    pub fn dir(self, path: impl AsRef<[u8]>) -> Self {
        self.entry(Entry::dir(path))
    }

    /// Adds a symlink.
    #[must_use]
    pub fn symlink(self, path: impl AsRef<[u8]>, target: impl AsRef<[u8]>) -> Self {
        self.entry(Entry::symlink(path, target))
    }

    /// Adds a hard link to `target`.
    #[must_use]
    pub fn hardlink(self, path: impl AsRef<[u8]>, target: impl AsRef<[u8]>) -> Self {
        self.entry(Entry::hardlink(path, target))
    }

    /// Adds a character device.
    #[must_use]
    pub fn char_device(self, path: impl AsRef<[u8]>, major: u64, minor: u64) -> Self {
        self.entry(Entry::char_device(path, major, minor))
    }

    /// Adds a block device.
    #[must_use]
    pub fn block_device(self, path: impl AsRef<[u8]>, major: u64, minor: u64) -> Self {
        self.entry(Entry::block_device(path, major, minor))
    }

    /// Adds a FIFO.
    #[must_use]
    pub fn fifo(self, path: impl AsRef<[u8]>) -> Self {
        self.entry(Entry::fifo(path))
    }

    /// Adds the whiteout of `path`.
    #[must_use]
    pub fn whiteout(self, path: impl AsRef<[u8]>) -> Self {
        self.entry(Entry::whiteout(path))
    }

    /// Adds the opaque marker of the directory `path` (empty: the root).
    #[must_use]
    pub fn opaque(self, path: impl AsRef<[u8]>) -> Self {
        self.entry(Entry::opaque(path))
    }

    /// Adds a sparse file.
    #[must_use]
    pub fn sparse(self, path: impl AsRef<[u8]>, format: SparseFormat, file: &SparseFile) -> Self {
        let bytes = file.encode(path.as_ref(), format);
        self.raw(bytes)
    }

    /// Adds a PAX extended header (`x`) of `records`, for the entry after it.
    #[must_use]
    pub fn pax_header(self, records: impl AsRef<[u8]>) -> Self {
        self.raw(extension(b'x', b"PaxHeaders/entry", records.as_ref()))
    }

    /// Adds a global PAX header (`g`) of `records`.
    #[must_use]
    pub fn global_pax_header(self, records: impl AsRef<[u8]>) -> Self {
        self.raw(extension(b'g', b"pax_global_header", records.as_ref()))
    }

    /// Adds GNU's long name (`L`), for the entry after it.
    #[must_use]
    pub fn gnu_long_name(self, name: impl AsRef<[u8]>) -> Self {
        self.raw(gnu_long(b'L', name.as_ref()))
    }

    /// Adds GNU's long link target (`K`), for the entry after it.
    #[must_use]
    pub fn gnu_long_link(self, target: impl AsRef<[u8]>) -> Self {
        self.raw(gnu_long(b'K', target.as_ref()))
    }

    /// The tar with its two end blocks.
    #[must_use]
    pub fn finish(self) -> Vec<u8> {
        self.finish_with([])
    }

    /// The tar with its end blocks and `trailer` behind them.
    #[must_use]
    pub fn finish_with(self, trailer: impl AsRef<[u8]>) -> Vec<u8> {
        self.raw([0; 2 * BLOCK_BYTES]).raw(trailer).bytes
    }

    /// The bytes so far, without end blocks; cut them for a truncated tar.
    #[must_use]
    pub fn unfinished(self) -> Vec<u8> {
        self.bytes
    }
}
