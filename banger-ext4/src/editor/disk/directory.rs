//! Directories: their blocks, and the names in them.

use std::sync::Arc;

use banger_tree::{FileType, RootfsError, check_name, escape_bytes};

use crate::editor::Ext4Editor;
use super::blocks::{Bytes, View};
use super::dir_cache::{DirMapping, NameIndex};
use super::extents::{LOGICAL_END, Run};
use super::inline::is_inline;
use super::whole_inode::WholeInode;
use crate::format::crc32c::{Checksum, is_wrong};
use crate::format::dirent::{
    HEADER_SIZE, TAIL_FILE_TYPE, TAIL_SIZE, encode_entry, entry_length, entry_size, seal,
};
use crate::format::inode::{CASEFOLD_FL, INDEX_FL};
use crate::format::{Block, InodeNumber, htree};

/// Blocks of a directory without an index that gets one with the next block: what changes for it has
/// to fit the journal.
const LIST_BLOCKS_MAX: u64 = 256;

/// A name and what it leads to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::editor) struct Entry {
    pub(in crate::editor) name: Vec<u8>,
    pub(in crate::editor) inode: InodeNumber,
    pub(in crate::editor) file_type: u8,
}

/// Leaves of an index that are searched for names of one hash before all names are remembered.
const HASH_LEAVES_MAX: usize = 8;

/// Where an entry is in its block.
#[derive(Clone, Debug)]
pub(in crate::editor) struct Record {
    offset: usize,
    rec_len: usize,
    pub(in crate::editor) entry: Entry,
}

/// Where a name was found.
#[derive(Debug)]
pub(in crate::editor) struct Found {
    logical: u64,
    block: Block,
    bytes: Bytes,
    records: Vec<Record>,
    at: usize,
}

impl Found {
    pub(in crate::editor) fn inode(&self) -> InodeNumber {
        self.records[self.at].entry.inode
    }
}

/// A directory under work.
#[derive(Clone, Debug)]
pub(in crate::editor) struct Dir {
    pub(in crate::editor) number: InodeNumber,
    pub(in crate::editor) inode: WholeInode,
    /// Its blocks, without holes.
    pub(in crate::editor) runs: Arc<Vec<Run>>,
    /// Blocks of its extent tree.
    pub(in crate::editor) index_blocks: Arc<Vec<Block>>,
    pub(in crate::editor) is_indexed: bool,
    pub(in crate::editor) seed: Option<Checksum>,
}

impl Dir {
    /// Returns whether names are looked up without letter case, by a hash that is not known here.
    pub(in crate::editor) fn has_casefold(&self) -> bool {
        self.inode.i_flags & CASEFOLD_FL != 0
    }

    /// Returns how many blocks there are.
    pub(in crate::editor) fn len(&self) -> u64 {
        self.runs.last().map_or(0, |run| run.logical + run.len)
    }

    /// Returns the block of this number.
    pub(in crate::editor) fn block(&self, logical: u64) -> Option<Block> {
        let at = self.runs.partition_point(|run| run.logical + run.len <= logical);
        self.runs.get(at).map(|run| Block(run.start + (logical - run.logical)))
    }
}

impl Ext4Editor {
    pub(in crate::editor) fn corrupt_dir(&self, number: InodeNumber, what: &str) -> RootfsError {
        self.volume.corrupt(format!("directory inode {} {what}", number.0))
    }

    /// Returns a directory's inode with where its blocks are.
    pub(in crate::editor) fn dir(&self, number: InodeNumber) -> Result<Dir, RootfsError> {
        let inode = self.inode(number)?;
        if FileType::from_mode_bits(inode.i_mode) != Some(FileType::Directory) {
            return Err(self.corrupt_dir(number, "is none"));
        }
        self.check_not_encrypted(number, &inode)?;
        let known = self.known.borrow().mapping(number).cloned();
        let known = known.filter(|known| known.i_block == inode.i_block && known.size == inode.size());
        let mapping = match known {
            Some(known) => known,
            None => {
                let mapping = self.dir_mapping(number, &inode)?;
                self.known.borrow_mut().add_mapping(number, mapping.clone());
                mapping
            }
        };
        Ok(Dir {
            number,
            is_indexed: self.volume.dir_index && inode.i_flags & INDEX_FL != 0,
            seed: self.volume.seed_of(number, inode.i_generation),
            inode,
            runs: mapping.runs,
            index_blocks: mapping.index_blocks,
        })
    }

