//! Entries of extended attributes in the inode and in its block.

use banger_tree::RootfsError;

use super::Disk;
use super::blocks::{Bytes, View};
use super::inodes;
use super::whole_inode::WholeInode;
use crate::editor::disk::corruption::{AttributeBlockFault, CorruptionKind};
use crate::editor::disk::obstacle::Obstacle;
use crate::format::crc32c::is_wrong;
use crate::format::xattr::{
    BLOCK_HEADER_SIZE, FoundEntry, MAGIC, ValueInode, decode_all, has_wrong_hash, seal_block,
};
use crate::format::{Block, InodeNumber, xattr};

/// Returns the inodes that hold values of an inode's xattrs.
pub(crate) fn value_inodes_of(
    disk: &Disk,
    number: InodeNumber,
    inode: &WholeInode,
) -> Result<Vec<ValueInode>, RootfsError> {
    let mut values = Vec::new();
    for_each(disk, number, inode, |_, found| {
        values.extend(found.value_inode);
        Ok(())
    })?;
    Ok(values)
}

/// Returns the number of blocks of values in other inodes, which count as blocks of this inode.
pub(crate) fn value_blocks_of(
    disk: &Disk,
    number: InodeNumber,
    inode: &WholeInode,
) -> Result<u64, RootfsError> {
    let mut blocks = 0;
    for value in value_inodes_of(disk, number, inode)? {
        if !is_value_of_lustre(disk, number, inode, value)? {
            blocks += u64::from(value.size).div_ceil(disk.volume.block_size as u64);
        }
    }
    Ok(blocks)
}

/// Returns whether an inode with a value is one of Lustre's: they name their only user in the field for a time, and
/// their blocks count for themselves.
pub(crate) fn is_value_of_lustre(
    disk: &Disk,
    number: InodeNumber,
    inode: &WholeInode,
    value: ValueInode,
) -> Result<bool, RootfsError> {
    let holder = inodes::read(disk, value.number)?;
    Ok(holder.i_mtime == number.0 && holder.i_generation == inode.i_generation)
}

pub(super) fn for_each(
    disk: &Disk,
    number: InodeNumber,
    inode: &WholeInode,
    mut visit: impl FnMut(&Disk, &FoundEntry<'_>) -> Result<(), RootfsError>,
) -> Result<(), RootfsError> {
    let malformed = |place| disk.volume.corrupt(CorruptionKind::Attributes { inode: number, place });
    let space = inode.xattr_space(disk.volume.inode_size);
    if space.len() > 4 && space[..4] == MAGIC.to_le_bytes() {
        let entries = decode_all(&space[4..], 0).ok_or_else(|| malformed("in the inode"))?;
        entries.iter().try_for_each(|found| visit(disk, found))?;
    }
    if inode.file_acl().0 != 0 {
        let block = xattr_block(disk, number, inode.file_acl())?;
        let entries = decode_all(&block, BLOCK_HEADER_SIZE).ok_or_else(|| malformed("in their block"))?;
        entries.iter().try_for_each(|found| visit(disk, found))?;
    }
    Ok(())
}

/// Makes the xattrs of an inode whose value is the inode `old` name `new`.
pub(crate) fn replace_value_inode(
    disk: &mut Disk,
    number: InodeNumber,
    inode: &mut WholeInode,
    old: InodeNumber,
    new: InodeNumber,
) -> Result<(), RootfsError> {
    let mut space = inode.xattr_space(disk.volume.inode_size);
    if space.len() > 4 && space[..4] == MAGIC.to_le_bytes() {
        xattr::replace_value_inode(&mut space[4..], 0, old, new);
        inode.set_xattr_space(disk.volume.inode_size, &space);
    }
    let block = inode.file_acl();
    if block.0 != 0 {
        let mut bytes = xattr_block(disk, number, block)?.to_vec();
        if xattr::replace_value_inode(&mut bytes, BLOCK_HEADER_SIZE, old, new) {
            if let Some(seed) = disk.volume.seed {
                seal_block(&mut bytes, seed, block);
            }
            disk.blocks.write(block, bytes)?;
        }
    }
    Ok(())
}

/// Returns whether an entry has a wrong hash. Only programs that share blocks read this hash.
pub(crate) fn has_wrong_xattr_hash(
    disk: &Disk,
    number: InodeNumber,
    inode: &WholeInode,
) -> Result<bool, RootfsError> {
    let space = inode.xattr_space(disk.volume.inode_size);
    if space.len() > 4 && space[..4] == MAGIC.to_le_bytes() && has_wrong_hash(&space[4..], 0) {
        return Ok(true);
    }
    match inode.file_acl().0 {
        0 => Ok(false),
        _ => Ok(has_wrong_hash(&xattr_block(disk, number, inode.file_acl())?, BLOCK_HEADER_SIZE)),
    }
}

/// Refuses to change the xattrs of an inode with values in other inodes, or to free it: those inodes count
/// their users.
pub(super) fn check_no_value_inodes(
    disk: &Disk,
    number: InodeNumber,
    inode: &WholeInode,
) -> Result<(), RootfsError> {
    match value_inodes_of(disk, number, inode)?.is_empty() {
        true => Ok(()),
        false => Err(disk.volume.unsupported(
            Obstacle::new(format!(
                "extended attributes of inode {} are in inodes of their own (ea_inode), which is only read here",
                number.0
            ))
            .with_advice("mount it to change them"),
        )),
    }
}

pub(super) fn xattr_block(disk: &Disk, number: InodeNumber, block: Block) -> Result<Bytes, RootfsError> {
    let corrupt =
        |fault| Err(disk.volume.corrupt(CorruptionKind::AttributeBlock { inode: number, block, fault }));
    if block.0 <= disk.volume.first_data_block {
        return corrupt(AttributeBlockFault::Superblock);
    }
    let bytes = disk.blocks.read(View::Now, block)?;
    // `h_magic`, then `h_refcount`, then `h_blocks`.
    if bytes[0..4] != MAGIC.to_le_bytes() || bytes[8..12] != 1_u32.to_le_bytes() {
        return corrupt(AttributeBlockFault::NotOne);
    }
    if let Some(seed) = disk.volume.seed {
        let mut sealed = bytes.to_vec();
        seal_block(&mut sealed, seed, block);
        if is_wrong(&bytes[..], &sealed[..]) {
            return corrupt(AttributeBlockFault::Checksum);
        }
    }
    Ok(bytes)
}
