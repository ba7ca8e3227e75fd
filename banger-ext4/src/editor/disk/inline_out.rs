//! Moves content out of its inode to a block, before it changes.

use banger_tree::{FileType, RootfsError, Xattrs};

use super::Disk;
use super::extents;
use super::inline;
use super::inodes;
use super::leaf;
use super::leaf::NameEntry;
use super::runs::Run;
use super::whole_inode::WholeInode;
use super::xattrs;
use crate::editor::disk::corruption::{CorruptionKind, InodeFault};
use crate::format::dirent::{file_type_code, seal};
use crate::format::inode::{EXTENTS_FL, FAST_SYMLINK_MAX, INLINE_DATA_FL};
use crate::format::{Block, InodeNumber};

/// Replaces the xattrs of an inode, whose block count includes the old ones; content inside the inode goes to
/// a block.
pub(crate) fn set_xattrs(
    disk: &mut Disk,
    number: InodeNumber,
    inode: &mut WholeInode,
    xattrs: &Xattrs,
) -> Result<(), RootfsError> {
    // Its own attributes are written once more, and then these.
    move_out(disk, number, inode)?;
    xattrs::write(disk, number, inode, xattrs)
}

/// Moves the content of an inode that holds it itself to a block; others stay as they are.
pub(crate) fn move_out(
    disk: &mut Disk,
    number: InodeNumber,
    inode: &mut WholeInode,
) -> Result<(), RootfsError> {
    if !inode.is_inline() {
        return Ok(());
    }
    inodes::check_not_encrypted(disk, number, inode)?;
    let file_type = FileType::from_mode_bits(inode.i_mode);
    let block_size = disk.volume.block_size;
    let (bytes, size) = match file_type {
        Some(FileType::Directory) => (leaf_of_inline(disk, number, inode)?, block_size as u64),
        _ => {
            let size = inode.size();
            let mut bytes = inline::data(disk, number, inode)?;
            let length = usize::try_from(size).ok().filter(|size| *size <= bytes.len().min(block_size));
            let length = length.ok_or_else(|| {
                disk.volume.corrupt(CorruptionKind::Inode { inode: number, fault: InodeFault::InlineLength })
            })?;
            bytes.truncate(length);
            (bytes, size)
        }
    };
    let xattrs = xattrs::read(disk, number, inode)?;
    inode.i_flags &= !INLINE_DATA_FL;
    let is_fast = file_type == Some(FileType::Symlink) && bytes.len() <= FAST_SYMLINK_MAX;
    inode.i_block = [0; inline::IN_PLACE];
    if is_fast {
        inode.i_flags &= !EXTENTS_FL;
        inode.i_block[..bytes.len()].copy_from_slice(&bytes);
    } else if bytes.is_empty() {
        extents::set_mapping(disk, number, inode, &[], &[])?;
    } else {
        let block = disk.allocate_block(inodes::goal_of(disk, number))?;
        let run = Run { logical: 0, len: 1, start: block.0, written: true };
        extents::set_mapping(disk, number, inode, &[run], &[])?;
        put_moved(disk, block, bytes, file_type == Some(FileType::Directory))?;
    }
    inode.set_size(size);
    // The rest are the other attributes.
    xattrs::write(disk, number, inode, &xattrs)?;
    inodes::write(disk, number, inode)
}

/// Content goes to its block at once, as that of all files; other changes wait for the next commit.
pub(super) fn put_moved(
    disk: &mut Disk,
    block: Block,
    mut bytes: Vec<u8>,
    is_dir: bool,
) -> Result<(), RootfsError> {
    bytes.resize(disk.volume.block_size, 0);
    match is_dir {
        true => disk.blocks.write(block, bytes),
        false => disk.blocks.write_content(block, &bytes),
    }
}

pub(super) fn leaf_of_inline(
    disk: &Disk,
    number: InodeNumber,
    inode: &WholeInode,
) -> Result<Vec<u8>, RootfsError> {
    let dot = |name: &[u8], inode| NameEntry {
        name: name.to_vec(),
        inode,
        file_type: file_type_code(FileType::Directory),
    };
    let mut entries = vec![dot(b".", number), dot(b"..", inline::parent_of(disk, inode))];
    let records = inline::records(disk, number, inode)?;
    entries.extend(records.into_iter().map(|record| record.entry).filter(|entry| entry.inode.0 != 0));
    let mut bytes = leaf::encode(disk, &entries);
    if let Some(seed) = disk.volume.seed_of(number, inode.i_generation) {
        seal(&mut bytes, seed);
    }
    Ok(bytes)
}