    /// Returns where a directory's blocks are, checked.
    fn dir_mapping(&self, number: InodeNumber, inode: &WholeInode) -> Result<DirMapping, RootfsError> {
        let mapping = self.mapping(number, inode, 0..LOGICAL_END)?;
        let mut end = 0;
        for run in &mapping.runs {
            if run.logical != end || !run.written {
                return Err(self.corrupt_dir(number, "has holes"));
            }
            end += run.len;
        }
        let is_whole = end > 0 && inode.size() == end * self.volume.block_size as u64;
        if !is_whole && !is_inline(inode) {
            return Err(self.corrupt_dir(number, "has another size than its blocks"));
        }
        // Else a few blocks could be as many as there are numbers, and each has names.
        let mut places: Vec<(u64, u64)> = mapping.runs.iter().map(|run| (run.start, run.len)).collect();
        places.sort_unstable();
        if places.windows(2).any(|pair| pair[0].0 + pair[0].1 > pair[1].0) {
            return Err(self.corrupt_dir(number, "has a block twice"));
        }
        Ok(DirMapping {
            runs: Arc::new(mapping.runs),
            index_blocks: Arc::new(mapping.index_blocks),
            i_block: inode.i_block,
            size: inode.size(),
        })
    }

    pub(in crate::editor) fn dir_block(&self, dir: &Dir, logical: u64) -> Result<(Block, Bytes), RootfsError> {
        let block = dir
            .block(logical)
            .ok_or_else(|| self.corrupt_dir(dir.number, "has an index that leads beyond its end"))?;
        self.check_cancelled()?;
        Ok((block, self.blocks.read(View::Now, block)?))
    }

    /// Returns the bytes of a leaf that are for entries.
    pub(in crate::editor) fn leaf_space(&self) -> usize {
        self.volume.block_size - if self.volume.seed.is_some() { TAIL_SIZE } else { 0 }
    }

    /// Returns all records of a leaf, unused ones too, checked.
    pub(in crate::editor) fn records(&self, dir: &Dir, bytes: &[u8]) -> Result<Vec<Record>, RootfsError> {
        let space = self.leaf_space();
        if let Some(seed) = dir.seed {
            let tail = &bytes[space..];
            if tail[..8] != [0, 0, 0, 0, 12, 0, 0, TAIL_FILE_TYPE]
                || is_wrong(&tail[8..], &seed.with(&bytes[..space]).value().to_le_bytes()[..])
            {
                return Err(self.corrupt_dir(dir.number, "has a block with a wrong checksum"));
            }
        }
        self.records_in(dir.number, &bytes[..space])
    }

    /// Returns all records that fill `bytes`, unused ones too.
    pub(in crate::editor) fn records_in(&self, number: InodeNumber, bytes: &[u8]) -> Result<Vec<Record>, RootfsError> {
        let malformed = || self.corrupt_dir(number, "has a malformed entry");
        let space = bytes.len();
        let mut records = Vec::new();
        let mut offset = 0;
        while offset < space {
            let [a, b, c, d, e, f, name_len, file_type, ..] = bytes[offset..space] else {
                return Err(malformed());
            };
            let rec_len = entry_length(u16::from_le_bytes([e, f]), self.volume.block_size);
            let inode = InodeNumber(u32::from_le_bytes([a, b, c, d]));
            let least = entry_size(if inode.0 == 0 { 0 } else { name_len.into() });
            if rec_len < least || !rec_len.is_multiple_of(4) || offset + rec_len > space {
                return Err(malformed());
            }
            let name = match inode.0 {
                0 => Vec::new(),
                _ => bytes[offset + HEADER_SIZE..][..name_len.into()].to_vec(),
            };
            records.push(Record { offset, rec_len, entry: Entry { name, inode, file_type } });
            offset += rec_len;
        }
        Ok(records)
    }

