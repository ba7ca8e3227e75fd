//! The resize inode of a file system that grows.

use banger_tree::RootfsError;

use crate::editor::disk::Disk;
use crate::editor::disk::blocks::View;
use crate::editor::disk::corruption::{CorruptionKind, ResizeInodeFault};
use crate::editor::disk::inodes;
use crate::editor::disk::volume::Volume;
use crate::format::block_map::{DIND_PLACE, bytes_of, number_at, numbers_in};
use crate::format::{Block, InodeNumber};

/// Removes the reserved blocks that become descriptor blocks from the resize inode, and adds those of the new
/// groups with copies.
///
/// The inode has a block of numbers, by the number of the descriptor block, of the reserved
/// blocks of group 0; each of these has the numbers of its copies.
pub(super) fn extend(disk: &mut Disk, before: &Volume) -> Result<(), RootfsError> {
    let corrupt = |disk: &Disk, fault| disk.volume.corrupt(CorruptionKind::ResizeInode(fault));
    let mut inode = inodes::read(disk, InodeNumber::RESIZE)?;
    let dind_block = Block(number_at(&inode.i_block, DIND_PLACE).into());
    if dind_block.0 <= before.first_data_block || dind_block.0 >= before.blocks_count {
        return Err(corrupt(disk, ResizeInodeFault::NoList));
    }
    let mut dind = numbers_in(&disk.blocks.read(View::Now, dind_block)?).collect::<Vec<_>>();
    let per_block = dind.len() as u64;
    let first_desc = before.first_data_block + 1;
    let (had, has) = (before.descriptor_blocks(), disk.volume.descriptor_blocks());
    let had_copies = before.groups_with_copies().count();
    let new_copies: Vec<u64> = (before.groups..disk.volume.groups)
        .filter(|group| disk.volume.has_super(*group))
        .map(|group| u64::from(group) * disk.volume.blocks_per_group)
        .collect();
    if had_copies + new_copies.len() > dind.len() || before.reserved_gdt_blocks > per_block {
        return Err(corrupt(disk, ResizeInodeFault::TooSmall));
    }
    for at in had..had + before.reserved_gdt_blocks {
        let entry = (at % per_block) as usize;
        let reserved = Block(first_desc + at);
        if u64::from(dind[entry]) != reserved.0 {
            return Err(corrupt(disk, ResizeInodeFault::Order));
        }
        if at < has {
            dind[entry] = 0;
        } else if !new_copies.is_empty() {
            let mut copies = numbers_in(&disk.blocks.read(View::Now, reserved)?).collect::<Vec<_>>();
            for (at, distance) in new_copies.iter().enumerate() {
                let copy = u32::try_from(reserved.0 + distance)
                    .map_err(|_| corrupt(disk, ResizeInodeFault::TooSmall))?;
                copies[had_copies + at] = copy;
            }
            disk.blocks.write(reserved, bytes_of(&copies))?;
        }
    }
    let gone = (has - had) * (1 + had_copies as u64);
    let added = disk.volume.reserved_gdt_blocks * new_copies.len() as u64;
    disk.blocks.write(dind_block, bytes_of(&dind))?;
    inodes::change_block_count(disk, &mut inode, gone, false);
    inodes::change_block_count(disk, &mut inode, added, true);
    inodes::write(disk, InodeNumber::RESIZE, &inode)
}
