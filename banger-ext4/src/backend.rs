//! The interface of all backends that make ext4 images.

use std::fmt;

use banger_tree::{ContentStore, Rootfs, RootfsError, Tree};
use camino::Utf8Path;

use crate::error::Ext4Error;
use crate::options::{Ext4Options, Identity};

/// A way of making ext4 images. Backends differ in speed and in the tools that they need, but never in the
/// content of the image.
pub trait Ext4Backend: fmt::Debug + Send + Sync {
    /// Returns the name that users choose it by: `native`, `e2fsprogs`.
    fn name(&self) -> &'static str;

    /// Starts an image at `path`, which must not exist; its directory must.
    ///
    /// # Errors
    /// The options make no file system, a tool is missing or unfit, or the host refuses.
    fn create(&self, path: &Utf8Path, options: &Ext4Options) -> Result<Box<dyn Ext4Builder>, Ext4Error>;

    /// Opens the finished image at `path`, made by any program.
    ///
    /// # Errors
    /// The image is not ext4, is damaged, was not cleanly unmounted or has an unknown feature; a tool is
    /// missing or unfit; or the host refuses.
    fn open(&self, path: &Utf8Path) -> Result<Box<dyn Rootfs>, RootfsError>;
}

/// An image under construction: takes file contents, then the tree that names them.
///
/// Dropped without [`build_ext4`](Self::build_ext4), or when that fails, it removes the file it
/// began.
pub trait Ext4Builder: ContentStore {
    /// Replaces UUID, hash seed and time of the options, for callers that make them from the tree.
    fn set_identity(&mut self, identity: Identity);

    /// Writes the image of `tree`, whose contents are in this store. The file is complete then,
    /// but not yet flushed to the disk.
    ///
    /// # Errors
    /// The tree does not fit, ext4 cannot hold a part of it, or the host or a tool fails.
    fn build_ext4(self: Box<Self>, tree: &Tree) -> Result<BuildReport, Ext4Error>;
}

/// Facts about a finished image.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct BuildReport {
    /// Size of the file system, which is the length of the file.
    pub size_bytes: u64,
    /// Unused bytes, which are left for the guest.
    pub free_bytes: u64,
    /// Number of inodes.
    pub inodes: u32,
    /// Inodes in use, including the reserved ones.
    pub used_inodes: u32,
}
