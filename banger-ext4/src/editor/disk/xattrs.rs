//! Extended attributes of an inode.

use banger_tree::{RootfsError, Xattrs};

use super::Disk;
use super::content;
use super::inodes;
use super::whole_inode::WholeInode;
use super::xattr_entries;
use crate::editor::disk::corruption::{CorruptionKind, InodeFault};
use crate::editor::disk::obstacle::Obstacle;
use crate::format::inode::{EA_INODE_FL, EXTRA_ISIZE, GOOD_OLD_SIZE};
use crate::format::superblock::compat;
use crate::format::xattr::{
    FoundEntry, ValueInode, fill_block, fill_in_inode, full_name, seal_block, space_in_inode, space_of_block,
};
use crate::format::{Block, InodeNumber, acl};
use crate::write::xattrs::place_within;

/// Longest value of an extended attribute, as the kernel has it.
const VALUE_MAX: u32 = 65536;

/// Returns the xattrs of an inode, ACLs in the form of system calls.
pub(crate) fn read(disk: &Disk, number: InodeNumber, inode: &WholeInode) -> Result<Xattrs, RootfsError> {
    let mut xattrs = Xattrs::default();
    xattr_entries::for_each(disk, number, inode, |disk, found| collect(disk, number, found, &mut xattrs))?;
    Ok(xattrs)
}

fn collect(
    disk: &Disk,
    number: InodeNumber,
    found: &FoundEntry<'_>,
    xattrs: &mut Xattrs,
) -> Result<(), RootfsError> {
    let entry = &found.entry;
    if found.is_inline_data() {
        return Ok(());
    }
    // Those of encryption and of unknown namespaces are not shown, as the kernel has it.
    let Some(name) = full_name(entry.name_index, entry.name) else { return Ok(()) };
    let value = match found.value_inode {
        Some(value) => value_of(disk, number, value)?,
        None => entry.value.to_vec(),
    };
    let value = match entry.name_index {
        2 | 3 => acl::from_disk(&value).ok_or_else(|| {
            disk.volume.corrupt(CorruptionKind::Inode { inode: number, fault: InodeFault::Acl })
        })?,
        _ => value,
    };
    xattrs.insert(name, value);
    Ok(())
}

/// Returns the value of an attribute of `number` that is the content of an inode.
fn value_of(disk: &Disk, number: InodeNumber, value: ValueInode) -> Result<Vec<u8>, RootfsError> {
    let inode = inodes::read(disk, value.number)?;
    let size = u64::from(value.size);
    if inode.i_flags & EA_INODE_FL == 0 || value.size > VALUE_MAX || inode.size() != size {
        return Err(disk
            .volume
            .corrupt(CorruptionKind::AttributeValue { value: value.number, inode: number }));
    }
    let mut bytes = vec![0; value.size as usize];
    content::read(disk, value.number, &inode, 0, &mut bytes)?;
    Ok(bytes)
}

/// Takes an inode's xattr block away; other inodes that share it keep it.
pub(crate) fn free_block(
    disk: &mut Disk,
    number: InodeNumber,
    inode: &mut WholeInode,
) -> Result<(), RootfsError> {
    xattr_entries::check_no_value_inodes(disk, number, inode)?;
    let block = inode.file_acl();
    if block.0 == 0 {
        return Ok(());
    }
    drop_share(disk, number, block)?;
    inode.set_file_acl(Block(0));
    inodes::change_block_count(disk, inode, 1, false);
    Ok(())
}

/// Counts one inode less that has the xattr block; frees the block with the last one.
fn drop_share(disk: &mut Disk, number: InodeNumber, block: Block) -> Result<(), RootfsError> {
    let bytes = xattr_entries::xattr_block(disk, number, block)?;
    match refcount_of(&bytes) {
        0 | 1 => disk.free_blocks(block, 1),
        refcount => put_with_refcount(disk, block, &bytes, refcount - 1),
    }
}

fn refcount_of(block: &[u8]) -> u32 {
    u32::from_le_bytes(block[4..8].try_into().expect("four bytes"))
}

