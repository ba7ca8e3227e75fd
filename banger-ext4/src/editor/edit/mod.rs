//! Changing a file system by path, and making the changes last: the journal, commits, recovery, other sizes.

mod commit;
mod file_storage;
mod grow;
mod grow_groups;
mod in_use;
mod journal;
mod left_over_journal;
mod lent_journal;
mod lookup;
mod new_uuid;
mod paths;
mod recovery;
mod reopen;
mod replay;
mod resize_inode_growth;
mod rootfs;
mod shrink;
mod trim;
mod unlinked;
mod usage;

use std::cell::{Cell, RefCell};
use std::ops::Range;

use banger_tree::{Cancellation, GuestPath, ResolveAccount, RootfsError};
use camino::Utf8Path;

use crate::editor::disk::descriptors;
use crate::editor::disk::obstacle::Obstacle;
pub(crate) use file_storage::{FileStorage, WHOLE};
use paths::PathCache;
pub use usage::FileSystemUsage;

use super::disk::Disk;
use super::disk::storage::Storage;

/// A finished image as a [`Rootfs`](banger_tree::Rootfs).
///
/// A drop without a [`commit`](banger_tree::Rootfs::commit) leaves the image unchanged. A commit is atomic:
/// after a crash the image has the old content or the new one. If the new content is only in the journal, the
/// next [`open`](Self::open), the kernel's next mount and e2fsck all read it there.
///
/// An image that was not unmounted is read together with its journal, and no byte of it changes. After
/// [`open_to_edit`](Self::open_to_edit), the first commit puts the journal's changes in place.
///
/// # Limits
/// An unknown feature is refused by its name when the image is opened. A feature that can only be read is
/// refused with the first change.
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
    disk: Disk,
    /// The next sequence number of the journal, if its changes are not in place yet.
    unfinished: Option<u32>,
    /// Whether no other program has the image open.
    is_alone: bool,
    /// Whether it was opened to be repaired.
    is_for_repair: bool,
    /// Whether a commit failed after it had taken effect in the journal.
    is_half_committed: bool,
    /// Limits of path resolution, and the stop flag.
    account: ResolveAccount,
    /// Cache of resolved paths.
    known: RefCell<PathCache>,
    /// Number of blocks that one commit can change; computed once.
    commit_capacity: Cell<Option<usize>>,
}

/// Counts of an editor's work, for tests of cost that hold on every machine.
#[doc(hidden)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct EditorEffort {
    /// Requested blocks of metadata, also those in memory.
    pub block_reads: u64,
    /// Components of paths looked up.
    pub lookups: u64,
}

fn cannot_open(path: &Utf8Path, source: std::io::Error) -> RootfsError {
    RootfsError::Io { action: "open", image: path.to_string(), source }
}

/// Opens the file at `path` with an exclusive lock.
fn storage_alone(path: &Utf8Path, range: Range<u64>) -> Result<Box<dyn Storage>, RootfsError> {
    let storage = FileStorage::open_alone(path, range).map_err(|refusal| match refusal {
        in_use::Refusal::InUse { user, advice } => {
            RootfsError::InUse { image: path.to_string(), user, advice }
        }
        in_use::Refusal::Io(source) => cannot_open(path, source),
    })?;
    Ok(Box::new(storage))
}

impl Ext4Editor {
    /// Opens the image at `path`, a file or a block device. It must not be mounted.
    ///
    /// A file without write permission can be read.
    ///
    /// # Errors
    /// The image is not ext2, ext3 or ext4, is damaged or has an unknown feature; another editor is just
    /// committing; or the host refuses.
    pub fn open(path: &Utf8Path) -> Result<Self, RootfsError> {
        Self::open_range(path, WHOLE)
    }

