//! The change that makes a file system smaller, whose end holds nothing any more.

use banger_tree::RootfsError;

use super::resize_inode_reduction;
use super::survey::GroupFacts;
use crate::editor::disk::Disk;
use crate::editor::disk::blocks::View;
use crate::editor::disk::groups::{bit, ones};
use crate::editor::disk::volume::Volume;
use crate::editor::edit::grow_groups::put_copies;
use crate::format::Block;
use crate::format::group_desc::{GroupDesc, INODE_ZEROED};

/// Changes the metadata of the volume `before` to that of the smaller one. `groups` has the places of its metadata.
pub(super) fn cut(
    disk: &mut Disk,
    before: &Volume,
    groups: &[GroupFacts],
    has_resize_list: bool,
) -> Result<(), RootfsError> {
    let (blocks, kept) = (disk.volume.blocks_count, disk.volume.groups);
    end_last_group(disk)?;
    if has_resize_list {
        resize_inode_reduction::reduce(disk, before)?;
    }
    let freed = free_copies(disk, before)?;
    for (start, len) in groups[kept as usize..].iter().flat_map(|facts| facts.metadata) {
        disk.check_cancelled()?;
        let len = blocks.saturating_sub(start).min(len);
        if len > 0 {
            disk.free_blocks(Block(start), len)?;
        }
    }
    fill_gone_groups(disk, before)?;
    let (free_blocks, free_inodes) = disk.count_free()?;
    let volume = &disk.volume;
    let own: u64 = (kept..before.groups).map(|group| before.own_blocks(group)).sum();
    let reserved_gdt =
        u16::try_from(volume.reserved_gdt_blocks).expect("at most a quarter of a block's bytes");
    let (inodes, backups) = (volume.inodes_count, volume.backup_groups);
    disk.update_superblock(|superblock| {
        let r_blocks = u128::from(superblock.r_blocks_count()) * u128::from(blocks);
        let r_blocks = r_blocks / u128::from(before.blocks_count);
        superblock.set_r_blocks_count(u64::try_from(r_blocks).unwrap_or(0));
        superblock.set_blocks_count(blocks);
        superblock.set_free_blocks_count(free_blocks);
        superblock.s_inodes_count = inodes;
        superblock.s_free_inodes_count = u32::try_from(free_inodes).unwrap_or(u32::MAX);
        superblock.s_reserved_gdt_blocks = reserved_gdt;
        if let Some(backups) = backups {
            superblock.s_backup_bgs = backups;
        }
        let overhead = u64::from(superblock.s_overhead_clusters).saturating_sub(own + freed);
        superblock.s_overhead_clusters = u32::try_from(overhead).unwrap_or(0);
    })?;
    put_copies(disk, before)
}

/// Frees the blocks that descriptors do not need any more, in all groups with copies; returns how many.
fn free_copies(disk: &mut Disk, before: &Volume) -> Result<u64, RootfsError> {
    let freed = before.copy_blocks() - disk.volume.copy_blocks();
    if freed == 0 {
        return Ok(0);
    }
    let groups: Vec<u32> = [0].into_iter().chain(disk.volume.groups_with_copies()).collect();
    for group in &groups {
        disk.check_cancelled()?;
        let mut desc = disk.group_desc(View::Now, *group)?;
        let bitmap = disk.block_bitmap(View::Now, *group, &desc)?;
        let at = disk.volume.copy_blocks();
        if bit(&bitmap, at) {
            disk.free_blocks(Block(disk.volume.first_block(*group) + at), freed)?;
        } else {
            // A bitmap that was not written is made of what the copies take now.
            count_free_blocks(disk, *group, &mut desc, &bitmap);
            disk.put_block_bitmap(*group, desc, bitmap)?;
        }
    }
    Ok(freed * groups.len() as u64)
}

/// Counts the free blocks of a group from its bitmap.
fn count_free_blocks(disk: &Disk, group: u32, desc: &mut GroupDesc, bitmap: &[u8]) {
    let size = disk.volume.blocks_of(group);
    let free = u32::try_from(size - ones(bitmap, 0..size)).expect("at most the blocks of a group");
    desc.set_counts(free, desc.free_inodes(), desc.used_dirs(), desc.itable_unused());
}

/// Makes the last group end where the file system does. e2fsck wants its bitmap written.
fn end_last_group(disk: &mut Disk) -> Result<(), RootfsError> {
    let group = disk.volume.groups - 1;
    let (block, offset) = disk.volume.desc_place(group);
    let bytes = disk.blocks.read(View::Now, block)?;
    // It counts more blocks than the group has now, so it does not pass the check yet.
    let (mut desc, _) = disk.unchecked_desc(View::Now, group, &bytes, offset);
    // Blocks behind the end count as in use.
    let bitmap = disk.block_bitmap(View::Now, group, &desc)?;
    count_free_blocks(disk, group, &mut desc, &bitmap);
    disk.put_block_bitmap(group, desc, bitmap)
}

/// Makes groups that are gone look full, where their descriptors stay in a block with others: a kernel that replays the
/// journal goes on with the old number of groups, and must not take anything from them.
fn fill_gone_groups(disk: &mut Disk, before: &Volume) -> Result<(), RootfsError> {
    let first_desc = disk.volume.desc_place(0).0.0;
    for group in disk.volume.groups..before.groups {
        let (block, offset) = disk.volume.desc_place(group);
        if block.0 >= first_desc + disk.volume.descriptor_blocks() {
            break;
        }
        let bytes = disk.blocks.read(View::Now, block)?;
        let (mut desc, _) = disk.unchecked_desc(View::Now, group, &bytes, offset);
        desc.set_counts(0, 0, 0, 0);
        desc.bg_flags = if disk.volume.has_uninit() { INODE_ZEROED } else { 0 };
        disk.put_group_desc(group, &desc)?;
    }
    Ok(())
}