fn put_with_refcount(disk: &mut Disk, block: Block, bytes: &[u8], refcount: u32) -> Result<(), RootfsError> {
    let mut bytes = bytes.to_vec();
    bytes[4..8].copy_from_slice(&refcount.to_le_bytes());
    if let Some(seed) = disk.volume.seed {
        seal_block(&mut bytes, seed, block);
    }
    disk.blocks.write(block, bytes)
}

/// Gives an inode the copy `to` of its xattr block. `is_first` says that no inode has the copy yet; then it is a free
/// block. Inodes that share the block come one by one: each of the two blocks counts those that have it.
pub(crate) fn move_block(
    disk: &mut Disk,
    number: InodeNumber,
    inode: &mut WholeInode,
    to: Block,
    is_first: bool,
) -> Result<(), RootfsError> {
    let from = inode.file_acl();
    if is_first {
        let bytes = xattr_entries::xattr_block(disk, number, from)?;
        disk.take_blocks(to, 1)?;
        put_with_refcount(disk, to, &bytes, 1)?;
    } else {
        let bytes = xattr_entries::xattr_block(disk, number, to)?;
        put_with_refcount(disk, to, &bytes, refcount_of(&bytes).saturating_add(1))?;
    }
    drop_share(disk, number, from)?;
    inode.set_file_acl(to);
    Ok(())
}

/// Refuses to replace xattrs that are not shown: they would be lost, and with them the key of encrypted content.
fn check_all_are_shown(disk: &Disk, number: InodeNumber, inode: &WholeInode) -> Result<(), RootfsError> {
    xattr_entries::for_each(disk, number, inode, |disk, found| {
        let index = found.entry.name_index;
        match found.is_inline_data() || full_name(index, found.entry.name).is_some() {
            true => Ok(()),
            false => Err(disk.volume.unsupported(
                Obstacle::new(format!(
                    "inode {} has an extended attribute of namespace {index}, which is not known here",
                    number.0
                ))
                .with_advice("mount it to change the attributes"),
            )),
        }
    })
}

/// Replaces the xattrs of an inode without content inside it. Its block count includes the old xattrs.
pub(crate) fn write(
    disk: &mut Disk,
    number: InodeNumber,
    inode: &mut WholeInode,
    xattrs: &Xattrs,
) -> Result<(), RootfsError> {
    let inode_size = disk.volume.inode_size;
    let (inside, space) = (space_in_inode(inode_size), space_of_block(disk.volume.block_size));
    let placed = place_within(xattrs, inside, space).map_err(|reason| disk.limit(reason))?;
    check_all_are_shown(disk, number, inode)?;
    if !xattrs.is_empty() {
        disk.update_superblock(|superblock| superblock.s_feature_compat |= compat::EXT_ATTR)?;
    }
    free_block(disk, number, inode)?;
    if inode_size == GOOD_OLD_SIZE {
        inode.i_extra_isize = 0;
    } else {
        if inode.i_extra_isize < EXTRA_ISIZE {
            // These bytes were xattrs, which are rewritten below.
            let mut bytes = inode.encode(inode_size);
            let end = GOOD_OLD_SIZE + usize::from(EXTRA_ISIZE);
            bytes[GOOD_OLD_SIZE + usize::from(inode.i_extra_isize).max(4)..end].fill(0);
            *inode = WholeInode::decode(&bytes);
        }
        inode.i_extra_isize = EXTRA_ISIZE;
        let mut bytes = vec![0; inode_size - GOOD_OLD_SIZE - usize::from(EXTRA_ISIZE)];
        fill_in_inode(&mut bytes, &placed.in_inode.iter().collect::<Vec<_>>());
        inode.set_xattr_space(inode_size, &bytes);
    }
    if !placed.in_block.is_empty() {
        let block = disk.allocate_block(inodes::goal_of(disk, number))?;
        let mut bytes = vec![0; disk.volume.block_size];
        fill_block(&mut bytes, disk.volume.seed, block, &placed.in_block.iter().collect::<Vec<_>>());
        disk.blocks.write(block, bytes)?;
        inode.set_file_acl(block);
        inodes::change_block_count(disk, inode, 1, true);
    }
    Ok(())
}
