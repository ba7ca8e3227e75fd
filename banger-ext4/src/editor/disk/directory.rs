//! Directories: their blocks, and the names in them.

use std::sync::Arc;

use banger_tree::{FileType, RootfsError};

use super::Disk;
use super::blocks::{Bytes, View};
use super::dir_cache::DirMapping;
use super::extents;
use super::inodes;
use super::runs::{LOGICAL_END, Run};
use super::whole_inode::WholeInode;
use crate::editor::disk::corruption::{CorruptionKind, DirectoryFault};
use crate::format::crc32c::Checksum;
use crate::format::inode::{CASEFOLD_FL, INDEX_FL};
use crate::format::{Block, InodeNumber};

/// A directory under work.
#[derive(Clone, Debug)]
pub(crate) struct Dir {
    pub(crate) number: InodeNumber,
    pub(crate) inode: WholeInode,
    /// Its blocks, without holes.
    pub(crate) runs: Arc<Vec<Run>>,
    /// Blocks of its extent tree.
    pub(crate) index_blocks: Arc<Vec<Block>>,
    pub(crate) is_indexed: bool,
    pub(crate) seed: Option<Checksum>,
}

impl Dir {
    /// Returns whether names are looked up without letter case, by a hash that is not known here.
    pub(crate) fn has_casefold(&self) -> bool {
        self.inode.i_flags & CASEFOLD_FL != 0
    }

    /// Returns the number of blocks.
    pub(crate) fn len(&self) -> u64 {
        self.runs.last().map_or(0, |run| run.logical + run.len)
    }

    /// Returns the block of this number.
    pub(crate) fn block(&self, logical: u64) -> Option<Block> {
        let at = self.runs.partition_point(|run| run.logical + run.len <= logical);
        self.runs.get(at).map(|run| Block(run.start + (logical - run.logical)))
    }
}

pub(crate) fn corrupt(disk: &Disk, number: InodeNumber, fault: DirectoryFault) -> RootfsError {
    disk.volume.corrupt(CorruptionKind::Directory { inode: number, fault })
}

/// Returns a directory's inode and the positions of its blocks.
pub(crate) fn open(disk: &Disk, number: InodeNumber) -> Result<Dir, RootfsError> {
    let dir = open_with_any_names(disk, number)?;
    inodes::check_not_encrypted(disk, number, &dir.inode)?;
    Ok(dir)
}

/// As [`open`]; the names may be encrypted.
pub(crate) fn open_with_any_names(disk: &Disk, number: InodeNumber) -> Result<Dir, RootfsError> {
    let inode = inodes::read(disk, number)?;
    if FileType::from_mode_bits(inode.i_mode) != Some(FileType::Directory) {
        return Err(corrupt(disk, number, DirectoryFault::NotOne));
    }
    let known = disk.known.borrow().mapping(number).cloned();
    let known = known.filter(|known| known.i_block == inode.i_block && known.size == inode.size());
    let mapping = match known {
        Some(known) => known,
        None => {
            let mapping = dir_mapping(disk, number, &inode)?;
            disk.known.borrow_mut().add_mapping(number, mapping.clone());
            mapping
        }
    };
    Ok(Dir {
        number,
        is_indexed: disk.volume.dir_index && inode.i_flags & INDEX_FL != 0,
        seed: disk.volume.seed_of(number, inode.i_generation),
        inode,
        runs: mapping.runs,
        index_blocks: mapping.index_blocks,
    })
}

/// Returns the positions of a directory's blocks, checked.
fn dir_mapping(disk: &Disk, number: InodeNumber, inode: &WholeInode) -> Result<DirMapping, RootfsError> {
    let mapping = extents::mapping(disk, number, inode, 0..LOGICAL_END)?;
    let mut end = 0;
    for run in &mapping.runs {
        if run.logical != end || !run.written {
            return Err(corrupt(disk, number, DirectoryFault::Holes));
        }
        end += run.len;
    }
    let is_whole = end > 0 && inode.size() == end * disk.volume.block_size as u64;
    if !is_whole && !inode.is_inline() {
        return Err(corrupt(disk, number, DirectoryFault::Size));
    }
    // Otherwise few blocks could count as very many, each with names.
    let mut places: Vec<(u64, u64)> = mapping.runs.iter().map(|run| (run.start, run.len)).collect();
    places.sort_unstable();
    if places.windows(2).any(|pair| pair[0].0 + pair[0].1 > pair[1].0) {
        return Err(corrupt(disk, number, DirectoryFault::BlockTwice));
    }
    Ok(DirMapping {
        runs: Arc::new(mapping.runs),
        index_blocks: Arc::new(mapping.index_blocks),
        i_block: inode.i_block,
        size: inode.size(),
    })
}

pub(crate) fn block(disk: &Disk, dir: &Dir, logical: u64) -> Result<(Block, Bytes), RootfsError> {
    let block = dir.block(logical).ok_or_else(|| corrupt(disk, dir.number, DirectoryFault::IndexBeyond))?;
    disk.check_cancelled()?;
    Ok((block, disk.blocks.read(View::Now, block)?))
}

/// Adds a block to a directory. The caller must fill it.
pub(crate) fn append_block(disk: &mut Disk, dir: &mut Dir) -> Result<Block, RootfsError> {
    let goal =
        dir.runs.last().map_or_else(|| inodes::goal_of(disk, dir.number), |run| Block(run.start + run.len));
    let block = disk.allocate_block(goal)?;
    let logical = dir.len();
    Arc::make_mut(&mut dir.runs).push(Run { logical, len: 1, start: block.0, written: true });
    put_inode(disk, dir)?;
    Ok(block)
}

/// Writes a directory's inode with the blocks it has.
pub(crate) fn put_inode(disk: &mut Disk, dir: &mut Dir) -> Result<(), RootfsError> {
    extents::set_mapping(disk, dir.number, &mut dir.inode, &dir.runs, &dir.index_blocks)?;
    disk.known.get_mut().forget_mapping(dir.number);
    dir.index_blocks = Arc::new(extents::mapping(disk, dir.number, &dir.inode, 0..LOGICAL_END)?.index_blocks);
    let size = dir.len() * disk.volume.block_size as u64;
    dir.inode.set_size(size);
    inodes::write(disk, dir.number, &dir.inode)
}
