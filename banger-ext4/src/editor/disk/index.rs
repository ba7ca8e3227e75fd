//! Hash trees of directories: finding a name's leaf, splitting leaves, making them anew.

use std::sync::Arc;

use banger_tree::{FileType, RootfsError};

use super::Disk;
use super::directory;
use super::directory::Dir;
use super::entries;
use super::index_node;
use super::inodes;
use super::leaf;
use super::leaf::NameEntry;
use super::runs::Run;
use crate::editor::disk::corruption::DirectoryFault;
use crate::format::dirent::{entry_size, file_type_code};
use crate::format::hash::{NameHash, half_md4};
use crate::format::htree::{self, DxEntry, NODE_ENTRIES_OFFSET, ROOT_ENTRIES_OFFSET, RootDots, limit_at};
use crate::format::inode::INDEX_FL;
use crate::format::{Block, InodeNumber};

/// `indirect_levels` of `struct dx_root_info`.
pub(crate) const LEVELS_OFFSET: usize = 30;

/// One index block on the way to a leaf.
#[derive(Debug)]
struct Step {
    block: Block,
    offset: usize,
    entries: Vec<DxEntry>,
    at: usize,
}

/// The way to a leaf.
#[derive(Debug)]
pub(crate) struct Path {
    hash_version: u8,
    hash: u32,
    steps: Vec<Step>,
    /// Leaves there may still be.
    leaves_left: u64,
}

impl Path {
    /// Returns the leaf's number in the directory.
    pub(crate) fn leaf(&self) -> u64 {
        let step = self.steps.last().expect("the root is always there");
        step.entries[step.at].block.into()
    }
}

/// Returns which names go to which leaf of `space` bytes, in the order of their hashes.
fn cut(hashed: &[(NameHash, NameEntry)], space: usize) -> Vec<std::ops::Range<usize>> {
    let mut leaves = Vec::new();
    let (mut start, mut used) = (0, 0);
    for (at, (_, entry)) in hashed.iter().enumerate() {
        let size = entry_size(entry.name.len());
        if used > 0 && used + size > space {
            leaves.push(start..at);
            (start, used) = (at, 0);
        }
        used += size;
    }
    leaves.push(start..hashed.len());
    leaves
}

/// Returns the hash of a name in an index that is made here.
fn hash(disk: &Disk, name: &[u8]) -> NameHash {
    half_md4(name, &disk.volume.hash_seed, disk.volume.signedness)
}

fn step_at(disk: &Disk, dir: &Dir, logical: u64, offset: usize, hash: u32) -> Result<Step, RootfsError> {
    let (block, bytes) = directory::block(disk, dir, logical)?;
    let entries = index_node::entries_of(disk, dir, &bytes, offset)?;
    let at = entries[1..].partition_point(|entry| entry.hash <= hash);
    Ok(Step { block, offset, entries, at })
}

/// Returns the path to the first leaf that may have `name`; `None` if the directory has no index, or an index
/// by an unknown hash.
pub(crate) fn probe(disk: &Disk, dir: &Dir, name: &[u8]) -> Result<Option<Path>, RootfsError> {
    if !dir.is_indexed || dir.has_casefold() {
        return Ok(None);
    }
    let (_, root) = directory::block(disk, dir, 0)?;
    // `struct dx_root_info`: a reserved word, then these.
    let [hash_version, info_length, levels, _] = root[28..32] else { unreachable!("four bytes") };
    if info_length != 8 || levels > disk.volume.index_levels_max() {
        return Err(directory::corrupt(disk, dir.number, DirectoryFault::Index));
    }
    let Some(NameHash { major: hash, .. }) = index_node::hash_by(disk, hash_version, name) else {
        return Ok(None);
    };
    let mut steps = vec![step_at(disk, dir, 0, ROOT_ENTRIES_OFFSET, hash)?];
    for _ in 0..levels {
        let step = &steps[steps.len() - 1];
        let below = step.entries[step.at].block;
        steps.push(step_at(disk, dir, below.into(), NODE_ENTRIES_OFFSET, hash)?);
    }
    Ok(Some(Path { hash_version, hash, steps, leaves_left: dir.len() }))
}

/// Goes on to the next leaf if names of the same hash may be there, too.
pub(crate) fn next_leaf_of_hash(disk: &Disk, dir: &Dir, path: &mut Path) -> Result<bool, RootfsError> {
    let Some(level) = path.steps.iter().rposition(|step| step.at + 1 < step.entries.len()) else {
        return Ok(false);
    };
    path.steps[level].at += 1;
    let next = path.steps[level].entries[path.steps[level].at];
    if next.hash != path.hash | 1 {
        return Ok(false);
    }
    path.leaves_left = path
        .leaves_left
        .checked_sub(1)
        .ok_or_else(|| directory::corrupt(disk, dir.number, DirectoryFault::IndexTwice))?;
    let mut below = next.block;
    for deeper in level + 1..path.steps.len() {
        let mut step = step_at(disk, dir, below.into(), NODE_ENTRIES_OFFSET, path.hash)?;
        step.at = 0;
        below = step.entries[0].block;
        path.steps[deeper] = step;
    }
    Ok(true)
}

