//! The metadata of a file system that grows.

use banger_tree::RootfsError;

use super::resize_inode_growth;
use crate::editor::disk::Disk;
use crate::editor::disk::blocks::View;
use crate::editor::disk::groups::{set_bits, superblock_copy};
use crate::editor::disk::volume::Volume;
use crate::format::Block;
use crate::format::group_desc::{BLOCK_UNINIT, GroupDesc, INODE_UNINIT, INODE_ZEROED};
use crate::format::superblock::Superblock;

/// Bytes that are zeroed at a time.
const ZEROS: usize = 1 << 20;

/// Changes the metadata of the volume `before` to that of the larger one.
///
/// Blocks beyond the old end, and blocks reserved for descriptors, are written at once: no state after a
/// crash refers to them.
pub(super) fn add_groups(disk: &mut Disk, before: &Volume) -> Result<(), RootfsError> {
    if disk.volume.resize_inode {
        resize_inode_growth::extend(disk, before)?;
    }
    extend_last_group(disk, before)?;
    let free = add_descriptors(disk, before)?;
    let volume = &disk.volume;
    let (blocks, inodes) = (volume.blocks_count, volume.inodes_count);
    let added_inodes = inodes - before.inodes_count;
    let own: u64 = (before.groups..volume.groups).map(|group| volume.own_blocks(group)).sum();
    let reserved_gdt = u16::try_from(volume.reserved_gdt_blocks).expect("less than there were");
    let added = blocks - before.blocks_count;
    disk.update_superblock(|superblock| {
        let r_blocks = u128::from(superblock.r_blocks_count()) * u128::from(blocks);
        let r_blocks = r_blocks / u128::from(blocks - added);
        superblock.set_r_blocks_count(u64::try_from(r_blocks).unwrap_or(0));
        superblock.set_blocks_count(blocks);
        superblock.s_inodes_count = inodes;
        superblock.s_free_inodes_count = superblock.s_free_inodes_count.saturating_add(added_inodes);
        superblock.set_free_blocks_count(superblock.free_blocks_count().saturating_add(free));
        superblock.s_reserved_gdt_blocks = reserved_gdt;
        if superblock.s_overhead_clusters != 0 {
            let overhead = u64::from(superblock.s_overhead_clusters) + own;
            superblock.s_overhead_clusters = u32::try_from(overhead).unwrap_or(0);
        }
    })?;
    put_copies(disk, before)
}

/// Makes the last group longer, if it was short.
pub(super) fn extend_last_group(disk: &mut Disk, before: &Volume) -> Result<(), RootfsError> {
    let group = before.groups - 1;
    let (had, has) = (before.blocks_of(group), disk.volume.blocks_of(group));
    if had == has {
        return Ok(());
    }
    let mut desc = disk.group_desc(View::Now, group)?;
    let mut bitmap = disk.block_bitmap(View::Now, group, &desc)?;
    set_bits(&mut bitmap, had..has, false);
    let free = desc.free_blocks() + u32::try_from(has - had).expect("at most the blocks of a group");
    desc.set_counts(free, desc.free_inodes(), desc.used_dirs(), desc.itable_unused());
    disk.put_block_bitmap(group, desc, bitmap)?;
    disk.change_free_blocks(has - had, true)
}

/// Adds the descriptors of the new groups, and the blocks that they refer to; returns the number of free
/// blocks in the new groups.
pub(super) fn add_descriptors(disk: &mut Disk, before: &Volume) -> Result<u64, RootfsError> {
    let (mut free_of_all, mut data) = (0, 0);
    let mut pending: Option<(Block, Vec<u8>)> = None;
    for group in before.groups..disk.volume.groups {
        let (desc, free) = add_group(disk, group, &mut data)?;
        free_of_all += free;
        let (block, offset) = disk.volume.desc_place(group);
        if pending.as_ref().is_none_or(|(at, _)| *at != block) {
            if let Some((block, bytes)) = pending.take() {
                disk.blocks.write(block, bytes)?;
            }
            let is_new = block.0 > before.first_data_block + before.descriptor_blocks();
            let bytes = match is_new {
                true => vec![0; disk.volume.block_size],
                false => disk.blocks.read(View::Now, block)?.to_vec(),
            };
            pending = Some((block, bytes));
        }
        let (_, bytes) = pending.as_mut().expect("just filled");
        disk.volume.fill_desc(group, &desc, &mut bytes[offset..offset + disk.volume.desc_size]);
    }
    if let Some((block, bytes)) = pending {
        disk.blocks.write(block, bytes)?;
    }
    Ok(free_of_all)
}

