//! Which blocks a file has.

use std::ops::Range;

use banger_tree::{FileType, RootfsError};

use super::Disk;
use super::block_map::{self, TakeBlock};
use super::blocks::View;
use super::inodes;
use super::runs::{LOGICAL_END, Mapping, Run};
use super::whole_inode::WholeInode;
use super::xattr_entries;
use crate::editor::disk::corruption::{CorruptionKind, ExtentFault};
use crate::format::crc32c::is_wrong;
use crate::format::extent::{
    EXTENT_MAX_BLOCKS, Extent, ExtentHeader, ExtentIndex, MAGIC, ROOT_ENTRIES, encode_root, entries_of_block,
    fill_block, tail_offset,
};
use crate::format::inode::{EXTENTS_FL, INLINE_DATA_FL, Inode};
use crate::format::{Block, InodeNumber};

/// Deepest extent tree.
const DEPTH_MAX: u16 = 5;
struct ExtentWalk<'a> {
    number: InodeNumber,
    inode: &'a Inode,
    wanted: Range<u64>,
    mapping: Mapping,
    /// Extents found so far end here, in the file.
    end: u64,
    /// Blocks of all extents found so far.
    blocks: u64,
}

/// Returns `runs` with adjacent ones joined.
fn joined(runs: &[Run]) -> Vec<Run> {
    let mut joined: Vec<Run> = Vec::with_capacity(runs.len());
    for run in runs {
        match joined.last_mut() {
            Some(last)
                if last.logical + last.len == run.logical
                    && last.start + last.len == run.start
                    && last.written == run.written =>
            {
                last.len += run.len;
            }
            _ => joined.push(*run),
        }
    }
    joined
}

/// Returns the blocks of a file that are in the range `wanted` of its block numbers, and
/// perhaps some beside it.
pub(crate) fn mapping(
    disk: &Disk,
    number: InodeNumber,
    inode: &Inode,
    wanted: Range<u64>,
) -> Result<Mapping, RootfsError> {
    if inode.i_flags & INLINE_DATA_FL != 0 {
        return Ok(Mapping::default());
    }
    if inode.i_flags & EXTENTS_FL == 0 {
        return block_map::read(disk, number, inode, wanted);
    }
    let mut walk = ExtentWalk { number, inode, wanted, mapping: Mapping::default(), end: 0, blocks: 0 };
    walk_node(disk, &mut walk, &inode.i_block, None, 0..LOGICAL_END)?;
    Ok(walk.mapping)
}