/// Adds an entry to an indexed directory; returns whether that could be done without making
/// the index anew.
pub(crate) fn insert(disk: &mut Disk, dir: &Dir, entry: &NameEntry) -> Result<bool, RootfsError> {
    let Some(path) = probe(disk, dir, &entry.name)? else { return Ok(false) };
    let (block, bytes) = directory::block(disk, dir, path.leaf())?;
    let records = leaf::records(disk, dir, &bytes)?;
    if let Some(bytes) = leaf::with_entry(disk, &bytes, &records, entry) {
        leaf::put(disk, dir, block, bytes)?;
        return Ok(true);
    }
    let step = path.steps.last().expect("the root is always there");
    if is_full(disk, dir, step) {
        // There is room in the block that the next way ends in.
        return Ok(make_room(disk, dir, &path)? && insert(disk, &directory::open(disk, dir.number)?, entry)?);
    }

    let entries = records.into_iter().map(|record| record.entry).filter(|entry| entry.inode.0 != 0);
    let hash =
        |name: &[u8]| index_node::hash_by(disk, path.hash_version, name).expect("the way was found by it");
    let mut hashed: Vec<(NameHash, NameEntry)> =
        entries.chain([entry.clone()]).map(|entry| (hash(&entry.name), entry)).collect();
    hashed.sort_by(|(a_hash, a), (b_hash, b)| (a_hash, &a.name).cmp(&(b_hash, &b.name)));
    let total: usize = hashed.iter().map(|(_, entry)| entry_size(entry.name.len())).sum();
    let mut lower = 0;
    let mut split = 0;
    while lower * 2 < total {
        lower += entry_size(hashed[split].1.name.len());
        split += 1;
    }
    // At least one on each side.
    let split = split.clamp(1, hashed.len() - 1);
    let goes_on = hashed[split - 1].0.major == hashed[split].0.major;
    let first_hash = hashed[split].0.major | u32::from(goes_on);
    let mut dir = dir.clone();
    let new_logical = dir.len();
    let new_block = directory::append_block(disk, &mut dir)?;
    let upper: Vec<NameEntry> = hashed.split_off(split).into_iter().map(|(_, entry)| entry).collect();
    let lower: Vec<NameEntry> = hashed.into_iter().map(|(_, entry)| entry).collect();
    let (lower, upper) = (leaf::encode(disk, &lower), leaf::encode(disk, &upper));
    leaf::put(disk, &dir, block, lower)?;
    leaf::put(disk, &dir, new_block, upper)?;

    let number = u32::try_from(new_logical).expect("directories have fewer blocks");
    let mut entries = step.entries.clone();
    entries.insert(step.at + 1, DxEntry { hash: first_hash, block: number });
    let mut bytes = disk.blocks.read(super::blocks::View::Now, step.block)?.to_vec();
    // The first entry's hash lies under limit and count, which are written over it.
    htree::fill_entries(&mut bytes, dir.seed, step.offset, &entries);
    disk.blocks.write(step.block, bytes)?;
    Ok(true)
}

fn is_full(disk: &Disk, dir: &Dir, step: &Step) -> bool {
    step.entries.len() == limit_at(step.offset, disk.volume.block_size, dir.seed.is_some())
}

/// Makes room in the full index block at the end of the path. It splits the block or, if it is the root,
/// moves its entries one level down. Returns whether that was possible.
///
/// Few blocks change, however large the directory is: all changes must fit the journal.
fn make_room(disk: &mut Disk, dir: &Dir, path: &Path) -> Result<bool, RootfsError> {
    let mut dir = dir.clone();
    let number = u32::try_from(dir.len()).expect("directories have fewer blocks");
    let root = &path.steps[0];
    let mut bytes = disk.blocks.read(super::blocks::View::Now, root.block)?.to_vec();
    let mut above = root.entries.clone();
    match &path.steps[1..] {
        [] => {
            let node = directory::append_block(disk, &mut dir)?;
            put_node(disk, &dir, node, &root.entries)?;
            above = vec![DxEntry { hash: 0, block: number }];
            bytes[LEVELS_OFFSET] = 1;
        }
        [node] if !is_full(disk, &dir, root) => {
            let (lower, upper) = node.entries.split_at(node.entries.len() / 2);
            let new = directory::append_block(disk, &mut dir)?;
            put_node(disk, &dir, node.block, lower)?;
            put_node(disk, &dir, new, upper)?;
            above.insert(root.at + 1, DxEntry { hash: upper[0].hash, block: number });
        }
        _ => return Ok(false),
    }
    let limit = limit_at(root.offset, bytes.len(), dir.seed.is_some());
    bytes[root.offset..root.offset + 8 * limit].fill(0);
    htree::fill_entries(&mut bytes, dir.seed, root.offset, &above);
    disk.blocks.write(root.block, bytes)?;
    Ok(true)
}

