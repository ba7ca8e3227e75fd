//! The inodes that names lead to, whatever the bitmaps say.

use std::collections::HashMap;

use banger_tree::{FileType, RootfsError};

use crate::editor::disk::Disk;
use crate::editor::disk::directory;
use crate::editor::disk::entries;
use crate::editor::disk::groups::{bit, set_bits};
use crate::editor::disk::inodes;
use crate::editor::disk::xattr_entries;
use crate::format::InodeNumber;
use crate::format::superblock::compat;

/// Inodes in use.
#[derive(Debug, Default)]
pub(super) struct NamedInodes {
    /// A bitmap for each group that has some.
    used: HashMap<u32, Vec<u8>>,
    /// Number of directories in each group.
    directories: HashMap<u32, u32>,
}

impl NamedInodes {
    /// Walks from the root to all names. Inodes that the file system keeps for itself are in use without names.
    ///
    /// # Errors
    /// A directory or an inode is damaged.
    pub(super) fn of(disk: &Disk) -> Result<Self, RootfsError> {
        let volume = &disk.volume;
        let mut named = Self::default();
        for number in 1..volume.first_inode {
            named.mark(disk, InodeNumber(number));
        }
        let superblock = disk.superblock()?;
        let has_orphan_file = superblock.s_feature_compat & compat::ORPHAN_FILE != 0;
        let orphan_file = has_orphan_file.then_some(InodeNumber(superblock.s_orphan_file_inum));
        let nameless = volume.journal.into_iter().chain(orphan_file).chain(volume.quota_inodes.clone());
        for number in nameless {
            named.mark(disk, number);
        }
        let mut pending = vec![InodeNumber::ROOT];
        named.take(disk, InodeNumber::ROOT)?;
        while let Some(dir) = pending.pop() {
            for entry in entries::all(disk, &directory::open(disk, dir)?)? {
                disk.check_cancelled()?;
                if named.contains(disk, entry.inode) {
                    continue;
                }
                if named.take(disk, entry.inode)? == FileType::Directory {
                    pending.push(entry.inode);
                }
            }
        }
        Ok(named)
    }

    /// Takes an inode as in use, and those with the values of its extended attributes; returns its type.
    fn take(&mut self, disk: &Disk, number: InodeNumber) -> Result<FileType, RootfsError> {
        let inode = inodes::read(disk, number)?;
        let file_type = FileType::from_mode_bits(inode.i_mode).expect("checked when the inode was read");
        let (group, _) = self.mark(disk, number);
        if file_type == FileType::Directory {
            *self.directories.entry(group).or_default() += 1;
        }
        for value in xattr_entries::value_inodes_of(disk, number, &inode)? {
            inodes::read(disk, value.number)?;
            self.mark(disk, value.number);
        }
        Ok(file_type)
    }

    /// Marks an inode; returns its group and its place there.
    fn mark(&mut self, disk: &Disk, number: InodeNumber) -> (u32, u64) {
        let (group, at) = place(disk, number);
        let bitmap = self.used.entry(group).or_insert_with(|| vec![0; disk.volume.block_size]);
        set_bits(bitmap, at..at + 1, true);
        (group, at)
    }

    fn contains(&self, disk: &Disk, number: InodeNumber) -> bool {
        let (group, at) = place(disk, number);
        self.used.get(&group).is_some_and(|bitmap| bit(bitmap, at))
    }

    /// Returns the bitmap of a group, without ones behind its inodes; `None` if it has no inode in use.
    pub(super) fn of_group(&self, group: u32) -> Option<&[u8]> {
        self.used.get(&group).map(Vec::as_slice)
    }

    /// Returns the number of directories in a group.
    pub(super) fn directories(&self, group: u32) -> u32 {
        self.directories.get(&group).copied().unwrap_or_default()
    }
}

/// Returns group and place of an inode.
fn place(disk: &Disk, number: InodeNumber) -> (u32, u64) {
    let index = number.0.saturating_sub(1);
    (index / disk.volume.inodes_per_group, u64::from(index % disk.volume.inodes_per_group))
}
