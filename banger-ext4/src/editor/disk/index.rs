//! Hash trees of directories: finding a name's leaf, splitting leaves, making them anew.

use std::sync::Arc;

use banger_tree::RootfsError;

use crate::editor::Ext4Editor;
use super::directory::{Dir, Entry};
use super::extents::Run;
use crate::format::crc32c::is_wrong;
use crate::format::dirent::entry_size;
use crate::format::hash::{NameHash, half_md4, name_hash};
use crate::format::htree::{self, DxEntry, NODE_ENTRIES_OFFSET, ROOT_ENTRIES_OFFSET, limit_at};
use crate::format::inode::INDEX_FL;
use crate::format::{Block, InodeNumber};

/// `indirect_levels` of `struct dx_root_info`.
pub(in crate::editor) const LEVELS_OFFSET: usize = 30;

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
pub(in crate::editor) struct Path {
    hash_version: u8,
    hash: u32,
    steps: Vec<Step>,
    /// Leaves there may still be.
    leaves_left: u64,
}

impl Path {
    /// Returns the leaf's number in the directory.
    pub(in crate::editor) fn leaf(&self) -> u64 {
        let step = self.steps.last().expect("the root is always there");
        step.entries[step.at].block.into()
    }
}

impl Ext4Editor {
    /// Returns the hash of a name in an index that is made here.
    fn hash(&self, name: &[u8]) -> NameHash {
        half_md4(name, &self.volume.hash_seed, self.volume.signedness)
    }

    /// Returns the hash of a name in an index of this version; `None` if it is not known.
    pub(in crate::editor) fn hash_by(&self, hash_version: u8, name: &[u8]) -> Option<NameHash> {
        name_hash(hash_version, name, &self.volume.hash_seed, self.volume.signedness)
    }

    /// Returns the entries of an index block that start at `offset`, checked.
    pub(in crate::editor) fn index_entries(
        &self,
        dir: &Dir,
        bytes: &[u8],
        offset: usize,
    ) -> Result<Vec<DxEntry>, RootfsError> {
        let number = |at: usize| usize::from(u16::from_le_bytes([bytes[at], bytes[at + 1]]));
        let (limit, count) = (number(offset), number(offset + 2));
        if limit != limit_at(offset, bytes.len(), dir.seed.is_some()) || count == 0 || count > limit {
            return Err(self.corrupt_dir(dir.number, "has a malformed index"));
        }
        let end = offset + 8 * count;
        if let Some(seed) = dir.seed
            && is_wrong(&bytes[bytes.len() - 4..], &htree::checksum(bytes, seed, end).to_le_bytes()[..])
        {
            return Err(self.corrupt_dir(dir.number, "has an index block with a wrong checksum"));
        }
        let (places, _) = bytes[offset..end].as_chunks::<8>();
        let mut entries: Vec<DxEntry> = places
            .iter()
            .map(|[a, b, c, d, e, f, g, h]| DxEntry {
                hash: u32::from_le_bytes([*a, *b, *c, *d]),
                block: u32::from_le_bytes([*e, *f, *g, *h]),
            })
            .collect();
        // The first one's place holds limit and count.
        entries[0].hash = 0;
        Ok(entries)
    }

    fn step(&self, dir: &Dir, logical: u64, offset: usize, hash: u32) -> Result<Step, RootfsError> {
        let (block, bytes) = self.dir_block(dir, logical)?;
        let entries = self.index_entries(dir, &bytes, offset)?;
        let at = entries[1..].partition_point(|entry| entry.hash <= hash);
        Ok(Step { block, offset, entries, at })
    }

    /// Returns the way to the first leaf that may have `name`; `None` if the directory has no
    /// index, or one by another hash than is known here.
    pub(in crate::editor) fn probe(&self, dir: &Dir, name: &[u8]) -> Result<Option<Path>, RootfsError> {
        if !dir.is_indexed || dir.has_casefold() {
            return Ok(None);
        }
        let (_, root) = self.dir_block(dir, 0)?;
        // `struct dx_root_info`: a reserved word, then these.
        let [hash_version, info_length, levels, _] = root[28..32] else { unreachable!("four bytes") };
        if info_length != 8 || levels > self.volume.index_levels_max() {
            return Err(self.corrupt_dir(dir.number, "has a malformed index"));
        }
        let Some(NameHash { major: hash, .. }) = self.hash_by(hash_version, name) else { return Ok(None) };
        let mut steps = vec![self.step(dir, 0, ROOT_ENTRIES_OFFSET, hash)?];
        for _ in 0..levels {
            let step = &steps[steps.len() - 1];
            let below = step.entries[step.at].block;
            steps.push(self.step(dir, below.into(), NODE_ENTRIES_OFFSET, hash)?);
        }
        Ok(Some(Path { hash_version, hash, steps, leaves_left: dir.len() }))
    }

