//! The resize inode of a file system that becomes smaller.

use banger_tree::RootfsError;

use crate::editor::disk::Disk;
use crate::editor::disk::blocks::View;
use crate::editor::disk::corruption::{CorruptionKind, ResizeInodeFault};
use crate::editor::disk::inodes;
use crate::editor::disk::volume::Volume;
use crate::format::block_map::{DIND_PLACE, bytes_of, number_at, numbers_in};
use crate::format::{Block, InodeNumber};

/// Adds descriptor blocks that are not needed any more to the reserved blocks of the resize inode, and removes those of
/// groups that are gone. `extend`, for growth, has the form of its lists.
pub(super) fn reduce(disk: &mut Disk, before: &Volume) -> Result<(), RootfsError> {
    let corrupt = |disk: &Disk, fault| disk.volume.corrupt(CorruptionKind::ResizeInode(fault));
    let mut inode = inodes::read(disk, InodeNumber::RESIZE)?;
    let dind_block = Block(number_at(&inode.i_block, DIND_PLACE).into());
    let mut dind = numbers_in(&disk.blocks.read(View::Now, dind_block)?).collect::<Vec<_>>();
    let per_block = dind.len() as u64;
    let first_desc = before.first_data_block + 1;
    let (had, has) = (before.descriptor_blocks(), disk.volume.descriptor_blocks());
    let had_copies = before.groups_with_copies().count();
    let distances: Vec<u64> = disk
        .volume
        .groups_with_copies()
        .map(|group| u64::from(group) * disk.volume.blocks_per_group)
        .collect();
    if had_copies > dind.len() || before.reserved_gdt_blocks > per_block {
        return Err(corrupt(disk, ResizeInodeFault::TooSmall));
    }
    for at in had..had + before.reserved_gdt_blocks {
        if u64::from(dind[(at % per_block) as usize]) != first_desc + at {
            return Err(corrupt(disk, ResizeInodeFault::Order));
        }
    }
    dind.fill(0);
    let number =
        |disk: &Disk, block: u64| u32::try_from(block).map_err(|_| corrupt(disk, ResizeInodeFault::TooSmall));
    for at in has..has + disk.volume.reserved_gdt_blocks {
        disk.check_cancelled()?;
        let block = first_desc + at;
        dind[(at % per_block) as usize] = number(disk, block)?;
        if at < had || distances.len() < had_copies {
            let copies = distances.iter().map(|distance| number(disk, block + distance));
            let mut copies = copies.collect::<Result<Vec<_>, _>>()?;
            copies.resize(dind.len(), 0);
            disk.blocks.write(Block(block), bytes_of(&copies))?;
        }
    }
    disk.blocks.write(dind_block, bytes_of(&dind))?;
    inode.set_blocks(0);
    let blocks = 1 + disk.volume.reserved_gdt_blocks * (1 + distances.len() as u64);
    inodes::change_block_count(disk, &mut inode, blocks, true);
    inodes::write(disk, InodeNumber::RESIZE, &inode)
}
