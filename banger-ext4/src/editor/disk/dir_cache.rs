//! Cache of directories, so that a second search costs little.
//!
//! A list directory, as `mkfs.ext4 -d` leaves it, does not say where a name is. Without the cache, n lookups
//! would read all blocks n times.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::hash::{BuildHasher as _, RandomState};
use std::sync::Arc;

use super::runs::Run;
use crate::format::dirent::entry_size;
use crate::format::{Block, InodeNumber};

/// Names that are remembered at most, in all directories.
const NAMES_MAX: usize = 4 << 20;
/// Directories that are remembered at most.
const ENTRIES_MAX: usize = 4096;
/// Searches of a directory without an index before its names are remembered.
const SEARCHES: u32 = 2;
/// Sizes that an entry can have, in units of four bytes.
const SIZE_CLASSES: usize = 68;

/// Positions of a directory's blocks.
#[derive(Clone, Debug)]
pub(crate) struct DirMapping {
    pub(crate) runs: Arc<Vec<Run>>,
    pub(crate) index_blocks: Arc<Vec<Block>>,
    /// `i_block` that it was read from.
    pub(crate) i_block: [u8; 60],
    pub(crate) size: u64,
}

/// The blocks that a directory's names are in, and the room in them.
#[derive(Debug, Default)]
pub(crate) struct NameIndex {
    hasher: RandomState,
    blocks: HashMap<u64, u32>,
    /// Blocks of names whose hash is already in use; almost empty, unless a name exists twice.
    more: Vec<(u64, u32)>,
    /// Free bytes of each block, for entries.
    room: Vec<u16>,
    /// No block before this one has room for an entry of the size.
    first_fit: Vec<u32>,
}

impl NameIndex {
    fn hash(&self, name: &[u8]) -> u64 {
        self.hasher.hash_one(name)
    }

    /// Adds a block with this many free bytes.
    pub(crate) fn add_block(&mut self, room: usize) {
        self.room.push(u16::try_from(room).unwrap_or(u16::MAX));
    }

    /// Adds a name that is in a block.
    pub(crate) fn add_name(&mut self, name: &[u8], block: u64) {
        let block = u32::try_from(block).expect("directories have fewer blocks");
        let hash = self.hash(name);
        match self.blocks.entry(hash) {
            Entry::Vacant(place) => {
                place.insert(block);
            }
            Entry::Occupied(_) => self.more.push((hash, block)),
        }
    }

    /// Returns the blocks that may have a name. Other blocks do not have it.
    pub(crate) fn blocks_of(&self, name: &[u8]) -> Vec<u64> {
        let hash = self.hash(name);
        let Some(first) = self.blocks.get(&hash) else { return Vec::new() };
        let more = self.more.iter().filter(|(of, _)| *of == hash).map(|(_, block)| *block);
        let mut blocks: Vec<u64> = std::iter::once(*first).chain(more).map(u64::from).collect();
        blocks.sort_unstable();
        blocks.dedup();
        blocks
    }

    /// Takes an entry that was put into a block into account.
    pub(crate) fn inserted(&mut self, name: &[u8], block: u64) {
        self.add_name(name, block);
        if let Some(room) = self.room.get_mut(block as usize) {
            *room = room.saturating_sub(u16::try_from(entry_size(name.len())).unwrap_or(u16::MAX));
        }
    }

    /// Takes an entry that was removed from a block into account.
    pub(crate) fn removed(&mut self, name: &[u8], block: u64) {
        let hash = self.hash(name);
        let at = u32::try_from(block).expect("directories have fewer blocks");
        let other = self.more.iter().position(|(of, in_block)| *of == hash && *in_block == at);
        match (self.blocks.get(&hash).copied(), other) {
            (Some(first), _) if first == at => {
                match self.more.iter().position(|(of, _)| *of == hash) {
                    Some(next) => self.blocks.insert(hash, self.more.swap_remove(next).1),
                    None => self.blocks.remove(&hash),
                };
            }
            (_, Some(other)) => drop(self.more.swap_remove(other)),
            _ => {}
        }
        if let Some(room) = self.room.get_mut(block as usize) {
            *room = room.saturating_add(u16::try_from(entry_size(name.len())).unwrap_or(0));
            self.first_fit.iter_mut().for_each(|first| *first = (*first).min(at));
        }
    }