    /// Goes on to the next leaf if names of the same hash may be there, too.
    pub(in crate::editor) fn next_leaf_of_hash(&self, dir: &Dir, path: &mut Path) -> Result<bool, RootfsError> {
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
            .ok_or_else(|| self.corrupt_dir(dir.number, "has an index that leads to a block twice"))?;
        let mut below = next.block;
        for deeper in level + 1..path.steps.len() {
            let mut step = self.step(dir, below.into(), NODE_ENTRIES_OFFSET, path.hash)?;
            step.at = 0;
            below = step.entries[0].block;
            path.steps[deeper] = step;
        }
        Ok(true)
    }

    /// Adds an entry to an indexed directory; returns whether that could be done without making
    /// the index anew.
    pub(in crate::editor) fn insert_into_index(&mut self, dir: &Dir, entry: &Entry) -> Result<bool, RootfsError> {
        let Some(path) = self.probe(dir, &entry.name)? else { return Ok(false) };
        let (block, bytes) = self.dir_block(dir, path.leaf())?;
        let records = self.records(dir, &bytes)?;
        if let Some(bytes) = self.with_entry(&bytes, &records, entry) {
            self.put_leaf(dir, block, bytes)?;
            return Ok(true);
        }
        let step = path.steps.last().expect("the root is always there");
        if self.is_full(dir, step) {
            // There is room in the block that the next way ends in.
            return Ok(self.make_room(dir, &path)? && self.insert_into_index(&self.dir(dir.number)?, entry)?);
        }

        let entries = records.into_iter().map(|record| record.entry).filter(|entry| entry.inode.0 != 0);
        let hash = |name: &[u8]| self.hash_by(path.hash_version, name).expect("the way was found by it");
        let mut hashed: Vec<(NameHash, Entry)> =
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
        let new_block = self.append_dir_block(&mut dir)?;
        let upper: Vec<Entry> = hashed.split_off(split).into_iter().map(|(_, entry)| entry).collect();
        let lower: Vec<Entry> = hashed.into_iter().map(|(_, entry)| entry).collect();
        let (lower, upper) = (self.encode_leaf(&lower), self.encode_leaf(&upper));
        self.put_leaf(&dir, block, lower)?;
        self.put_leaf(&dir, new_block, upper)?;

        let number = u32::try_from(new_logical).expect("directories have fewer blocks");
        let mut entries = step.entries.clone();
        entries.insert(step.at + 1, DxEntry { hash: first_hash, block: number });
        let mut bytes = self.blocks.read(super::blocks::View::Now, step.block)?.to_vec();
        // The first entry's hash lies under limit and count, which are written over it.
        htree::fill_entries(&mut bytes, dir.seed, step.offset, &entries);
        self.blocks.write(step.block, bytes)?;
        Ok(true)
    }

    fn is_full(&self, dir: &Dir, step: &Step) -> bool {
        step.entries.len() == limit_at(step.offset, self.volume.block_size, dir.seed.is_some())
    }

    /// Makes room in the index block that the way ends in, which is full: divides it or, if it is
    /// the root, moves what it has one level down. Returns whether that could be done.
    ///
    /// Few blocks change, however large the directory: all changes have to fit the journal.
    fn make_room(&mut self, dir: &Dir, path: &Path) -> Result<bool, RootfsError> {
        let mut dir = dir.clone();
        let number = u32::try_from(dir.len()).expect("directories have fewer blocks");
        let root = &path.steps[0];
        let mut bytes = self.blocks.read(super::blocks::View::Now, root.block)?.to_vec();
        let mut above = root.entries.clone();
        match &path.steps[1..] {
            [] => {
                let node = self.append_dir_block(&mut dir)?;
                self.put_node(&dir, node, &root.entries)?;
                above = vec![DxEntry { hash: 0, block: number }];
                bytes[LEVELS_OFFSET] = 1;
            }
            [node] if !self.is_full(&dir, root) => {
                let (lower, upper) = node.entries.split_at(node.entries.len() / 2);
                let new = self.append_dir_block(&mut dir)?;
                self.put_node(&dir, node.block, lower)?;
                self.put_node(&dir, new, upper)?;
                above.insert(root.at + 1, DxEntry { hash: upper[0].hash, block: number });
            }
            _ => return Ok(false),
        }
        let limit = limit_at(root.offset, bytes.len(), dir.seed.is_some());
        bytes[root.offset..root.offset + 8 * limit].fill(0);
        htree::fill_entries(&mut bytes, dir.seed, root.offset, &above);
        self.blocks.write(root.block, bytes)?;
        Ok(true)
    }

