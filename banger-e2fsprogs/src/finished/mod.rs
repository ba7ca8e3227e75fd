//! Edits finished images with debugfs: the reference that the native editor is held to.
//!
//! The names and inodes of the image are read into a [`Tree`], and edits change the tree. Bytes of new files
//! wait in a scratch directory. A commit copies the image and shares its blocks if the host can. debugfs then
//! makes the copy equal to the tree, and e2fsck repairs links and indexes of directories. At the end the
//! commit reads everything back and renames the copy over the image.

mod commit;
mod contents;
mod error;
mod load;
mod plan;
mod rootfs;

use std::cell::RefCell;
use std::collections::BTreeMap;

use banger_tree::{InodeId, RootfsError, Tree};
use camino::{Utf8Path, Utf8PathBuf};

use super::image::Image;
use super::scratch::{NumberedFiles, Scratch};
use super::tools::Tool;
use banger_ext4::{Ext4Editor, ImageLock};
use contents::Contents;
pub(crate) use error::rootfs_error;
use load::Loaded;

/// A finished image as a [`Rootfs`], edited by debugfs: slow, and the reference.
///
/// A [`commit`](Rootfs::commit) is a rename over the image. It is atomic, also across a crash, and needs room
/// for a copy beside the image. A program that has the image open keeps the old one.
///
/// # Limits
/// As [`Ext4Editor`], which looks at the image first. All names and inodes of the image are kept
/// in memory. An xattr whose name holds a line break is refused.
#[derive(Debug)]
pub(crate) struct DebugfsRootfs {
    path: Utf8PathBuf,
    tools: EditTools,
    edited: RefCell<Edited>,
    is_changed: bool,
    /// Inode numbers in the image by inode of the tree, without new inodes.
    numbers: BTreeMap<InodeId, u32>,
    /// All inodes that the image has names for.
    loaded: Vec<u32>,
    /// The lock of a reader, for editors of the image.
    lock: ImageLock,
    scratch_parent: Utf8PathBuf,
    scratch: Scratch,
}

/// The content of the image, with all changes.
#[derive(Debug)]
struct Edited {
    tree: Tree,
    contents: Contents,
}

/// The programs that edit.
#[derive(Clone, Debug)]
pub(crate) struct EditTools {
    pub(crate) debugfs: Tool,
    pub(crate) e2fsck: Tool,
}

impl DebugfsRootfs {
    /// Opens the image at `path`.
    ///
    /// # Errors
    /// As [`Ext4Editor::open`].
    pub(crate) fn open(
        path: &Utf8Path,
        scratch_parent: &Utf8Path,
        tools: EditTools,
    ) -> Result<Self, RootfsError> {
        // The native editor names unknown features, and refuses an image that needs a journal replay or a
        // check first.
        drop(Ext4Editor::open(path)?);
        let path = path.canonicalize_utf8().map_err(|source| RootfsError::Io {
            action: "open",
            image: path.to_string(),
            source,
        })?;
        let lock = ImageLock::shared(&path)?;
        let failed = |error| rootfs_error(error, &path);
        let image = Image::open(&path).map_err(failed)?;
        let Loaded { tree, numbers, contents } = Loaded::read(&image, &path)?;
        let scratch = Scratch::create(scratch_parent).map_err(failed)?;
        let new = NumberedFiles::create(&scratch).map_err(failed)?;
        Ok(Self {
            tools,
            edited: RefCell::new(Edited { tree, contents: Contents::new(image, contents, new) }),
            is_changed: false,
            lock,
            loaded: numbers.values().copied().collect(),
            numbers,
            scratch_parent: scratch_parent.to_owned(),
            scratch,
            path,
        })
    }
}