    /// Returns whether a block of an indexed directory is of the index, its checksum checked.
    fn is_index_block(&self, dir: &Dir, logical: u64, bytes: &[u8]) -> Result<bool, RootfsError> {
        if !dir.is_indexed {
            return Ok(false);
        }
        let rec_len = u16::from_le_bytes([bytes[4], bytes[5]]);
        let block_size = self.volume.block_size;
        let is_node = bytes[0..4] == [0; 4] && entry_length(rec_len, block_size) == block_size;
        if logical == 0 {
            self.index_entries(dir, bytes, htree::ROOT_ENTRIES_OFFSET)?;
        } else if is_node && dir.seed.is_some() {
            self.index_entries(dir, bytes, htree::NODE_ENTRIES_OFFSET)?;
        }
        Ok(logical == 0 || is_node)
    }

    /// Calls `visit` with each entry but `.` and `..`.
    fn for_each_entry(&self, dir: &Dir, mut visit: impl FnMut(&Entry)) -> Result<(), RootfsError> {
        if is_inline(&dir.inode) {
            for Record { entry, .. } in self.inline_records(dir.number, &dir.inode)? {
                if entry.inode.0 != 0 {
                    self.check_entry(dir, &entry)?;
                    visit(&entry);
                }
            }
            return Ok(());
        }
        for logical in 0..dir.len() {
            let (_, bytes) = self.dir_block(dir, logical)?;
            if self.is_index_block(dir, logical, &bytes)? {
                continue;
            }
            for Record { entry, .. } in self.records(dir, &bytes)? {
                if entry.inode.0 == 0 || entry.name == b"." || entry.name == b".." {
                    continue;
                }
                self.check_entry(dir, &entry)?;
                visit(&entry);
            }
        }
        Ok(())
    }

    fn check_entry(&self, dir: &Dir, entry: &Entry) -> Result<(), RootfsError> {
        let number = entry.inode.0;
        if check_name(&entry.name).is_err() {
            return Err(self.corrupt_dir(dir.number, &format!("has the name {}", escape_bytes(&entry.name))));
        }
        if number < self.volume.first_inode || number > self.volume.inodes_count {
            return Err(self.corrupt_dir(dir.number, &format!("has an entry for inode {number}")));
        }
        Ok(())
    }

    /// Returns all entries but `.` and `..`.
    pub(in crate::editor) fn entries(&self, dir: &Dir) -> Result<Vec<Entry>, RootfsError> {
        let mut entries = Vec::new();
        self.for_each_entry(dir, |entry| entries.push(entry.clone()))?;
        Ok(entries)
    }

    /// Returns where `name` is.
    pub(in crate::editor) fn find(&self, dir: &Dir, name: &[u8]) -> Result<Option<Found>, RootfsError> {
        if is_inline(&dir.inode) {
            return self.find_inline(dir, name);
        }
        let blocks = self.known.borrow_mut().index(dir.number).map(|index| index.blocks_of(name));
        if let Some(blocks) = blocks {
            return self.find_in(dir, name, blocks);
        }
        if let Some(mut path) = self.probe(dir, name)? {
            for _ in 0..HASH_LEAVES_MAX {
                let found = self.find_in(dir, name, [path.leaf()])?;
                if found.is_some() || !self.next_leaf_of_hash(dir, &mut path)? {
                    return Ok(found);
                }
            }
            // The names have one hash for the most part: the index is a list.
        } else if dir.len() == 1 || !self.known.borrow_mut().is_searched_often(dir.number) {
            return self.find_in(dir, name, 0..dir.len());
        }
        let blocks = self.remember_names(dir)?.blocks_of(name);
        self.find_in(dir, name, blocks)
    }

    /// Returns where `name` is in a directory that holds its entries itself. What changes an entry moves
    /// the directory to a block first.
    fn find_inline(&self, dir: &Dir, name: &[u8]) -> Result<Option<Found>, RootfsError> {
        let records = self.inline_records(dir.number, &dir.inode)?;
        let Some(at) = records.iter().position(|r| r.entry.inode.0 != 0 && r.entry.name == name) else {
            return Ok(None);
        };
        self.check_entry(dir, &records[at].entry)?;
        Ok(Some(Found { logical: 0, block: Block(0), bytes: Bytes::from([]), records, at }))
    }

