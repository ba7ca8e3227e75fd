//! Group descriptors with wrong checksums or impossible counters, made readable for a repair.

use banger_tree::RootfsError;

use super::Disk;
use super::blocks::View;
use crate::format::Block;
use crate::format::group_desc::GroupDesc;

/// Makes the checksums of descriptors right, if a copy has the same places, and their counters possible. Notes what it
/// did in [`Disk::repaired`]. Other descriptors stay as they are.
pub(crate) fn make_readable(disk: &mut Disk) -> Result<(), RootfsError> {
    for group in 0..disk.volume.groups {
        disk.check_cancelled()?;
        make_one_readable(disk, group)?;
    }
    Ok(())
}

fn make_one_readable(disk: &mut Disk, group: u32) -> Result<(), RootfsError> {
    let volume = &disk.volume;
    let (block, offset) = volume.desc_place(group);
    let bytes = disk.blocks.read(View::Now, block)?;
    let (mut desc, has_wrong_checksum) = disk.unchecked_desc(View::Now, group, &bytes, offset);
    if has_wrong_checksum && !has_places_of_a_copy(disk, group, &desc)? {
        return Ok(());
    }
    let (blocks, inodes) =
        (u32::try_from(volume.blocks_of(group)).unwrap_or(u32::MAX), volume.inodes_per_group);
    let counts = [desc.free_blocks(), desc.free_inodes(), desc.used_dirs(), desc.itable_unused()];
    let possible =
        [counts[0].min(blocks), counts[1].min(inodes), counts[2].min(inodes), counts[3].min(inodes)];
    if has_wrong_checksum {
        disk.repaired.push(format!("the descriptor of group {group} had a wrong checksum"));
    }
    if counts != possible {
        let [free_blocks, free_inodes, used_dirs, itable_unused] = possible;
        desc.set_counts(free_blocks, free_inodes, used_dirs, itable_unused);
        disk.repaired.push(format!("group {group} counted more than it can have"));
    }
    if has_wrong_checksum || counts != possible {
        disk.put_group_desc(group, &desc)?;
    }
    Ok(())
}

/// Returns whether a copy of the descriptors has the same places of bitmaps and inodes. Flags and counters of the copies
/// are old.
fn has_places_of_a_copy(disk: &Disk, group: u32, desc: &GroupDesc) -> Result<bool, RootfsError> {
    let volume = &disk.volume;
    if volume.first_meta_bg.is_some() {
        // Each copy lies elsewhere.
        return Ok(false);
    }
    let (block, offset) = volume.desc_place(group);
    let behind = block.0 - volume.superblock_place().0.0;
    for copy in volume.groups_with_copies() {
        disk.check_cancelled()?;
        let bytes = disk.blocks.read(View::Now, Block(volume.first_block(copy) + behind))?;
        let (found, has_wrong_checksum) = disk.unchecked_desc(View::Now, group, &bytes, offset);
        let places = |desc: &GroupDesc| (desc.block_bitmap(), desc.inode_bitmap(), desc.inode_table());
        if !has_wrong_checksum && places(&found) == places(desc) {
            return Ok(true);
        }
    }
    Ok(false)
}
