//! What every way of making an ext4 image offers.

use std::fmt;

use banger_tree::{ContentStore, Rootfs, RootfsError, Tree};
use camino::Utf8Path;

use crate::error::Ext4Error;
use crate::options::{Ext4Options, Identity};

/// A way of making ext4 images. Backends differ in speed and in the tools they need, never in
/// what the image means.
pub trait Ext4Backend: fmt::Debug + Send + Sync {
    /// Returns the name that users choose it by: `native`, `e2fsprogs`.
    fn name(&self) -> &'static str;

    /// Starts an image at `path`, which must not exist; its directory must.
    ///
    /// # Errors
    /// The options make no file system, a tool is missing or unfit, or the host refuses.
    fn create(&self, path: &Utf8Path, options: &Ext4Options) -> Result<Box<dyn Ext4Builder>, Ext4Error>;

    /// Opens the finished image at `path`, whoever made it.
    ///
    /// # Errors
    /// It is not an ext4, damaged, not cleanly unmounted, or has what is not known here; a tool is missing or
    /// unfit; or the host refuses.
    fn open(&self, path: &Utf8Path) -> Result<Box<dyn Rootfs>, RootfsError>;
}

/// An image under construction: takes file contents, then the tree that names them.
///
/// Dropped without [`build_ext4`](Self::build_ext4), or when that fails, it removes the file it
/// began.
pub trait Ext4Builder: ContentStore {
    /// Sets UUID, hash seed and time in the place of those that the image was begun with, for
    /// callers that make them of the tree.
    fn set_identity(&mut self, identity: Identity);

    /// Writes the image of `tree`, whose contents are in this store. The file is complete then,
    /// but not yet flushed to the disk.
    ///
    /// # Errors
    /// The tree does not fit, has what ext4 cannot hold, or the host or a tool fails.
    fn build_ext4(self: Box<Self>, tree: &Tree) -> Result<BuildReport, Ext4Error>;
}

/// What was built.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct BuildReport {
    /// Size of the file system, which is the length of the file.
    pub size_bytes: u64,
    /// Bytes not in use: what `--size` leaves for the guest.
    pub free_bytes: u64,
    /// Inodes there are.
    pub inodes: u32,
    /// Inodes in use, the reserved ones among them.
    pub used_inodes: u32,
}
