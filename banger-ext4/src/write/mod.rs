//! The native backend: writes the image itself, in one pass, with no tools.
//!
//! The image under construction is the [`ContentStore`](banger_tree::ContentStore): file bytes go
//! to their final blocks as they come ([`store`]). When the tree is final, all else is placed
//! around and after them ([`build`]). `docs/ext4.md` draws the result.

mod build;
mod directory;
mod extents;
pub(crate) mod file;
mod finish;
mod free;
mod inode_table;
mod layout;
mod lent;
mod mapped_run;
mod new_inode;
mod numbering;
mod output;
mod space;
mod store;
#[cfg(test)]
mod tests;
mod writeback;
mod writer;
pub(crate) mod xattrs;

use std::fs::File;

use banger_tree::{Rootfs, RootfsError, Tree};
use camino::Utf8Path;

use crate::backend::{BuildReport, Ext4Backend, Ext4Builder};
use crate::editor::Ext4Editor;
use crate::error::Ext4Error;
use crate::options::{Ext4Options, Identity};
use file::ImageFile;
pub use lent::{clear, device_bytes, empty_lent_file};
use store::ImageStore;

/// Version of the bytes that the native backend makes of a tree. Releases with the same version write the same file for
/// the same image; the number grows with each change of the placement or of the metadata.
pub const LAYOUT_VERSION: u32 = 1;

/// Writes images itself: the default backend, and the fast one.
#[derive(Clone, Copy, Debug, Default)]
pub struct NativeBackend;

impl NativeBackend {
    /// Starts an image in an open file of the caller: a regular file, which is emptied first, or a block device,
    /// which must be as large as the file system. The file must be open for reading and writing at any place.
    /// Its position stays as it is. `path` names it in errors.
    ///
    /// Dropped without [`build_ext4`](Ext4Builder::build_ext4), or when that fails, the builder empties the
    /// regular file, and clears the first block of the device.
    ///
    /// # Errors
    /// As [`create`](Ext4Backend::create), or the file cannot be emptied.
    pub fn create_in_file(
        &self,
        file: File,
        path: &Utf8Path,
        options: &Ext4Options,
    ) -> Result<Box<dyn Ext4Builder>, Ext4Error> {
        Ok(Box::new(ImageStore::create(options, || ImageFile::lent(file, path, options.writer_thread))?))
    }
}

impl Ext4Backend for NativeBackend {
    fn name(&self) -> &'static str {
        "native"
    }

    fn create(&self, path: &Utf8Path, options: &Ext4Options) -> Result<Box<dyn Ext4Builder>, Ext4Error> {
        Ok(Box::new(ImageStore::create(options, || ImageFile::create(path, options.writer_thread))?))
    }

    fn open(&self, path: &Utf8Path) -> Result<Box<dyn Rootfs>, RootfsError> {
        Ok(Box::new(Ext4Editor::open(path)?))
    }
}

impl Ext4Builder for ImageStore {
    fn set_identity(&mut self, identity: Identity) {
        self.options.set_identity(identity);
    }

    fn build_ext4(mut self: Box<Self>, tree: &Tree) -> Result<BuildReport, Ext4Error> {
        self.close();
        build::build(&mut self, tree)
    }
}