    fn put_node(&mut self, dir: &Dir, block: Block, entries: &[DxEntry]) -> Result<(), RootfsError> {
        let mut bytes = vec![0; self.volume.block_size];
        htree::fill_node(&mut bytes, dir.seed, entries);
        self.blocks.write(block, bytes)
    }

    /// Makes a directory's blocks anew as a hash tree, with one entry more.
    pub(in crate::editor) fn rebuild_index(&mut self, mut dir: Dir, entry: Entry) -> Result<(), RootfsError> {
        let block_size = self.volume.block_size;
        let parent = self.dir_block(&dir, 0)?.1;
        let parent = InodeNumber(u32::from_le_bytes(parent[12..16].try_into().expect("four bytes")));
        let mut hashed: Vec<(NameHash, Entry)> = self
            .entries(&dir)?
            .into_iter()
            .chain([entry])
            .map(|entry| (self.hash(&entry.name), entry))
            .collect();
        hashed.sort_by(|(a_hash, a), (b_hash, b)| (a_hash, &a.name).cmp(&(b_hash, &b.name)));

        // Leaves and index blocks keep room, so that this is not to be done soon again.
        let has_checksum = dir.seed.is_some();
        let leaves = cut(&hashed, self.leaf_space() * 3 / 4);
        let per_node = limit_at(NODE_ENTRIES_OFFSET, block_size, has_checksum) * 3 / 4;
        let root_limit = limit_at(ROOT_ENTRIES_OFFSET, block_size, has_checksum);
        let nodes = if leaves.len() <= root_limit * 3 / 4 { 0 } else { leaves.len().div_ceil(per_node) };
        if nodes > root_limit {
            return Err(self.limit("the directory has more names than an index of two levels can hold"));
        }
        let blocks = (1 + nodes + leaves.len()) as u64;
        self.resize_dir(&mut dir, blocks)?;
        dir.inode.i_flags |= INDEX_FL;
        self.put_dir_inode(&mut dir)?;

        let number = |at: usize| u32::try_from(at).expect("directories have fewer blocks");
        let mut index = Vec::with_capacity(leaves.len());
        for (leaf, range) in leaves.into_iter().enumerate() {
            let first = hashed[range.start].0.major;
            let goes_on = range.start > 0 && hashed[range.start - 1].0.major == first;
            let logical = 1 + nodes + leaf;
            index.push(DxEntry { hash: first | u32::from(goes_on), block: number(logical) });
            let entries: Vec<Entry> = hashed[range].iter().map(|(_, entry)| entry.clone()).collect();
            let bytes = self.encode_leaf(&entries);
            let block = self.block_of(&dir, logical as u64)?;
            self.put_leaf(&dir, block, bytes)?;
        }
        let mut root = vec![0; block_size];
        if nodes == 0 {
            htree::fill_root(&mut root, dir.seed, dir.number, parent, 0, &index);
        } else {
            let mut above = Vec::with_capacity(nodes);
            for (node, below) in index.chunks(per_node).enumerate() {
                above.push(DxEntry { hash: below[0].hash, block: number(1 + node) });
                let block = self.block_of(&dir, 1 + node as u64)?;
                self.put_node(&dir, block, below)?;
            }
            htree::fill_root(&mut root, dir.seed, dir.number, parent, 1, &above);
        }
        let first = self.block_of(&dir, 0)?;
        self.blocks.write(first, root)
    }

    fn block_of(&self, dir: &Dir, logical: u64) -> Result<Block, RootfsError> {
        dir.block(logical).ok_or_else(|| self.corrupt_dir(dir.number, "has too few blocks"))
    }

    /// Gives a directory as many blocks as it is to have.
    fn resize_dir(&mut self, dir: &mut Dir, blocks: u64) -> Result<(), RootfsError> {
        while dir.len() < blocks {
            let logical = dir.len();
            let goal =
                dir.runs.last().map_or_else(|| self.goal_of(dir.number), |run| Block(run.start + run.len));
            let (start, len) = self.allocate_blocks(goal, blocks - logical)?;
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
            self.free_blocks(first, cut)?;
        }
        Ok(())
    }
}

/// Returns which names go to which leaf of `space` bytes, in the order of their hashes.
fn cut(hashed: &[(NameHash, Entry)], space: usize) -> Vec<std::ops::Range<usize>> {
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
