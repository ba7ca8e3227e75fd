//! All entries of a directory.

use banger_tree::{FileType, RootfsError, check_name};

use super::Disk;
use super::directory;
use super::directory::Dir;
use super::index_node;
use super::inline;
use super::inodes;
use super::leaf;
use super::leaf::{LeafRecord, NameEntry};
use crate::editor::disk::corruption::{CorruptionKind, DirectoryFault, InodeFault};
use crate::format::dirent::file_type_of_code;

/// Calls `visit` with each entry but `.` and `..`.
pub(super) fn for_each(disk: &Disk, dir: &Dir, mut visit: impl FnMut(&NameEntry)) -> Result<(), RootfsError> {
    for_each_unchecked(disk, dir, |_, entry| {
        check_entry(disk, dir, entry)?;
        visit(entry);
        Ok(())
    })
}

/// Calls `visit` with each entry but `.` and `..`, whatever its name is, and with the number of its block. The inode
/// itself is 0.
pub(crate) fn for_each_unchecked(
    disk: &Disk,
    dir: &Dir,
    mut visit: impl FnMut(u64, &NameEntry) -> Result<(), RootfsError>,
) -> Result<(), RootfsError> {
    if dir.inode.is_inline() {
        for LeafRecord { entry, .. } in inline::records(disk, dir.number, &dir.inode)? {
            if entry.inode.0 != 0 {
                visit(0, &entry)?;
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
            if entry.inode.0 != 0 && entry.name != b"." && entry.name != b".." {
                visit(logical, &entry)?;
            }
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

/// Returns the type of the file that an entry leads to. If directories have no types, the inode has it.
pub(crate) fn file_type(disk: &Disk, entry: &NameEntry) -> Result<FileType, RootfsError> {
    let known = if disk.volume.filetype { file_type_of_code(entry.file_type) } else { None };
    if let Some(file_type) = known {
        return Ok(file_type);
    }
    let inode = inodes::read(disk, entry.inode)?;
    let fault = InodeFault::NotInUse { mode: inode.i_mode, links: inode.i_links_count };
    FileType::from_mode_bits(inode.i_mode)
        .ok_or_else(|| disk.volume.corrupt(CorruptionKind::Inode { inode: entry.inode, fault }))
}
