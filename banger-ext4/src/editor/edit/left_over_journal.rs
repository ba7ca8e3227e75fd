//! A lent journal that a crash left.

use banger_tree::RootfsError;

use crate::editor::disk::Disk;
use crate::editor::disk::inodes;
use crate::format::InodeNumber;

/// Clears the inode of a lent journal that a crash left: the blocks in it count as free, and mean nothing.
pub(super) fn forget(disk: &mut Disk) -> Result<(), RootfsError> {
    let is_left_over = disk.volume.journal.is_none()
        && inodes::bytes_of(disk, InodeNumber::JOURNAL)?.iter().any(|byte| *byte != 0);
    if is_left_over { inodes::erase(disk, InodeNumber::JOURNAL) } else { Ok(()) }
}
