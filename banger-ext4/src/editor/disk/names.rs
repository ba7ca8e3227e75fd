//! Names in directories: finding, adding, removing.

use std::cell::RefMut;

use banger_tree::RootfsError;

use super::Disk;
use super::blocks::{Bytes, View};
use super::dir_cache::NameIndex;
use super::directory;
use super::directory::Dir;
use super::entries;
use super::extents;
use super::index;
use super::index_node;
use super::inline;
use super::inline_out;
use super::inodes;
use super::leaf;
use super::leaf::{LeafRecord, NameEntry};
use crate::editor::disk::corruption::DirectoryFault;
use crate::editor::disk::obstacle::Obstacle;
use crate::format::dirent::{TAIL_SIZE, entry_size, length_field};
use crate::format::{Block, InodeNumber, htree};

/// Largest number of blocks of a directory that gets an index with its next block: the changes must fit the
/// journal.
const LIST_BLOCKS_MAX: u64 = 256;

/// Number of leaves that are searched for names of one hash before all names are remembered.
const HASH_LEAVES_MAX: usize = 8;

/// Position of a name.
#[derive(Debug)]
pub(crate) struct Found {
    logical: u64,
    block: Block,
    bytes: Bytes,
    records: Vec<LeafRecord>,
    at: usize,
}

impl Found {
    pub(crate) fn inode(&self) -> InodeNumber {
        self.records[self.at].entry.inode
    }
}

/// Returns the position of `name`.
pub(crate) fn find(disk: &Disk, dir: &Dir, name: &[u8]) -> Result<Option<Found>, RootfsError> {
    if dir.inode.is_inline() {
        return find_inline(disk, dir, name);
    }
    let blocks = disk.known.borrow_mut().index(dir.number).map(|index| index.blocks_of(name));
    if let Some(blocks) = blocks {
        return find_in(disk, dir, name, blocks);
    }
    if let Some(mut path) = index::probe(disk, dir, name)? {
        for _ in 0..HASH_LEAVES_MAX {
            let found = find_in(disk, dir, name, [path.leaf()])?;
            if found.is_some() || !index::next_leaf_of_hash(disk, dir, &mut path)? {
                return Ok(found);
            }
        }
        // The names have one hash for the most part: the index is a list.
    } else if dir.len() == 1 || !disk.known.borrow_mut().is_searched_often(dir.number) {
        return find_in(disk, dir, name, 0..dir.len());
    }
    let blocks = remember_names(disk, dir)?.blocks_of(name);
    find_in(disk, dir, name, blocks)
}

/// Returns the position of `name` in a directory with entries in its inode. A change of an entry first moves
/// the directory to a block.
pub(super) fn find_inline(disk: &Disk, dir: &Dir, name: &[u8]) -> Result<Option<Found>, RootfsError> {
    let records = inline::records(disk, dir.number, &dir.inode)?;
    let Some(at) = records.iter().position(|r| r.entry.inode.0 != 0 && r.entry.name == name) else {
        return Ok(None);
    };
    entries::check_entry(disk, dir, &records[at].entry)?;
    Ok(Some(Found { logical: 0, block: Block(0), bytes: Bytes::from([]), records, at }))
}

/// Returns the position of `name`, if it is in one of these blocks.
pub(super) fn find_in(
    disk: &Disk,
    dir: &Dir,
    name: &[u8],
    blocks: impl IntoIterator<Item = u64>,
) -> Result<Option<Found>, RootfsError> {
    for logical in blocks {
        let (block, bytes) = directory::block(disk, dir, logical)?;
        if index_node::is_index_block(disk, dir, logical, &bytes)? {
            continue;
        }
        let records = leaf::records(disk, dir, &bytes)?;
        if let Some(at) = records.iter().position(|r| r.entry.inode.0 != 0 && r.entry.name == name) {
            entries::check_entry(disk, dir, &records[at].entry)?;
            return Ok(Some(Found { logical, block, bytes, records, at }));
        }
    }
    Ok(None)
}