fn put_node(disk: &mut Disk, dir: &Dir, block: Block, entries: &[DxEntry]) -> Result<(), RootfsError> {
    let mut bytes = vec![0; disk.volume.block_size];
    htree::fill_node(&mut bytes, dir.seed, entries);
    disk.blocks.write(block, bytes)
}

/// Rebuilds a directory's blocks as a hash tree, with one more entry.
pub(crate) fn rebuild(disk: &mut Disk, mut dir: Dir, entry: NameEntry) -> Result<(), RootfsError> {
    let block_size = disk.volume.block_size;
    let parent = directory::block(disk, &dir, 0)?.1;
    let parent = InodeNumber(u32::from_le_bytes(parent[12..16].try_into().expect("four bytes")));
    let mut hashed: Vec<(NameHash, NameEntry)> = entries::all(disk, &dir)?
        .into_iter()
        .chain([entry])
        .map(|entry| (hash(disk, &entry.name), entry))
        .collect();
    hashed.sort_by(|(a_hash, a), (b_hash, b)| (a_hash, &a.name).cmp(&(b_hash, &b.name)));

    // Leaves and index blocks keep room, so that this is not to be done soon again.
    let has_checksum = dir.seed.is_some();
    let leaves = cut(&hashed, leaf::space(disk) * 3 / 4);
    let per_node = limit_at(NODE_ENTRIES_OFFSET, block_size, has_checksum) * 3 / 4;
    let root_limit = limit_at(ROOT_ENTRIES_OFFSET, block_size, has_checksum);
    let nodes = if leaves.len() <= root_limit * 3 / 4 { 0 } else { leaves.len().div_ceil(per_node) };
    if nodes > root_limit {
        return Err(disk.limit("the directory has more names than an index of two levels can hold"));
    }
    let blocks = (1 + nodes + leaves.len()) as u64;
    resize(disk, &mut dir, blocks)?;
    dir.inode.i_flags |= INDEX_FL;
    directory::put_inode(disk, &mut dir)?;

    let number = |at: usize| u32::try_from(at).expect("directories have fewer blocks");
    let mut index = Vec::with_capacity(leaves.len());
    for (leaf, range) in leaves.into_iter().enumerate() {
        let first = hashed[range.start].0.major;
        let goes_on = range.start > 0 && hashed[range.start - 1].0.major == first;
        let logical = 1 + nodes + leaf;
        index.push(DxEntry { hash: first | u32::from(goes_on), block: number(logical) });
        let entries: Vec<NameEntry> = hashed[range].iter().map(|(_, entry)| entry.clone()).collect();
        let bytes = leaf::encode(disk, &entries);
        let block = block_of(disk, &dir, logical as u64)?;
        leaf::put(disk, &dir, block, bytes)?;
    }
    let mut root = vec![0; block_size];
    let file_type = if disk.volume.filetype { file_type_code(FileType::Directory) } else { 0 };
    let dots = RootDots { directory: dir.number, parent, file_type };
    if nodes == 0 {
        htree::fill_root(&mut root, dir.seed, dots, 0, &index);
    } else {
        let mut above = Vec::with_capacity(nodes);
        for (node, below) in index.chunks(per_node).enumerate() {
            above.push(DxEntry { hash: below[0].hash, block: number(1 + node) });
            let block = block_of(disk, &dir, 1 + node as u64)?;
            put_node(disk, &dir, block, below)?;
        }
        htree::fill_root(&mut root, dir.seed, dots, 1, &above);
    }
    let first = block_of(disk, &dir, 0)?;
    disk.blocks.write(first, root)
}

fn block_of(disk: &Disk, dir: &Dir, logical: u64) -> Result<Block, RootfsError> {
    dir.block(logical).ok_or_else(|| directory::corrupt(disk, dir.number, DirectoryFault::TooFewBlocks))
}

/// Changes the number of blocks of a directory.
fn resize(disk: &mut Disk, dir: &mut Dir, blocks: u64) -> Result<(), RootfsError> {
    while dir.len() < blocks {
        let logical = dir.len();
        let goal = dir
            .runs
            .last()
            .map_or_else(|| inodes::goal_of(disk, dir.number), |run| Block(run.start + run.len));
        let (start, len) = disk.allocate_blocks(goal, blocks - logical)?;
        Arc::make_mut(&mut dir.runs).push(Run { logical, len, start: start.0, written: true });
    }
    while dir.len() > blocks {
        let surplus = dir.len() - blocks;
        let runs = Arc::make_mut(&mut dir.runs);
        let last = runs.last_mut().expect("it has blocks");
        let cut = surplus.min(last.len);
        last.len -= cut;
        let first = Block(last.start + last.len);
        if last.len == 0 {
            runs.pop();
        }
        disk.free_blocks(first, cut)?;
    }
    Ok(())
}