/// Returns the descriptor of a new group, and the number of its free blocks; `data` is the position of the
/// next bytes that are not zero.
pub(super) fn add_group(
    disk: &mut Disk,
    group: u32,
    data: &mut u64,
) -> Result<(GroupDesc, u64), RootfsError> {
    let volume = &disk.volume;
    let first = volume.first_block(group) + volume.base_blocks(group);
    let (block_bitmap, inode_bitmap, table) = (Block(first), Block(first + 1), Block(first + 2));
    let mut desc = GroupDesc::zeroed();
    desc.set_places(block_bitmap, inode_bitmap, table);
    let free = volume.blocks_of(group) - volume.own_blocks(group);
    let inodes = volume.inodes_per_group;
    let has_uninit = volume.has_uninit();
    let count = u32::try_from(free).expect("at most the blocks of a group");
    desc.set_counts(count, inodes, 0, if has_uninit { inodes } else { 0 });
    let is_zero = is_zero(disk, table, disk.volume.inode_table_blocks(), data)?;
    if has_uninit {
        desc.bg_flags = INODE_UNINIT | if is_zero { INODE_ZEROED } else { 0 };
    } else {
        let mut bitmap = vec![0; disk.volume.block_size];
        set_bits(&mut bitmap, inodes.into()..8 * disk.volume.block_size as u64, true);
        disk.blocks.write_content(inode_bitmap, &bitmap)?;
        if !is_zero {
            write_zeros(disk, table, disk.volume.inode_table_blocks())?;
        }
    }
    // e2fsck wants the bitmap of the last group written.
    if has_uninit && group + 1 < disk.volume.groups {
        desc.bg_flags |= BLOCK_UNINIT;
    } else {
        let bitmap = disk.volume.empty_block_bitmap(group, &desc);
        if let Some(seed) = disk.volume.seed {
            desc.set_block_bitmap_csum(seed, &bitmap[..(disk.volume.blocks_per_group / 8) as usize]);
        }
        disk.blocks.write_content(block_bitmap, &bitmap)?;
    }
    Ok((desc, free))
}

/// Returns whether `count` blocks from `first` on are known to be zeros.
pub(in crate::editor::edit) fn is_zero(
    disk: &Disk,
    first: Block,
    count: u64,
    data: &mut u64,
) -> Result<bool, RootfsError> {
    let start = first.0 * disk.volume.block_size as u64;
    if *data < start {
        let found = disk.blocks.storage.next_data(start);
        *data = found.map_err(|error| disk.blocks.io("read", error))?;
    }
    Ok(*data >= start + count * disk.volume.block_size as u64)
}

pub(in crate::editor::edit) fn write_zeros(
    disk: &mut Disk,
    first: Block,
    count: u64,
) -> Result<(), RootfsError> {
    let most = (ZEROS / disk.volume.block_size) as u64;
    let zeros = vec![0; ZEROS];
    let mut done = 0;
    while done < count {
        let part = most.min(count - done);
        let bytes = &zeros[..part as usize * disk.volume.block_size];
        disk.blocks.write_content(Block(first.0 + done), bytes)?;
        done += part;
    }
    Ok(())
}

/// Writes the copies of superblock and descriptors. Copies inside the old file system go into the commit.
pub(in crate::editor::edit) fn put_copies(disk: &mut Disk, before: &Volume) -> Result<(), RootfsError> {
    let (place, offset) = disk.volume.superblock_place();
    let superblock = disk.blocks.read(View::Now, place)?[offset..offset + Superblock::SIZE].to_vec();
    let first_desc = disk.volume.first_data_block + 1;
    let had = before.descriptor_blocks();
    // The block with the descriptor of the group that was the last, or is it now.
    let changed = had.min(disk.volume.descriptor_blocks()) - 1;
    let groups: Vec<u32> = disk.volume.groups_with_copies().collect();
    for group in groups {
        disk.check_cancelled()?;
        let first = disk.volume.first_block(group);
        let is_new = group >= before.groups;
        let mut bytes = match is_new {
            true => vec![0; disk.volume.block_size],
            false => disk.blocks.read(View::Now, Block(first))?.to_vec(),
        };
        let copy = superblock_copy(&superblock, group, disk.volume.seed.is_some());
        bytes[..Superblock::SIZE].copy_from_slice(&copy);
        put_copy(disk, Block(first), bytes, !is_new)?;
        for at in if is_new { 0 } else { changed }..disk.volume.descriptor_blocks() {
            let bytes = disk.blocks.read(View::Now, Block(first_desc + at))?.to_vec();
            put_copy(disk, Block(first + 1 + at), bytes, !is_new && at < had)?;
        }
    }
    Ok(())
}

pub(super) fn put_copy(
    disk: &mut Disk,
    block: Block,
    bytes: Vec<u8>,
    was_there: bool,
) -> Result<(), RootfsError> {
    if was_there { disk.blocks.write(block, bytes) } else { disk.blocks.write_content(block, &bytes) }
}