/// Remembers which block each name of a directory is in.
pub(super) fn remember_names<'d>(disk: &'d Disk, dir: &Dir) -> Result<RefMut<'d, NameIndex>, RootfsError> {
    let mut index = NameIndex::default();
    for logical in 0..dir.len() {
        let (_, bytes) = directory::block(disk, dir, logical)?;
        if index_node::is_index_block(disk, dir, logical, &bytes)? {
            index.add_block(0);
            continue;
        }
        let mut room = leaf::space(disk);
        for LeafRecord { entry, .. } in leaf::records(disk, dir, &bytes)? {
            if entry.inode.0 == 0 {
                continue;
            }
            room = room.saturating_sub(entry_size(entry.name.len()));
            if entry.name != b"." && entry.name != b".." {
                entries::check_entry(disk, dir, &entry)?;
                index.add_name(&entry.name, logical);
            }
        }
        index.add_block(room);
    }
    let mut known = disk.known.borrow_mut();
    known.add_index(dir.number, index);
    Ok(RefMut::map(known, |known| known.index(dir.number).expect("it was just added")))
}

/// Gives a directory that holds its entries itself a block for them.
pub(super) fn move_entries_out(disk: &mut Disk, number: InodeNumber) -> Result<(), RootfsError> {
    let mut inode = inodes::read(disk, number)?;
    inline_out::move_out(disk, number, &mut inode)
}

/// Adds a name that the directory does not have.
pub(crate) fn insert(disk: &mut Disk, number: InodeNumber, entry: NameEntry) -> Result<(), RootfsError> {
    move_entries_out(disk, number)?;
    let dir = directory::open(disk, number)?;
    if dir.has_casefold() {
        return Err(disk.limit(
            Obstacle::new(
                "its directory compares names without letter case (casefold), and no names are added there",
            )
            .with_advice("mount it to add them"),
        ));
    }
    if dir.is_indexed {
        // Its blocks may be divided.
        disk.known.get_mut().forget_names(number);
        if index::insert(disk, &dir, &entry)? {
            return Ok(());
        }
    }
    if !dir.is_indexed {
        if insert_into_list(disk, &dir, &entry)? {
            return Ok(());
        }
        if !disk.volume.dir_index || dir.len() > LIST_BLOCKS_MAX {
            let mut dir = dir;
            let logical = dir.len();
            let block = directory::append_block(disk, &mut dir)?;
            if let Some(index) = disk.known.get_mut().index(number) {
                index.add_block(disk.volume.block_size - if dir.seed.is_some() { TAIL_SIZE } else { 0 });
                index.inserted(&entry.name, logical);
            }
            let bytes = leaf::encode(disk, &[entry]);
            return leaf::put(disk, &dir, block, bytes);
        }
    }
    disk.known.get_mut().forget_names(number);
    index::rebuild(disk, dir, entry)
}

/// Adds a name to a directory without an index, if one of its blocks has room.
pub(super) fn insert_into_list(disk: &mut Disk, dir: &Dir, entry: &NameEntry) -> Result<bool, RootfsError> {
    let needed = entry_size(entry.name.len());
    let with_room = disk.known.get_mut().index(dir.number).map(|index| index.block_with_room(needed));
    let candidates = match with_room {
        None => 0..dir.len(),
        Some(None) => return Ok(false),
        Some(Some(logical)) => logical..dir.len(),
    };
    for logical in candidates {
        let (block, bytes) = directory::block(disk, dir, logical)?;
        let records = leaf::records(disk, dir, &bytes)?;
        if let Some(bytes) = leaf::with_entry(disk, &bytes, &records, entry) {
            leaf::put(disk, dir, block, bytes)?;
            if let Some(index) = disk.known.get_mut().index(dir.number) {
                index.inserted(&entry.name, logical);
            }
            return Ok(true);
        }
    }
    Ok(false)
}

