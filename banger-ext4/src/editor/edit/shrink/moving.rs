//! Moving the blocks of files. Each step leaves a sound file system with the same content.

use std::collections::VecDeque;

use banger_tree::RootfsError;

use super::plan::{BlockCopy, FileMove, MappingMove};
use crate::editor::disk::Disk;
use crate::editor::disk::blocks::View;
use crate::editor::disk::extents;
use crate::editor::disk::inodes;
use crate::editor::disk::orphans;
use crate::editor::disk::whole_inode::WholeInode;
use crate::editor::disk::xattrs;
use crate::format::block_map::DIND_PLACE;
use crate::format::{Block, InodeNumber};

/// Bytes that are copied at a time.
const CHUNK_BYTES: usize = 1 << 20;

/// Moves the blocks of a file. Its content goes to free blocks at once, the rest with the next commit.
pub(super) fn move_file(disk: &mut Disk, file: &FileMove) -> Result<(), RootfsError> {
    let mut inode = inodes::read_unlinked(disk, file.number)?;
    if let Some(mapping) = &file.mapping {
        move_mapping(disk, file.number, &mut inode, mapping)?;
    }
    if let Some((block, is_first)) = file.xattr_block {
        xattrs::move_block(disk, file.number, &mut inode, block, is_first)?;
    }
    inodes::write(disk, file.number, &inode)
}

fn move_mapping(
    disk: &mut Disk,
    number: InodeNumber,
    inode: &mut WholeInode,
    mapping: &MappingMove,
) -> Result<(), RootfsError> {
    for copy in &mapping.copies {
        disk.take_blocks(Block(copy.to), copy.len)?;
        if copy.written {
            copy_blocks(disk, copy)?;
        }
        if disk.volume.orphan_file == Some(number) {
            seal_orphan_blocks(disk, number, inode, copy)?;
        }
    }
    for block in &mapping.new_tree {
        disk.take_blocks(*block, 1)?;
    }
    let mut tree: VecDeque<Block> = mapping.kept_tree.iter().chain(&mapping.new_tree).copied().collect();
    let mut take = |disk: &mut Disk, _| {
        tree.pop_front().ok_or_else(|| disk.no_space("the moved file needs more blocks than planned"))
    };
    extents::put_mapping(disk, number, inode, &mapping.runs, mapping.kind, &mut take)?;
    for block in tree.iter().chain(&mapping.freed_tree) {
        disk.free_blocks(*block, 1)?;
    }
    for copy in &mapping.copies {
        disk.free_blocks(Block(copy.from), copy.len)?;
    }
    disk.known.get_mut().forget_dir(number);
    Ok(())
}

/// Copies content to blocks that were free at the last commit.
fn copy_blocks(disk: &mut Disk, copy: &BlockCopy) -> Result<(), RootfsError> {
    let block_size = disk.volume.block_size;
    let most = (CHUNK_BYTES / block_size) as u64;
    let mut buffer = vec![0; most.min(copy.len) as usize * block_size];
    let mut done = 0;
    while done < copy.len {
        disk.check_cancelled()?;
        let len = most.min(copy.len - done);
        let bytes = &mut buffer[..len as usize * block_size];
        disk.blocks.read_content(Block(copy.from + done), 0, bytes)?;
        disk.blocks.write_content(Block(copy.to + done), bytes)?;
        done += len;
    }
    Ok(())
}

/// Makes the checksums of copied blocks of the orphan file right, which depend on their places.
fn seal_orphan_blocks(
    disk: &mut Disk,
    number: InodeNumber,
    inode: &WholeInode,
    copy: &BlockCopy,
) -> Result<(), RootfsError> {
    let Some(seed) = disk.volume.seed_of(number, inode.i_generation) else { return Ok(()) };
    for block in (copy.to..copy.to + copy.len).map(Block) {
        let mut bytes = disk.blocks.read(View::Now, block)?.to_vec();
        orphans::seal(seed, block, &mut bytes);
        disk.blocks.write_content(block, &bytes)?;
    }
    Ok(())
}

/// Moves the list of lists of the resize inode.
pub(super) fn move_resize_list(disk: &mut Disk, from: Block, to: Block) -> Result<(), RootfsError> {
    disk.take_blocks(to, 1)?;
    let bytes = disk.blocks.read(View::Now, from)?;
    disk.blocks.write(to, bytes)?;
    let mut inode = inodes::read(disk, InodeNumber::RESIZE)?;
    let number = u32::try_from(to.0).map_err(|_| disk.limit("its lists have 32 bits for block numbers"))?;
    inode.i_block[DIND_PLACE].copy_from_slice(&number.to_le_bytes());
    inodes::write(disk, InodeNumber::RESIZE, &inode)?;
    disk.free_blocks(from, 1)
}

/// Moves the block that tells who has the file system mounted.
pub(super) fn move_mmp_block(disk: &mut Disk, from: Block, to: Block) -> Result<(), RootfsError> {
    disk.take_blocks(to, 1)?;
    let bytes = disk.blocks.read(View::Now, from)?;
    disk.blocks.write(to, bytes)?;
    disk.update_superblock(|superblock| superblock.s_mmp_block = to.0)?;
    disk.free_blocks(from, 1)?;
    disk.volume.mmp_block = Some(to);
    Ok(())
}