    /// Opens the image in the bytes `range` of the file or block device `path`, for example a partition. An end of
    /// `u64::MAX` is the end of the file.
    ///
    /// # Errors
    /// As [`open`](Self::open).
    pub fn open_range(path: &Utf8Path, range: Range<u64>) -> Result<Self, RootfsError> {
        let storage = FileStorage::open(path, range).map_err(|source| cannot_open(path, source))?;
        Self::open_on(Box::new(storage), path.as_str())
    }

    /// Opens the image at `path` for changes, with an exclusive lock. While it is open, the lock blocks other
    /// editors and programs that lock their images, for example virtual machine monitors.
    ///
    /// # Errors
    /// The errors of [`open`](Self::open). Or the image has a feature that can only be read, or is attached
    /// to a loop device. Or the host does not allow writes, or another program has locked the image.
    pub fn open_to_edit(path: &Utf8Path) -> Result<Self, RootfsError> {
        Self::open_range_to_edit(path, WHOLE)
    }

    /// Opens the image in the bytes `range` of the file or block device `path`, as
    /// [`open_to_edit`](Self::open_to_edit) does. The lock covers the whole file.
    ///
    /// # Errors
    /// As [`open_to_edit`](Self::open_to_edit).
    pub fn open_range_to_edit(path: &Utf8Path, range: Range<u64>) -> Result<Self, RootfsError> {
        Self::open_alone_as(storage_alone(path, range)?, path.as_str(), false)
    }

    /// Opens the image in the bytes `range` of the file or block device `path` as
    /// [`open_range_to_edit`](Self::open_range_to_edit), for [`repair`](Self::repair): descriptors of groups may have
    /// wrong checksums and counters.
    ///
    /// # Errors
    /// As [`open_to_edit`](Self::open_to_edit).
    pub fn open_range_to_repair(path: &Utf8Path, range: Range<u64>) -> Result<Self, RootfsError> {
        Self::open_alone_as(storage_alone(path, range)?, path.as_str(), true)
    }

    /// Opens the file at `path` for changes, which nobody else knows yet: a copy that is published later. Other
    /// programs are not looked for. A commit writes all blocks to their places, without the journal, and does not
    /// flush. So the caller flushes the file before it is published, and throws it away if a commit fails.
    ///
    /// # Errors
    /// As [`open_to_edit`](Self::open_to_edit).
    pub fn open_unpublished(path: &Utf8Path) -> Result<Self, RootfsError> {
        let storage = FileStorage::open_unpublished(path).map_err(|source| cannot_open(path, source))?;
        Self::open_alone_on(Box::new(storage), path.as_str())
    }

    /// Opens the image that lies on `storage`; errors call it `image`.
    ///
    /// # Errors
    /// As [`open`](Self::open).
    pub fn open_on(storage: Box<dyn Storage>, image: &str) -> Result<Self, RootfsError> {
        Self::open_as(storage, image, false)
    }

    /// Opens an image; one that is to be repaired may have wrong descriptors of groups.
    fn open_as(storage: Box<dyn Storage>, image: &str, is_for_repair: bool) -> Result<Self, RootfsError> {
        let mut editor = Self {
            disk: Disk::open(storage, image)?,
            unfinished: None,
            is_alone: false,
            is_for_repair,
            is_half_committed: false,
            account: ResolveAccount::default(),
            known: RefCell::default(),
            commit_capacity: Cell::new(None),
        };
        // The journal may have newer ones.
        if is_for_repair && !editor.disk.volume.needs_recovery {
            descriptors::make_readable(&mut editor.disk)?;
        }
        editor.replay_in_memory()?;
        Ok(editor)
    }

    /// Opens the image that lies on `storage`, which no other program has open, for changes.
    ///
    /// # Errors
    /// As [`open_to_edit`](Self::open_to_edit).
    pub fn open_alone_on(storage: Box<dyn Storage>, image: &str) -> Result<Self, RootfsError> {
        Self::open_alone_as(storage, image, false)
    }