/// Removes a name; returns its inode.
pub(crate) fn remove(disk: &mut Disk, number: InodeNumber, name: &[u8]) -> Result<InodeNumber, RootfsError> {
    move_entries_out(disk, number)?;
    let dir = directory::open(disk, number)?;
    let found = find(disk, &dir, name)?;
    let Found { logical, block, bytes, records, at } =
        found.ok_or_else(|| directory::corrupt(disk, number, DirectoryFault::LostName))?;
    let mut bytes = bytes.to_vec();
    let record = &records[at];
    let known = disk.known.get_mut();
    if let Some(index) = known.index(number) {
        index.removed(name, logical);
    }
    bytes[record.offset..record.offset + 4].fill(0);
    // Nothing of the name stays, and its room goes to the entry before.
    bytes[record.offset + 6..record.offset + record.rec_len].fill(0);
    if let Some(before) = at.checked_sub(1).map(|before| &records[before]) {
        let joined = length_field(before.rec_len + record.rec_len);
        bytes[before.offset + 4..before.offset + 6].copy_from_slice(&joined.to_le_bytes());
    }
    let inode = record.entry.inode;
    leaf::put(disk, &dir, block, bytes)?;
    Ok(inode)
}

/// Makes a name lead to another inode.
pub(crate) fn replace(disk: &mut Disk, number: InodeNumber, entry: &NameEntry) -> Result<(), RootfsError> {
    move_entries_out(disk, number)?;
    let dir = directory::open(disk, number)?;
    let found = find(disk, &dir, &entry.name)?;
    let Found { block, bytes, records, at, .. } =
        found.ok_or_else(|| directory::corrupt(disk, number, DirectoryFault::LostName))?;
    let mut bytes = bytes.to_vec();
    let record = &records[at];
    leaf::put_entry(disk, &mut bytes[record.offset..record.offset + record.rec_len], entry);
    leaf::put(disk, &dir, block, bytes)
}

/// Returns the inode of a directory's `..`, without a read of its other blocks.
pub(crate) fn parent_of(disk: &Disk, number: InodeNumber) -> Result<InodeNumber, RootfsError> {
    let inode = inodes::read(disk, number)?;
    if inode.is_inline() {
        return Ok(inline::parent_of(disk, &inode));
    }
    let runs = extents::mapping(disk, number, &inode, 0..1)?.runs;
    let first = runs.first().filter(|run| run.logical == 0);
    let first = first.ok_or_else(|| directory::corrupt(disk, number, DirectoryFault::Holes))?;
    let bytes = disk.blocks.read(View::Now, Block(first.start))?;
    // `.` takes the first 12 bytes, always.
    if bytes[4..6] != [12, 0] || bytes[18] != 2 || bytes[20..22] != *b".." {
        return Err(directory::corrupt(disk, number, DirectoryFault::NoDots));
    }
    Ok(InodeNumber(u32::from_le_bytes([bytes[12], bytes[13], bytes[14], bytes[15]])))
}

/// Makes `..` lead to another directory.
pub(crate) fn set_parent(
    disk: &mut Disk,
    number: InodeNumber,
    parent: InodeNumber,
) -> Result<(), RootfsError> {
    move_entries_out(disk, number)?;
    let dir = directory::open(disk, number)?;
    parent_of(disk, number)?;
    put_dots(disk, &dir, None, Some(parent))
}

/// Makes `.` and `..` of a directory with blocks lead to other inodes, if these are given.
pub(crate) fn put_dots(
    disk: &mut Disk,
    dir: &Dir,
    itself: Option<InodeNumber>,
    parent: Option<InodeNumber>,
) -> Result<(), RootfsError> {
    let (block, before) = directory::block(disk, dir, 0)?;
    let mut bytes = before.to_vec();
    for (place, number) in [(0..4, itself), (12..16, parent)] {
        if let Some(number) = number {
            bytes[place].copy_from_slice(&number.0.to_le_bytes());
        }
    }
    if !dir.is_indexed {
        return leaf::put(disk, dir, block, bytes);
    }
    let count = index_node::entries_of(disk, dir, &before, htree::ROOT_ENTRIES_OFFSET)?.len();
    if let Some(seed) = dir.seed {
        htree::seal(&mut bytes, seed, htree::ROOT_ENTRIES_OFFSET + 8 * count);
    }
    disk.blocks.write(block, bytes)
}
