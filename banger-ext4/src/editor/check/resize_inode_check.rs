//! Whether the resize inode has the blocks that are reserved for descriptors.

use banger_tree::RootfsError;

use crate::editor::disk::Disk;
use crate::editor::disk::blocks::View;
use crate::editor::disk::corruption::{CorruptionKind, ResizeInodeFault};
use crate::editor::disk::inodes;
use crate::format::block_map::{DIND_PLACE, number_at, numbers_in};
use crate::format::inode::EXTENTS_FL;
use crate::format::{Block, InodeNumber};

/// Checks the blocks of the resize inode: see [`extend_resize_inode`](Self::extend_resize_inode).
pub(crate) fn check(disk: &Disk) -> Result<(), RootfsError> {
    let corrupt = |fault| disk.volume.corrupt(CorruptionKind::ResizeInode(fault));
    let volume = &disk.volume;
    let inode = inodes::read(disk, InodeNumber::RESIZE)?;
    let dind_block = Block(number_at(&inode.i_block, DIND_PLACE).into());
    let reserved = volume.reserved_gdt_blocks;
    if dind_block.0 == 0 && reserved == 0 {
        return Ok(());
    }
    if inode.i_mode != 0o100_600 || inode.i_flags & EXTENTS_FL != 0 || inode.file_acl().0 != 0 {
        return Err(corrupt(ResizeInodeFault::NotLists));
    }
    if inode.i_block[..DIND_PLACE.start].iter().chain(&inode.i_block[DIND_PLACE.end..]).any(|byte| *byte != 0)
    {
        return Err(corrupt(ResizeInodeFault::OtherBlocks));
    }
    let copies: Vec<u64> =
        volume.groups_with_copies().map(|group| u64::from(group) * volume.blocks_per_group).collect();
    let mut dind = numbers_in(&disk.blocks.read(View::Now, dind_block)?).collect::<Vec<_>>();
    let per_block = dind.len() as u64;
    if reserved > per_block || copies.len() as u64 > per_block {
        return Err(corrupt(ResizeInodeFault::TooSmall));
    }
    for at in volume.descriptor_blocks()..volume.descriptor_blocks() + reserved {
        let block = volume.first_data_block + 1 + at;
        let entry = std::mem::take(&mut dind[(at % per_block) as usize]);
        let numbers = numbers_in(&disk.blocks.read(View::Now, Block(block))?).collect::<Vec<_>>();
        let has_copies = numbers.iter().map(|number| u64::from(*number)).eq(copies
            .iter()
            .map(|distance| block + distance)
            .chain(std::iter::repeat_n(0, numbers.len() - copies.len())));
        if u64::from(entry) != block || !has_copies {
            return Err(corrupt(ResizeInodeFault::Order));
        }
    }
    let mut counted = inode.clone();
    counted.set_blocks(0);
    inodes::change_block_count(disk, &mut counted, 1 + reserved * (1 + copies.len() as u64), true);
    match dind.iter().all(|entry| *entry == 0) && counted.blocks() == inode.blocks() {
        true => Ok(()),
        false => Err(corrupt(ResizeInodeFault::TooMany)),
    }
}