fn walk_node(
    disk: &Disk,
    walk: &mut ExtentWalk<'_>,
    node: &[u8],
    depth: Option<u16>,
    span: Range<u64>,
) -> Result<(), RootfsError> {
    let inode = walk.number;
    let corrupt = |fault| disk.volume.corrupt(CorruptionKind::ExtentTree { inode, fault });
    let header = ExtentHeader::decode(node[..ExtentHeader::SIZE].try_into().expect("a header's length"));
    let (count, most) = (usize::from(header.eh_entries), usize::from(header.eh_max));
    // As e2fsprogs has it, a node may leave room for two entries unused.
    let fits = (entries_of_block(node.len()) - 2..=entries_of_block(node.len())).contains(&most);
    if header.eh_magic != MAGIC || count > most || !fits {
        return Err(corrupt(ExtentFault::Malformed));
    }
    // The kernel leaves no empty node. A damaged tree could repeat them at every level.
    if count == 0 && header.eh_depth > 0 {
        return Err(corrupt(ExtentFault::EmptyNode));
    }
    if header.eh_depth > DEPTH_MAX || depth.is_some_and(|depth| depth != header.eh_depth) {
        return Err(corrupt(ExtentFault::Depth));
    }
    if depth.is_some()
        && let Some(seed) = disk.volume.seed_of(walk.number, walk.inode.i_generation)
    {
        let at = tail_offset(most);
        let stored = node.get(at..at + 4).ok_or_else(|| corrupt(ExtentFault::NoChecksum))?;
        if is_wrong(stored, &seed.with(&node[..at]).value().to_le_bytes()[..]) {
            return Err(corrupt(ExtentFault::Checksum));
        }
    }
    let (entries, _) = node[ExtentHeader::SIZE..].as_chunks::<12>();
    let entries = &entries[..count];
    // Each kind of entry begins with the first block of the file that it is for.
    let first = entries.first().map(|entry| u64::from(ExtentIndex::decode(entry).ei_block));
    if depth.is_some() && first.is_some_and(|first| first != span.start) {
        return Err(corrupt(ExtentFault::NodeStart));
    }
    if header.eh_depth == 0 {
        for extent in entries.iter().map(Extent::decode) {
            let len = u32::from(extent.ee_len);
            let written = len <= EXTENT_MAX_BLOCKS;
            let len = u64::from(if written { len } else { len - EXTENT_MAX_BLOCKS });
            let run = Run { logical: extent.ee_block.into(), len, start: extent.start().0, written };
            let (end, stop) = (run.logical + len, run.start.saturating_add(len));
            if run.logical < walk.end.max(span.start) || end > span.end || len == 0 {
                return Err(corrupt(ExtentFault::Order));
            }
            if run.start <= disk.volume.first_data_block || stop > disk.volume.blocks_count {
                return Err(corrupt(ExtentFault::Beyond));
            }
            walk.end = end;
            walk.blocks += len;
            if walk.blocks > disk.volume.blocks_count {
                return Err(corrupt(ExtentFault::TooManyBlocks));
            }
            if run.logical < walk.wanted.end && end > walk.wanted.start {
                walk.mapping.runs.push(run);
            }
        }
        return Ok(());
    }
    let indexes: Vec<ExtentIndex> = entries.iter().map(ExtentIndex::decode).collect();
    for (at, index) in indexes.iter().enumerate() {
        let start = u64::from(index.ei_block);
        let end = indexes.get(at + 1).map_or(span.end, |next| next.ei_block.into());
        if start < span.start || start >= end || end > span.end {
            return Err(corrupt(ExtentFault::IndexOrder));
        }
        if start >= walk.wanted.end || end <= walk.wanted.start {
            continue;
        }
        if index.leaf().0 <= disk.volume.first_data_block {
            return Err(corrupt(ExtentFault::IndexToSuperblock));
        }
        let below = disk.blocks.read(View::Now, index.leaf())?;
        walk.mapping.index_blocks.push(index.leaf());
        walk_node(disk, walk, &below, Some(header.eh_depth - 1), start..end)?;
    }
    Ok(())
}

/// How the blocks of a file are listed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum TreeKind {
    /// As an extent tree.
    Extents,
    /// In lists of blocks. Those of a new file go to their places at once.
    Lists { at_once: bool },
}

/// Gives a file the blocks `runs`, in order, in the place of its old ones; frees `old_index_blocks`. Counts
/// all of them, and the xattr block.
pub(crate) fn set_mapping(
    disk: &mut Disk,
    number: InodeNumber,
    inode: &mut WholeInode,
    runs: &[Run],
    old_index_blocks: &[Block],
) -> Result<(), RootfsError> {
    for block in old_index_blocks {
        disk.free_blocks(*block, 1)?;
    }
    let is_file = FileType::from_mode_bits(inode.i_mode) == Some(FileType::Regular);
    let kind = match disk.volume.extents {
        true => TreeKind::Extents,
        false => TreeKind::Lists { at_once: is_file && old_index_blocks.is_empty() },
    };
    put_mapping(disk, number, inode, runs, kind, &mut |disk, goal| disk.allocate_block(goal))
}