    fn open_alone_as(
        storage: Box<dyn Storage>,
        image: &str,
        is_for_repair: bool,
    ) -> Result<Self, RootfsError> {
        let mut editor = Self::open_as(storage, image, is_for_repair)?;
        editor.is_alone = true;
        editor.check_editable()?;
        if (editor.disk.volume.needs_recovery || editor.disk.volume.has_orphans())
            && let Some(user) = editor.disk.blocks.storage.other_user()
        {
            return Err(RootfsError::InUse {
                image: image.to_owned(),
                user: format!("it was not unmounted, and {user} has it open"),
                advice: None,
            });
        }
        editor.disk.blocks.start_operation();
        editor.recount_free()?;
        left_over_journal::forget(&mut editor.disk)?;
        unlinked::settle(&mut editor.disk).map_err(|error| {
            let reason = match error {
                RootfsError::Corrupt { damage, .. } => damage.to_string(),
                RootfsError::Unsupported { reason, .. } => reason,
                other => return other,
            };
            let reason = format!("unlinked files are left over: {reason}");
            editor.disk.volume.unsupported(Obstacle::new(reason).with_advice("run e2fsck -p on it first"))
        })?;
        Ok(editor)
    }

    /// Returns warnings for readers of the image: features with content that is not shown here, and changes
    /// that did not reach the disk in full.
    pub fn notes(&self) -> &[String] {
        &self.disk.volume.notes
    }

    /// Returns whether the image was not unmounted, or is mounted: its journal has changes that are not in their place.
    pub fn needs_recovery(&self) -> bool {
        self.disk.volume.needs_recovery
    }

    /// Returns the UUID of the file system.
    pub fn uuid(&self) -> [u8; 16] {
        self.disk.volume.uuid
    }

    /// Returns the features of the file system, by the names of mke2fs: `has_journal`, `metadata_csum`.
    pub fn features(&self) -> &[String] {
        &self.disk.volume.features
    }

    /// Returns the editor with `account` for the resolution of paths. The default account has the default
    /// budget and is never cancelled.
    #[must_use]
    pub fn with_account(self, account: ResolveAccount) -> Self {
        let mut editor = Self { account, ..self };
        editor.disk.cancellation = editor.account.cancellation.clone();
        editor
    }

    /// Has operations end with [`RootfsError::Cancelled`], and without effect, once `cancellation` is
    /// set. A commit that has begun is finished.
    pub fn set_cancellation(&mut self, cancellation: &Cancellation) {
        self.account.cancellation = cancellation.clone();
        self.disk.cancellation = cancellation.clone();
    }

    /// Returns the file system below.
    pub(crate) fn disk(&self) -> &Disk {
        &self.disk
    }

    /// Returns the file system below, to change it.
    pub(crate) fn disk_mut(&mut self) -> &mut Disk {
        &mut self.disk
    }

    /// Returns how much was done since the image was opened.
    #[doc(hidden)]
    pub fn effort(&self) -> EditorEffort {
        EditorEffort { block_reads: self.disk.blocks.reads(), lookups: self.known.borrow().lookups() }
    }

    /// Does all of `work`, which is about `path`, or nothing of it.
    fn operation<T>(
        &mut self,
        path: &GuestPath,
        work: impl FnOnce(&mut Self) -> Result<T, RootfsError>,
    ) -> Result<T, RootfsError> {
        self.disk.subject = path.clone();
        self.check_editable()?;
        self.disk.blocks.start_operation();
        let freed = self.disk.freed.len();
        let outcome = work(self);
        if outcome.is_err() {
            self.disk.blocks.undo_operation();
            self.disk.freed.truncate(freed);
            self.disk.known.get_mut().forget_all();
            self.known.get_mut().forget_all();
        }
        outcome
    }
}

// Editors move between threads; `RefCell` keeps them from being used by two at once.
const _: fn() = || {
    fn is_send<T: Send>() {}
    is_send::<Ext4Editor>();
};
