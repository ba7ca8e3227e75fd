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
mod numbering;
mod space;
mod store;
#[cfg(test)]
mod tests;
mod writeback;
mod writer;
pub(crate) mod xattrs;

use banger_tree::{Rootfs, RootfsError};
use camino::Utf8Path;

use crate::backend::{Ext4Backend, Ext4Builder};
use crate::editor::Ext4Editor;
use crate::error::Ext4Error;
use crate::options::Ext4Options;

/// Writes images itself: the default, and the fast one.
#[derive(Clone, Copy, Debug, Default)]
pub struct NativeBackend;

impl Ext4Backend for NativeBackend {
    fn name(&self) -> &'static str {
        "native"
    }

    fn create(&self, path: &Utf8Path, options: &Ext4Options) -> Result<Box<dyn Ext4Builder>, Ext4Error> {
        Ok(Box::new(store::ImageStore::create(path, options)?))
    }

    fn open(&self, path: &Utf8Path) -> Result<Box<dyn Rootfs>, RootfsError> {
        Ok(Box::new(Ext4Editor::open(path)?))
    }
}
