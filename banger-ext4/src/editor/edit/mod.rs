//! Changing a file system by path, and making the changes last: the journal, commits, recovery, growing.

mod commit;
mod file_storage;
mod grow;
mod grow_groups;
mod in_use;
mod journal;
mod lookup;
mod paths;
mod recovery;
mod replay;
mod resize_inode_growth;
mod rootfs;
mod unlinked;

use std::cell::{Cell, RefCell};

use banger_tree::{Cancellation, GuestPath, ResolveAccount, RootfsError};
use camino::Utf8Path;

use crate::editor::disk::obstacle::Obstacle;
pub(crate) use file_storage::FileStorage;
use paths::PathCache;

use super::disk::Disk;
use super::disk::storage::Storage;

/// A finished image as a [`Rootfs`](banger_tree::Rootfs).
///
/// Dropped without a [`commit`](banger_tree::Rootfs::commit) it leaves the image as it was.
/// A crash during a commit leaves an image with the old or with the new content: where the new
/// content is only in the journal yet, the next [`open`](Self::open), the kernel's next mount and
/// e2fsck all read it there.
///
/// An image that was not unmounted is read as its journal leads to, and no byte of it changes. Opened
/// by [`open_to_edit`](Self::open_to_edit), the first commit puts the journal's changes in place.
///
/// # Limits
/// What is not known here is refused by its name when the image is opened; what is only read here,
/// with the first change.
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
    /// The sequence number with which the journal goes on, where its changes are not in place yet.
    unfinished: Option<u32>,
    /// Whether no other program has the image open.
    is_alone: bool,
    /// Whether a commit failed after it had taken effect in the journal.
    is_half_committed: bool,
    /// What the resolution of paths may cost, and what tells operations to stop.
    account: ResolveAccount,
    /// Where paths were found to lead.
    known: RefCell<PathCache>,
    /// Blocks that one commit can change, once it was asked for.
    commit_capacity: Cell<Option<usize>>,
}

/// How much an editor had to do: counts for tests of cost, which hold on every machine.
#[doc(hidden)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
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
    /// It is no ext2, ext3 or ext4, damaged, or has what is not known here; another editor is just
    /// committing; or the host refuses.
    pub fn open(path: &Utf8Path) -> Result<Self, RootfsError> {
        let storage = FileStorage::open(path).map_err(|source| cannot_open(path, source))?;
        Self::open_on(Box::new(storage), path.as_str())
    }

    /// Opens the image at `path` for changes, alone: as long as it is open, other editors and
    /// programs that lock their images, such as virtual machine monitors, are kept out.
    ///
    /// # Errors
    /// As [`open`](Self::open); it has a feature that is only read here; or the host does not allow it to be written, another program has
    /// locked it, or it is attached to a loop device.
    pub fn open_to_edit(path: &Utf8Path) -> Result<Self, RootfsError> {
        let storage = FileStorage::open_alone(path).map_err(|refusal| match refusal {
            in_use::Refusal::InUse { user, advice } => {
                RootfsError::InUse { image: path.to_string(), user, advice }
            }
            in_use::Refusal::Io(source) => cannot_open(path, source),
        })?;
        Self::open_alone_on(Box::new(storage), path.as_str())
    }

    /// Opens the image that lies on `storage`; errors call it `image`.
    ///
    /// # Errors
    /// As [`open`](Self::open).
    pub fn open_on(storage: Box<dyn Storage>, image: &str) -> Result<Self, RootfsError> {
        let mut editor = Self {
            disk: Disk::open(storage, image)?,
            unfinished: None,
            is_alone: false,
            is_half_committed: false,
            account: ResolveAccount::default(),
            known: RefCell::default(),
            commit_capacity: Cell::new(None),
        };
        editor.replay_in_memory()?;
        Ok(editor)
    }

    /// Opens the image that lies on `storage`, which no other program has open, for changes.
    ///
    /// # Errors
    /// As [`open_to_edit`](Self::open_to_edit).
    pub fn open_alone_on(storage: Box<dyn Storage>, image: &str) -> Result<Self, RootfsError> {
        let mut editor = Self::open_on(storage, image)?;
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

    /// Returns what one who reads the image should know: features that may add what is not seen here,
    /// and changes that did not get to the disk in full.
    pub fn notes(&self) -> &[String] {
        &self.disk.volume.notes
    }

    /// Returns the editor with the resolution of paths charged to `account`, in the place of one with the
    /// default budget that nobody cancels.
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
