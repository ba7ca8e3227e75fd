//! Files whose blocks are in lists, as in ext2 and ext3. The inode has twelve blocks, then a list of blocks,
//! a list of lists, and a list of lists of lists.

use std::collections::HashSet;
use std::ops::Range;

use banger_tree::RootfsError;

use super::Disk;
use super::blocks::View;
use super::runs::{Mapping, Run};
use crate::editor::disk::corruption::{BlockListFault, CorruptionKind};
use crate::format::block_map::{DIRECT, LEVELS, numbers_in};
use crate::format::inode::{EXTENTS_FL, Inode};
use crate::format::{Block, InodeNumber};

/// Returns how many blocks of a file are below an entry at `level` lists above them.
fn blocks_below(per_list: u64, level: usize) -> u64 {
    (0..level).fold(1, |blocks, _| blocks * per_list)
}

struct MapWalk {
    number: InodeNumber,
    wanted: Range<u64>,
    mapping: Mapping,
    /// Lists that were read: a list that contains itself would never end.
    lists: HashSet<u32>,
    blocks: u64,
}

impl MapWalk {
    fn add(&mut self, logical: u64, start: u64) {
        match self.mapping.runs.last_mut() {
            Some(last) if last.logical + last.len == logical && last.start + last.len == start => {
                last.len += 1
            }
            _ => self.mapping.runs.push(Run { logical, len: 1, start, written: true }),
        }
    }
}

/// Takes a block for the tree or the lists of a file, near a goal.
pub(crate) type TakeBlock<'a> = &'a mut dyn FnMut(&mut Disk, Block) -> Result<Block, RootfsError>;

/// Lists that are made.
struct NewLists<'a> {
    count: u64,
    at_once: bool,
    take: TakeBlock<'a>,
}

/// Returns one past the last block that a file with lists can have.
pub(crate) fn file_end(disk: &Disk) -> u64 {
    let per_list = disk.volume.block_size as u64 / 4;
    (0..=LEVELS).map(|level| if level == 0 { DIRECT as u64 } else { blocks_below(per_list, level) }).sum()
}

/// Returns the blocks of a file with lists that are in the range `wanted`.
pub(crate) fn read(
    disk: &Disk,
    number: InodeNumber,
    inode: &Inode,
    wanted: Range<u64>,
) -> Result<Mapping, RootfsError> {
    let mut walk = MapWalk { number, wanted, mapping: Mapping::default(), lists: HashSet::new(), blocks: 0 };
    let per_list = disk.volume.block_size as u64 / 4;
    let mut logical = 0;
    for (at, entry) in numbers_in(&inode.i_block).enumerate() {
        let level = (at + 1).saturating_sub(DIRECT);
        walk_map(disk, &mut walk, entry, level, logical)?;
        logical += blocks_below(per_list, level);
    }
    Ok(walk.mapping)
}

/// Looks at `entry`, which has `level` lists between itself and blocks that begin at `logical`.
fn walk_map(
    disk: &Disk,
    walk: &mut MapWalk,
    entry: u32,
    level: usize,
    logical: u64,
) -> Result<(), RootfsError> {
    let per_list = disk.volume.block_size as u64 / 4;
    let below = blocks_below(per_list, level);
    if entry == 0 || logical >= walk.wanted.end || logical + below <= walk.wanted.start {
        return Ok(());
    }
    let inode = walk.number;
    let corrupt = |fault| Err(disk.volume.corrupt(CorruptionKind::BlockList { inode, fault }));
    let block = u64::from(entry);
    if block <= disk.volume.first_data_block || block >= disk.volume.blocks_count {
        return corrupt(BlockListFault::Beyond);
    }
    if level == 0 {
        walk.blocks += 1;
        if walk.blocks > disk.volume.blocks_count {
            return corrupt(BlockListFault::TooManyBlocks);
        }
        walk.add(logical, block);
        return Ok(());
    }
    if !walk.lists.insert(entry) {
        return corrupt(BlockListFault::ListTwice);
    }
    let list = disk.blocks.read(View::Now, Block(block))?;
    walk.mapping.index_blocks.push(Block(block));
    let step = blocks_below(per_list, level - 1);
    // Only the wanted part of a long list is read.
    let skipped = walk.wanted.start.saturating_sub(logical) / step;
    for (at, entry) in numbers_in(&list).enumerate().skip(skipped as usize) {
        let first = logical + at as u64 * step;
        if first >= walk.wanted.end {
            break;
        }
        walk_map(disk, walk, entry, level - 1, first)?;
    }
    Ok(())
}

/// Gives a file the blocks `runs` in lists; returns how many blocks the lists take.
///
/// Lists of a new file go to their places `at_once`, like its content. Lists of other files are ordinary
/// changes: they may lie in a block that the same operation freed.
pub(crate) fn fill(
    disk: &mut Disk,
    inode: &mut Inode,
    runs: &[Run],
    at_once: bool,
    take: TakeBlock<'_>,
) -> Result<u64, RootfsError> {
    if runs.last().is_some_and(|run| run.logical + run.len > file_end(disk)) {
        return Err(disk.limit("it is larger than a file without extents can be"));
    }
    let per_list = disk.volume.block_size as u64 / 4;
    let mut lists = NewLists { count: 0, at_once, take };
    let mut i_block = [0; 60];
    let mut logical = 0;
    for (at, place) in i_block.chunks_exact_mut(4).enumerate() {
        let level = (at + 1).saturating_sub(DIRECT);
        let below = blocks_below(per_list, level);
        let entry = map_entry(disk, runs, logical..logical + below, level, &mut lists)?;
        place.copy_from_slice(&entry.to_le_bytes());
        logical += below;
    }
    inode.i_flags &= !EXTENTS_FL;
    inode.i_block = i_block;
    Ok(lists.count)
}

/// Returns the entry for the blocks in `span`; 0 for a hole.
fn map_entry(
    disk: &mut Disk,
    runs: &[Run],
    span: Range<u64>,
    level: usize,
    lists: &mut NewLists<'_>,
) -> Result<u32, RootfsError> {
    let first = runs.partition_point(|run| run.logical + run.len <= span.start);
    let Some(run) = runs.get(first).filter(|run| run.logical < span.end) else { return Ok(0) };
    if level == 0 {
        return map_number(disk, run.start + (span.start - run.logical));
    }
    let goal = Block(run.start);
    let block = (lists.take)(disk, goal)?;
    lists.count += 1;
    let step = (span.end - span.start) / (disk.volume.block_size as u64 / 4);
    let mut bytes = Vec::with_capacity(disk.volume.block_size);
    for start in span.step_by(usize::try_from(step).expect("at most 2^20 blocks")) {
        let entry = map_entry(disk, &runs[first..], start..start + step, level - 1, lists)?;
        bytes.extend_from_slice(&entry.to_le_bytes());
    }
    match lists.at_once {
        true => disk.blocks.write_content(block, &bytes)?,
        false => disk.blocks.write(block, bytes)?,
    }
    map_number(disk, block.0)
}

/// Returns a block's number as lists have it.
fn map_number(disk: &Disk, block: u64) -> Result<u32, RootfsError> {
    let number = u32::try_from(block);
    number.map_err(|_| disk.limit("its blocks would lie where lists of blocks do not reach"))
}
