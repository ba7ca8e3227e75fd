//! All entries of a directory.

use banger_tree::{RootfsError, check_name};

use super::Disk;
use super::directory;
use super::directory::Dir;
use super::index_node;
use super::inline;
use super::leaf;
use super::leaf::{LeafRecord, NameEntry};
use crate::editor::disk::corruption::DirectoryFault;

/// Calls `visit` with each entry but `.` and `..`.
pub(super) fn for_each(disk: &Disk, dir: &Dir, mut visit: impl FnMut(&NameEntry)) -> Result<(), RootfsError> {
    if dir.inode.is_inline() {
        for LeafRecord { entry, .. } in inline::records(disk, dir.number, &dir.inode)? {
            if entry.inode.0 != 0 {
                check_entry(disk, dir, &entry)?;
                visit(&entry);
            }
        }
        return Ok(());
    }
    for logical in 0..dir.len() {
        let (_, bytes) = directory::block(disk, dir, logical)?;
        if index_node::is_index_block(disk, dir, logical, &bytes)? {
            continue;
        }
        for LeafRecord { entry, .. } in leaf::records(disk, dir, &bytes)? {
            if entry.inode.0 == 0 || entry.name == b"." || entry.name == b".." {
                continue;
            }
            check_entry(disk, dir, &entry)?;
            visit(&entry);
        }
    }
    Ok(())
}

pub(super) fn check_entry(disk: &Disk, dir: &Dir, entry: &NameEntry) -> Result<(), RootfsError> {
    let number = entry.inode.0;
    if check_name(&entry.name).is_err() {
        return Err(directory::corrupt(disk, dir.number, DirectoryFault::Name(entry.name.clone())));
    }
    if number < disk.volume.first_inode || number > disk.volume.inodes_count {
        return Err(directory::corrupt(disk, dir.number, DirectoryFault::EntryOf(number)));
    }
    Ok(())
}

/// Returns all entries but `.` and `..`.
pub(crate) fn all(disk: &Disk, dir: &Dir) -> Result<Vec<NameEntry>, RootfsError> {
    let mut entries = Vec::new();
    for_each(disk, dir, |entry| entries.push(entry.clone()))?;
    Ok(entries)
}