    /// Returns where `name` is, if it is in one of these blocks.
    fn find_in(
        &self,
        dir: &Dir,
        name: &[u8],
        blocks: impl IntoIterator<Item = u64>,
    ) -> Result<Option<Found>, RootfsError> {
        for logical in blocks {
            let (block, bytes) = self.dir_block(dir, logical)?;
            if self.is_index_block(dir, logical, &bytes)? {
                continue;
            }
            let records = self.records(dir, &bytes)?;
            if let Some(at) = records.iter().position(|r| r.entry.inode.0 != 0 && r.entry.name == name) {
                self.check_entry(dir, &records[at].entry)?;
                return Ok(Some(Found { logical, block, bytes, records, at }));
            }
        }
        Ok(None)
    }

    /// Remembers which block each name of a directory is in.
    fn remember_names(&self, dir: &Dir) -> Result<std::cell::RefMut<'_, NameIndex>, RootfsError> {
        let mut index = NameIndex::default();
        for logical in 0..dir.len() {
            let (_, bytes) = self.dir_block(dir, logical)?;
            if self.is_index_block(dir, logical, &bytes)? {
                index.add_block(0);
                continue;
            }
            let mut room = self.leaf_space();
            for Record { entry, .. } in self.records(dir, &bytes)? {
                if entry.inode.0 == 0 {
                    continue;
                }
                room = room.saturating_sub(entry_size(entry.name.len()));
                if entry.name != b"." && entry.name != b".." {
                    self.check_entry(dir, &entry)?;
                    index.add_name(&entry.name, logical);
                }
            }
            index.add_block(room);
        }
        let mut known = self.known.borrow_mut();
        known.add_index(dir.number, index);
        Ok(std::cell::RefMut::map(known, |known| known.index(dir.number).expect("it was just added")))
    }

    /// Gives a directory that holds its entries itself a block for them.
    fn move_entries_out(&mut self, number: InodeNumber) -> Result<(), RootfsError> {
        let mut inode = self.inode(number)?;
        self.move_inline_out(number, &mut inode)
    }

    /// Writes a leaf with its checksum.
    pub(in crate::editor) fn put_leaf(
        &mut self,
        dir: &Dir,
        block: Block,
        mut bytes: Vec<u8>,
    ) -> Result<(), RootfsError> {
        if let Some(seed) = dir.seed {
            seal(&mut bytes, seed);
        }
        self.blocks.write(block, bytes)
    }

    /// Returns the bytes of a leaf with `entries`, without gaps.
    pub(in crate::editor) fn encode_leaf(&self, entries: &[Entry]) -> Vec<u8> {
        let space = self.leaf_space();
        let mut bytes = vec![0; self.volume.block_size];
        let mut offset = 0;
        for (at, entry) in entries.iter().enumerate() {
            let end = if at + 1 == entries.len() { space } else { offset + entry_size(entry.name.len()) };
            encode_entry(&mut bytes[offset..end], entry.inode, entry.file_type, &entry.name);
            offset = end;
        }
        if entries.is_empty() {
            encode_entry(&mut bytes[..space], InodeNumber(0), 0, b"");
        }
        bytes
    }

    /// Adds a name that the directory does not have.
    pub(in crate::editor) fn insert_entry(&mut self, number: InodeNumber, entry: Entry) -> Result<(), RootfsError> {
        self.move_entries_out(number)?;
        let dir = self.dir(number)?;
        if dir.has_casefold() {
            return Err(self.limit(
                "its directory compares names without letter case (casefold), and no names are added there; \
                 mount it to add them",
            ));
        }
        if dir.is_indexed {
            // Its blocks may be divided.
            self.known.get_mut().forget_names(number);
            if self.insert_into_index(&dir, &entry)? {
                return Ok(());
            }
        }
        if !dir.is_indexed {
            if self.insert_into_list(&dir, &entry)? {
                return Ok(());
            }
            if !self.volume.dir_index || dir.len() > LIST_BLOCKS_MAX {
                let mut dir = dir;
                let logical = dir.len();
                let block = self.append_dir_block(&mut dir)?;
                if let Some(index) = self.known.get_mut().index(number) {
                    index.add_block(self.volume.block_size - if dir.seed.is_some() { TAIL_SIZE } else { 0 });
                    index.inserted(&entry.name, logical);
                }
                let bytes = self.encode_leaf(&[entry]);
                return self.put_leaf(&dir, block, bytes);
            }
        }
        self.known.get_mut().forget_names(number);
        self.rebuild_index(dir, entry)
    }

    /// Adds a name to a directory without an index, if one of its blocks has room.
    fn insert_into_list(&mut self, dir: &Dir, entry: &Entry) -> Result<bool, RootfsError> {
        let needed = entry_size(entry.name.len());
        let with_room = self.known.get_mut().index(dir.number).map(|index| index.block_with_room(needed));
        let candidates = match with_room {
            None => 0..dir.len(),
            Some(None) => return Ok(false),
            Some(Some(logical)) => logical..dir.len(),
        };
        for logical in candidates {
            let (block, bytes) = self.dir_block(dir, logical)?;
            let records = self.records(dir, &bytes)?;
            if let Some(bytes) = self.with_entry(&bytes, &records, entry) {
                self.put_leaf(dir, block, bytes)?;
                if let Some(index) = self.known.get_mut().index(dir.number) {
                    index.inserted(&entry.name, logical);
                }
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Returns a leaf with one more entry, if there is room; gaps are closed where that helps.
    pub(in crate::editor) fn with_entry(&self, bytes: &[u8], records: &[Record], entry: &Entry) -> Option<Vec<u8>> {
        let needed = entry_size(entry.name.len());
        for record in records {
            let used = if record.entry.inode.0 == 0 { 0 } else { entry_size(record.entry.name.len()) };
            if record.rec_len >= used + needed {
                let mut bytes = bytes.to_vec();
                if used > 0 {
                    let used = u16::try_from(used).expect("at most 264");
                    bytes[record.offset + 4..record.offset + 6].copy_from_slice(&used.to_le_bytes());
                }
                let place = &mut bytes[record.offset + used..record.offset + record.rec_len];
                place.fill(0);
                encode_entry(place, entry.inode, entry.file_type, &entry.name);
                return Some(bytes);
            }
        }
        let mut entries: Vec<Entry> = records
            .iter()
            .filter(|record| record.entry.inode.0 != 0)
            .map(|record| record.entry.clone())
            .collect();
        let used: usize = entries.iter().map(|entry| entry_size(entry.name.len())).sum();
        (used + needed <= self.leaf_space()).then(|| {
            entries.push(entry.clone());
            self.encode_leaf(&entries)
        })
    }

    /// Takes a name away; returns what it led to.
    pub(in crate::editor) fn remove_entry(
        &mut self,
        number: InodeNumber,
        name: &[u8],
    ) -> Result<InodeNumber, RootfsError> {
        self.move_entries_out(number)?;
        let dir = self.dir(number)?;
        let found = self.find(&dir, name)?;
        let Found { logical, block, bytes, records, at } =
            found.ok_or_else(|| self.corrupt_dir(number, "lost a name"))?;
        let mut bytes = bytes.to_vec();
        let record = &records[at];
        let known = self.known.get_mut();
        known.forget_child(number, name);
        if let Some(index) = known.index(number) {
            index.removed(name, logical);
        }
        bytes[record.offset..record.offset + 4].fill(0);
        // Nothing of the name stays, and its room goes to the entry before.
        bytes[record.offset + 6..record.offset + record.rec_len].fill(0);
        if let Some(before) = at.checked_sub(1).map(|before| &records[before]) {
            let joined = u16::try_from(before.rec_len + record.rec_len).expect("at most a block");
            bytes[before.offset + 4..before.offset + 6].copy_from_slice(&joined.to_le_bytes());
        }
        let inode = record.entry.inode;
        self.put_leaf(&dir, block, bytes)?;
        Ok(inode)
    }

    /// Makes a name lead to another inode.
    pub(in crate::editor) fn replace_entry(&mut self, number: InodeNumber, entry: &Entry) -> Result<(), RootfsError> {
        self.move_entries_out(number)?;
        let dir = self.dir(number)?;
        let found = self.find(&dir, &entry.name)?;
        self.known.get_mut().forget_child(number, &entry.name);
        let Found { block, bytes, records, at, .. } =
            found.ok_or_else(|| self.corrupt_dir(number, "lost a name"))?;
        let mut bytes = bytes.to_vec();
        let record = &records[at];
        encode_entry(
            &mut bytes[record.offset..record.offset + record.rec_len],
            entry.inode,
            entry.file_type,
            &entry.name,
        );
        self.put_leaf(&dir, block, bytes)
    }

    /// Returns what a directory's `..` leads to, without a look at its other blocks.
    pub(in crate::editor) fn parent_of(&self, number: InodeNumber) -> Result<InodeNumber, RootfsError> {
        let inode = self.inode(number)?;
        if is_inline(&inode) {
            return Ok(self.inline_parent(&inode));
        }
        let runs = self.mapping(number, &inode, 0..1)?.runs;
        let first = runs.first().filter(|run| run.logical == 0);
        let first = first.ok_or_else(|| self.corrupt_dir(number, "has holes"))?;
        let bytes = self.blocks.read(View::Now, Block(first.start))?;
        // `.` takes the first 12 bytes, always.
        if bytes[4..6] != [12, 0] || bytes[18] != 2 || bytes[20..22] != *b".." {
            return Err(self.corrupt_dir(number, "does not start with . and .."));
        }
        Ok(InodeNumber(u32::from_le_bytes([bytes[12], bytes[13], bytes[14], bytes[15]])))
    }

    /// Makes `..` lead to another directory.
    pub(in crate::editor) fn set_parent(&mut self, number: InodeNumber, parent: InodeNumber) -> Result<(), RootfsError> {
        self.move_entries_out(number)?;
        let dir = self.dir(number)?;
        self.parent_of(number)?;
        let (block, bytes) = self.dir_block(&dir, 0)?;
        let mut bytes = bytes.to_vec();
        bytes[12..16].copy_from_slice(&parent.0.to_le_bytes());
        if !dir.is_indexed {
            return self.put_leaf(&dir, block, bytes);
        }
        let before = self.dir_block(&dir, 0)?.1;
        let count = self.index_entries(&dir, &before, htree::ROOT_ENTRIES_OFFSET)?.len();
        if let Some(seed) = dir.seed {
            htree::seal(&mut bytes, seed, htree::ROOT_ENTRIES_OFFSET + 8 * count);
        }
        self.blocks.write(block, bytes)
    }

    /// Adds a block to a directory, which the caller has to fill.
    pub(in crate::editor) fn append_dir_block(&mut self, dir: &mut Dir) -> Result<Block, RootfsError> {
        let goal = dir.runs.last().map_or_else(|| self.goal_of(dir.number), |run| Block(run.start + run.len));
        let block = self.allocate_block(goal)?;
        let logical = dir.len();
        Arc::make_mut(&mut dir.runs).push(Run { logical, len: 1, start: block.0, written: true });
        self.put_dir_inode(dir)?;
        Ok(block)
    }

    /// Writes a directory's inode with the blocks it has.
    pub(in crate::editor) fn put_dir_inode(&mut self, dir: &mut Dir) -> Result<(), RootfsError> {
        self.set_mapping(dir.number, &mut dir.inode, &dir.runs, &dir.index_blocks)?;
        self.known.get_mut().forget_mapping(dir.number);
        dir.index_blocks = Arc::new(self.mapping(dir.number, &dir.inode, 0..LOGICAL_END)?.index_blocks);
        let size = dir.len() * self.volume.block_size as u64;
        dir.inode.set_size(size);
        self.put_inode(dir.number, &dir.inode)
    }
}
