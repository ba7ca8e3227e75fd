//! Edits finished images: any ext4 file system that has only what is known here, in a file of the
//! host, without root or mount.
//!
//! Changes to metadata stay in memory, block by block, until a commit writes them through the file
//! system's own journal. Bytes of new files go to free blocks at once.

mod allocate;
mod blocks;
mod commit;
mod content;
mod dir_cache;
mod directory;
mod extents;
mod groups;
mod grow;
mod in_use;
mod index;
mod index_check;
mod inode_check;
mod inodes;
mod journal;
mod rootfs;
mod storage;
mod superblock_check;
mod verify;
mod volume;
mod xattrs;

use std::cell::{Cell, RefCell};
use std::ops::Range;

use banger_tree::{Cancellation, GuestPath, ResolveAccount, RootfsError};
use camino::Utf8Path;

use blocks::Blocks;
use dir_cache::DirCache;
pub(crate) use storage::FileStorage;
pub use storage::Storage;
pub use verify::VerifyReport;
use volume::Volume;

/// A finished image as a [`Rootfs`](banger_tree::Rootfs).
///
/// Dropped without a [`commit`](banger_tree::Rootfs::commit) it leaves the image as it was.
/// A crash during a commit leaves an image with the old or with the new content: where the new
/// content is only in the journal yet, the kernel's next mount or e2fsck moves it to its place, and
/// until then [`open`](Self::open) refuses the image.
///
/// # Limits
/// Blocks of 1, 2 and 4 KiB, inodes of 256 bytes, files with extents. What else the image has that
/// is not known here is refused by its name when it is opened.
///
/// # Examples
/// ```no_run
/// use banger_ext4::Ext4Editor;
/// use banger_tree::{Attributes, GuestPath, Rootfs};
///
/// let mut rootfs = Ext4Editor::open("disk.ext4".into())?;
/// let path = GuestPath::parse("/etc/hostname")?;
/// rootfs.write_file(&path, &mut &b"guest\n"[..], &Attributes::with_mode(0o644))?;
/// rootfs.commit()?;
/// # Ok::<(), banger_tree::RootfsError>(())
/// ```
#[derive(Debug)]
pub struct Ext4Editor {
    volume: Volume,
    blocks: Blocks,
    /// What the operation under way is about, for errors.
    subject: GuestPath,
    /// Blocks that were given back since the last commit.
    freed: Vec<Range<u64>>,
    /// Whether a commit failed after it had taken effect in the journal.
    is_half_committed: bool,
    /// What the resolution of paths may cost, and what tells operations to stop.
    account: ResolveAccount,
    /// What was found out about directories.
    known: RefCell<DirCache>,
    /// Blocks that one commit can change, once it was asked for.
    commit_capacity: Cell<Option<usize>>,
}

/// How much an editor had to do: counts for tests of cost, which hold on every machine.
#[doc(hidden)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct EditorEffort {
    /// Blocks of metadata asked for, also where they were in memory.
    pub block_reads: u64,
    /// Components of paths looked up.
    pub lookups: u64,
}

fn cannot_open(path: &Utf8Path, source: std::io::Error) -> RootfsError {
    RootfsError::Io { action: "open", image: path.to_string(), source }
}

impl Ext4Editor {
    /// Opens the image at `path`, a file or a block device, which nobody may have mounted.
    ///
    /// A file that the host allows only to be read can be looked into.
    ///
    /// # Errors
    /// It is no ext4, damaged, not cleanly unmounted, or has what is not known here; another
    /// editor is just committing; or the host refuses.
    pub fn open(path: &Utf8Path) -> Result<Self, RootfsError> {
        let storage = FileStorage::open(path).map_err(|source| cannot_open(path, source))?;
        Self::open_on(Box::new(storage), path.as_str())
    }

    /// Opens the image at `path` for changes, alone: as long as it is open, other editors and
    /// programs that lock their images, such as virtual machine monitors, are kept out.
    ///
    /// # Errors
    /// As [`open`](Self::open); or the host does not allow it to be written, another program has
    /// locked it, or it is attached to a loop device.
    pub fn open_to_edit(path: &Utf8Path) -> Result<Self, RootfsError> {
        let storage = FileStorage::open_alone(path).map_err(|refusal| match refusal {
            in_use::Refusal::InUse(reason) => RootfsError::Unsupported { image: path.to_string(), reason },
            in_use::Refusal::Io(source) => cannot_open(path, source),
        })?;
        Self::open_on(Box::new(storage), path.as_str())
    }

    /// Opens the image that lies on `storage`; errors call it `image`.
    ///
    /// # Errors
    /// As [`open`](Self::open).
    pub fn open_on(storage: Box<dyn Storage>, image: &str) -> Result<Self, RootfsError> {
        let volume = Volume::open(&*storage, image)?;
        let blocks = Blocks::new(storage, image.to_owned(), volume.block_size, volume.blocks_count);
        let subject = GuestPath::root();
        let editor = Self {
            volume,
            blocks,
            subject,
            freed: Vec::new(),
            is_half_committed: false,
            account: ResolveAccount::default(),
            known: RefCell::default(),
            commit_capacity: Cell::new(None),
        };
        editor.check_journal()?;
        Ok(editor)
    }

    /// Returns the editor with the resolution of paths charged to `account`, in the place of one with the
    /// default budget that nobody cancels.
    #[must_use]
    pub fn with_account(self, account: ResolveAccount) -> Self {
        Self { account, ..self }
    }

    /// Has operations end with [`RootfsError::Cancelled`], and without effect, once `cancellation` is
    /// set. A commit that has begun is finished.
    pub fn set_cancellation(&mut self, cancellation: &Cancellation) {
        self.account.cancellation = cancellation.clone();
    }

    fn check_cancelled(&self) -> Result<(), RootfsError> {
        if self.account.cancellation.is_cancelled() { Err(RootfsError::Cancelled) } else { Ok(()) }
    }

    /// Returns how much was done since the image was opened.
    #[doc(hidden)]
    pub fn effort(&self) -> EditorEffort {
        EditorEffort { block_reads: self.blocks.reads(), lookups: self.known.borrow().lookups() }
    }

    /// Returns that the file system cannot hold what is asked for.
    fn limit(&self, reason: impl Into<String>) -> RootfsError {
        RootfsError::Limit { path: self.subject.clone(), reason: reason.into() }
    }

    /// Refuses to change what a kernel may be changing.
    pub(crate) fn check_not_mounted(&self) -> Result<(), RootfsError> {
        match self.volume.needs_recovery {
            true => Err(self.volume.unsupported(
                "it is mounted, or was not unmounted; unmount it, or mount it once or run e2fsck -fp on it",
            )),
            false => Ok(()),
        }
    }

    /// Does all of `work`, which is about `path`, or nothing of it.
    fn operation<T>(
        &mut self,
        path: &GuestPath,
        work: impl FnOnce(&mut Self) -> Result<T, RootfsError>,
    ) -> Result<T, RootfsError> {
        self.subject = path.clone();
        self.check_not_mounted()?;
        self.blocks.start_operation();
        let freed = self.freed.len();
        let outcome = work(self);
        if outcome.is_err() {
            self.blocks.undo_operation();
            self.freed.truncate(freed);
            self.known.borrow_mut().forget_all();
        }
        outcome
    }
}
