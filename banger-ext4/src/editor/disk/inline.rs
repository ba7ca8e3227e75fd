//! Content that is in its inode (`inline_data`): in the place of the block numbers, and the rest as the value
//! of an extended attribute.
//!
//! It is read there. A change of the file or directory first moves the content to a block.

use banger_tree::RootfsError;

use super::Disk;
use super::leaf;
use super::leaf::LeafRecord;
use super::whole_inode::WholeInode;
use crate::editor::disk::corruption::{CorruptionKind, InodeFault};
use crate::format::InodeNumber;
use crate::format::inode::Inode;
use crate::format::xattr::{self, FoundEntry};

/// Bytes in the place of the blocks' numbers.
pub(super) const IN_PLACE: usize = 60;
/// Bytes of a directory before its entries: the inode of the parent.
const PARENT_SIZE: usize = 4;

/// Returns the two parts of the content in an inode; together they may be longer than the file.
fn parts(disk: &Disk, number: InodeNumber, inode: &WholeInode) -> Result<(Vec<u8>, Vec<u8>), RootfsError> {
    let space = inode.xattr_space(disk.volume.inode_size);
    let has_xattrs = space.len() > 4 && space[..4] == xattr::MAGIC.to_le_bytes();
    let entries = if has_xattrs { xattr::decode_all(&space[4..], 0) } else { None };
    let data = entries.into_iter().flatten().find(FoundEntry::is_inline_data);
    let data = data.filter(|found| found.value_inode.is_none()).ok_or_else(|| {
        disk.volume.corrupt(CorruptionKind::Inode { inode: number, fault: InodeFault::NoInlineContent })
    })?;
    Ok((inode.i_block[..IN_PLACE].to_vec(), data.entry.value.into_owned()))
}

/// Returns the content in an inode; it may be longer than the file.
pub(crate) fn data(disk: &Disk, number: InodeNumber, inode: &WholeInode) -> Result<Vec<u8>, RootfsError> {
    let (mut bytes, rest) = parts(disk, number, inode)?;
    bytes.extend_from_slice(&rest);
    Ok(bytes)
}

/// Returns the parent of a directory that holds its entries itself.
pub(crate) fn parent_of(_disk: &Disk, inode: &Inode) -> InodeNumber {
    let [a, b, c, d, ..] = inode.i_block;
    InodeNumber(u32::from_le_bytes([a, b, c, d]))
}

/// Sets the parent of a directory that holds its entries itself.
pub(crate) fn set_parent(inode: &mut Inode, parent: InodeNumber) {
    inode.i_block[..PARENT_SIZE].copy_from_slice(&parent.0.to_le_bytes());
}

/// Returns the records of a directory that holds its entries itself: in two parts, each of which
/// its records fill.
pub(crate) fn records(
    disk: &Disk,
    number: InodeNumber,
    inode: &WholeInode,
) -> Result<Vec<LeafRecord>, RootfsError> {
    let (head, rest) = parts(disk, number, inode)?;
    let mut records = leaf::records_in(disk, number, &head[PARENT_SIZE..])?;
    records.extend(leaf::records_in(disk, number, &rest)?);
    Ok(records)
}

/// Makes the names in a directory that holds its entries itself lead to `new` instead of `old`.
pub(crate) fn replace_inode(
    disk: &Disk,
    number: InodeNumber,
    inode: &mut WholeInode,
    old: InodeNumber,
    new: InodeNumber,
) -> Result<(), RootfsError> {
    let (mut head, mut rest) = parts(disk, number, inode)?;
    replace_in(disk, number, &mut head[PARENT_SIZE..], old, new)?;
    replace_in(disk, number, &mut rest, old, new)?;
    inode.i_block.copy_from_slice(&head);
    let mut space = inode.xattr_space(disk.volume.inode_size);
    let entries = xattr::decode_all(&space[4..], 0).unwrap_or_default();
    let data = entries.iter().find(|found| found.is_inline_data());
    if let Some(at) = data.and_then(|found| found.value_offset) {
        space[4 + at..][..rest.len()].copy_from_slice(&rest);
        inode.set_xattr_space(disk.volume.inode_size, &space);
    }
    Ok(())
}

fn replace_in(
    disk: &Disk,
    number: InodeNumber,
    bytes: &mut [u8],
    old: InodeNumber,
    new: InodeNumber,
) -> Result<(), RootfsError> {
    let records = leaf::records_in(disk, number, bytes)?;
    leaf::replace_inode(bytes, &records, old, new);
    Ok(())
}