    /// Returns the first block that has room for an entry of `size` bytes.
    pub(crate) fn block_with_room(&mut self, size: usize) -> Option<u64> {
        self.first_fit.resize(SIZE_CLASSES, 0);
        let class = size.div_ceil(4).min(SIZE_CLASSES - 1);
        let from = self.first_fit[class];
        let rest = self.room.get(from as usize..).unwrap_or_default();
        let found = rest.iter().position(|room| usize::from(*room) >= size);
        let at = from as usize + found.unwrap_or(rest.len());
        self.first_fit[class] = u32::try_from(at).expect("directories have fewer blocks");
        found.map(|_| at as u64)
    }

    fn len(&self) -> usize {
        self.blocks.len() + self.more.len()
    }
}

/// Cache of directories; every change of a directory must be reported to it.
#[derive(Debug, Default)]
pub(crate) struct DirCache {
    mappings: HashMap<InodeNumber, DirMapping>,
    searches: HashMap<InodeNumber, u32>,
    indexes: HashMap<InodeNumber, NameIndex>,
}

impl DirCache {
    /// Forgets everything: an operation was undone.
    pub(crate) fn forget_all(&mut self) {
        *self = Self::default();
    }

    /// Forgets a directory that was removed, or whose blocks were made anew.
    pub(crate) fn forget_dir(&mut self, number: InodeNumber) {
        self.mappings.remove(&number);
        self.forget_names(number);
    }

    /// Forgets the blocks of a directory's names.
    pub(crate) fn forget_names(&mut self, number: InodeNumber) {
        self.searches.remove(&number);
        self.indexes.remove(&number);
    }

    pub(crate) fn mapping(&self, number: InodeNumber) -> Option<&DirMapping> {
        self.mappings.get(&number)
    }

    pub(crate) fn forget_mapping(&mut self, number: InodeNumber) {
        self.mappings.remove(&number);
    }

    pub(crate) fn add_mapping(&mut self, number: InodeNumber, mapping: DirMapping) {
        if self.mappings.len() >= ENTRIES_MAX {
            self.mappings.clear();
        }
        self.mappings.insert(number, mapping);
    }

    /// Returns whether a directory without an index is searched so often that its names are worth
    /// remembering; counts this search.
    pub(crate) fn is_searched_often(&mut self, number: InodeNumber) -> bool {
        if self.searches.len() >= ENTRIES_MAX && !self.searches.contains_key(&number) {
            self.searches.clear();
        }
        let searches = self.searches.entry(number).or_default();
        *searches += 1;
        *searches >= SEARCHES
    }

    pub(crate) fn index(&mut self, number: InodeNumber) -> Option<&mut NameIndex> {
        self.indexes.get_mut(&number)
    }

    pub(crate) fn add_index(&mut self, number: InodeNumber, index: NameIndex) {
        let names: usize = self.indexes.values().map(NameIndex::len).sum();
        if names + index.len() > NAMES_MAX || self.indexes.len() >= ENTRIES_MAX {
            self.indexes.clear();
        }
        self.indexes.insert(number, index);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_room_and_names_as_they_come_and_go() {
        let mut index = NameIndex::default();
        index.add_block(0);
        index.add_block(40);
        index.add_block(400);
        assert_eq!(index.block_with_room(entry_size(3)), Some(1));
        index.inserted(b"abc", 1);
        index.inserted(b"def", 1);
        assert_eq!(index.block_with_room(entry_size(200)), Some(2));
        index.inserted(b"ghi", 1);
        assert_eq!(index.block_with_room(entry_size(3)), Some(2));
        index.removed(b"def", 1);
        assert_eq!(index.block_with_room(entry_size(3)), Some(1));
        assert_eq!(index.block_with_room(1000), None);
        assert_eq!(index.blocks_of(b"abc"), [1]);
        assert!(index.blocks_of(b"def").is_empty());
        // A damaged directory can have a name twice.
        index.add_name(b"abc", 2);
        assert_eq!(index.blocks_of(b"abc"), [1, 2]);
        index.removed(b"abc", 1);
        assert_eq!(index.blocks_of(b"abc"), [2]);
    }
}