/// As [`set_mapping`], with blocks for the tree from `take`.
pub(crate) fn put_mapping(
    disk: &mut Disk,
    number: InodeNumber,
    inode: &mut WholeInode,
    runs: &[Run],
    kind: TreeKind,
    take: TakeBlock<'_>,
) -> Result<(), RootfsError> {
    let mut count = runs.iter().map(|run| run.len).sum::<u64>() + u64::from(inode.file_acl().0 != 0);
    count += xattr_entries::value_blocks_of(disk, number, inode)?;
    count += match kind {
        TreeKind::Extents => fill_tree(disk, number, inode, runs, take)?,
        TreeKind::Lists { at_once } => block_map::fill(disk, inode, runs, at_once, take)?,
    };
    inode.set_blocks(0);
    inodes::change_block_count(disk, inode, count, true);
    Ok(())
}

/// Returns the longest extent for a run.
fn extent_max(run: &Run) -> u64 {
    u64::from(if run.written { EXTENT_MAX_BLOCKS } else { EXTENT_MAX_BLOCKS - 1 })
}

/// Returns how many blocks an extent tree of `runs` has.
pub(crate) fn tree_blocks(block_size: usize, runs: &[Run]) -> u64 {
    let mut level: u64 = joined(runs).iter().map(|run| run.len.div_ceil(extent_max(run))).sum();
    let mut blocks = 0;
    while level > ROOT_ENTRIES as u64 {
        level = level.div_ceil(entries_of_block(block_size) as u64);
        blocks += level;
    }
    blocks
}

/// Makes an extent tree in `inode`; returns how many blocks it takes.
fn fill_tree(
    disk: &mut Disk,
    number: InodeNumber,
    inode: &mut WholeInode,
    runs: &[Run],
    take: TakeBlock<'_>,
) -> Result<u64, RootfsError> {
    let mut count = 0;
    let logical = |block: u64| u32::try_from(block).expect("below the largest file's end");
    let mut level: Vec<(u32, [u8; 12])> = Vec::new();
    for run in joined(runs) {
        let most = extent_max(&run);
        let mut at = 0;
        while at < run.len {
            let len = (run.len - at).min(most);
            let ee_len = if run.written { len } else { len + u64::from(EXTENT_MAX_BLOCKS) };
            let ee_len = u16::try_from(ee_len).expect("at most 32768 blocks, or as many again less one");
            let first = logical(run.logical + at);
            level.push((first, Extent::new(first, ee_len, Block(run.start + at)).encode()));
            at += len;
        }
    }
    let goal = runs.last().map_or_else(|| inodes::goal_of(disk, number), |run| Block(run.start));
    let seed = disk.volume.seed_of(number, inode.i_generation);
    let mut depth = 0;
    while level.len() > ROOT_ENTRIES {
        let mut above = Vec::new();
        for node in level.chunks(entries_of_block(disk.volume.block_size)) {
            let block = take(disk, goal)?;
            let mut bytes = vec![0; disk.volume.block_size];
            let entries: Vec<[u8; 12]> = node.iter().map(|(_, entry)| *entry).collect();
            fill_block(&mut bytes, seed, depth, &entries);
            disk.blocks.write(block, bytes)?;
            above.push((node[0].0, ExtentIndex::new(node[0].0, block).encode()));
            count += 1;
        }
        level = above;
        depth += 1;
    }
    let entries: Vec<[u8; 12]> = level.iter().map(|(_, entry)| *entry).collect();
    inode.i_flags |= EXTENTS_FL;
    inode.i_block = encode_root(depth, &entries);
    Ok(count)
}

/// Gives back all blocks of a file but its xattr block.
pub(crate) fn free_content(disk: &mut Disk, number: InodeNumber, inode: &Inode) -> Result<(), RootfsError> {
    let mapping = mapping(disk, number, inode, 0..LOGICAL_END)?;
    for run in mapping.runs {
        disk.free_blocks(Block(run.start), run.len)?;
    }
    for block in mapping.index_blocks {
        disk.free_blocks(block, 1)?;
    }
    Ok(())
}
