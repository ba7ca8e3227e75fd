//! The file system on its disk: the volume, its blocks with pending changes, and free space. Above that,
//! functions of a [`Disk`] handle inodes with their blocks, contents, attributes and directories. This module
//! does not know paths, commits or the journal.

mod allocate;
pub(crate) mod block_map;
pub(crate) mod blocks;
pub(crate) mod content;
pub(crate) mod corruption;
pub(crate) mod descriptors;
pub(crate) mod dir_cache;
pub(crate) mod directory;
pub(crate) mod entries;
pub(crate) mod extents;
pub(crate) mod features;
pub(crate) mod groups;
pub(crate) mod index;
pub(crate) mod index_node;
pub(crate) mod inline;
pub(crate) mod inline_out;
pub(crate) mod inodes;
pub(crate) mod leaf;
pub(crate) mod names;
pub(crate) mod obstacle;
pub(crate) mod orphans;
pub(crate) mod removal;
pub(crate) mod runs;
pub(crate) mod storage;
pub(crate) mod trial;
pub(crate) mod volume;
pub(crate) mod whole_inode;
pub(crate) mod xattr_entries;
pub(crate) mod xattrs;

use std::cell::RefCell;
use std::ops::Range;

use banger_tree::{Cancellation, GuestPath, RootfsError};

use blocks::Blocks;
use dir_cache::DirCache;
use obstacle::Obstacle;
use storage::Storage;
use volume::Volume;

/// A file system, block by block: the bottom of the editor.
#[derive(Debug)]
pub(crate) struct Disk {
    pub(crate) volume: Volume,
    pub(crate) blocks: Blocks,
    /// Blocks that were given back since the last commit.
    pub(crate) freed: Vec<Range<u64>>,
    /// Cache of directories.
    pub(crate) known: RefCell<DirCache>,
    /// The path that the operation under way is about, for errors.
    pub(crate) subject: GuestPath,
    /// Tells operations to stop.
    pub(crate) cancellation: Cancellation,
    /// What was repaired in memory so that the file system can be read, one sentence each.
    pub(crate) repaired: Vec<String>,
}

impl Disk {
    /// Opens the file system that lies on `storage`; errors call it `image`.
    ///
    /// # Errors
    /// As [`Volume::open`].
    pub(crate) fn open(storage: Box<dyn Storage>, image: &str) -> Result<Self, RootfsError> {
        let volume = Volume::open(&*storage, image)?;
        let blocks = Blocks::new(storage, image.to_owned(), volume.block_size, volume.blocks_count);
        Ok(Self {
            volume,
            blocks,
            freed: Vec::new(),
            known: RefCell::default(),
            subject: GuestPath::root(),
            cancellation: Cancellation::default(),
            repaired: Vec::new(),
        })
    }

    /// Returns that the file system cannot hold what is asked for.
    pub(crate) fn limit(&self, obstacle: impl Into<Obstacle>) -> RootfsError {
        let Obstacle { reason, advice } = obstacle.into();
        RootfsError::Limit { path: self.subject.clone(), reason, advice }
    }

    /// Returns that blocks or inodes are used up.
    pub(crate) fn no_space(&self, reason: impl Into<String>) -> RootfsError {
        RootfsError::NoSpace { path: self.subject.clone(), reason: reason.into() }
    }

    pub(crate) fn check_cancelled(&self) -> Result<(), RootfsError> {
        if self.cancellation.is_cancelled() { Err(RootfsError::Cancelled) } else { Ok(()) }
    }
}
