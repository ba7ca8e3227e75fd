//! What was found out about directories, so that a second look costs little.
//!
//! A list directory, as `mkfs.ext4 -d` leaves them, says nothing of where a name is: without this,
//! looking up all of n names would read all blocks n times.

use std::collections::hash_map::Entry;
use std::collections::{BTreeMap, HashMap};
use std::hash::{BuildHasher as _, RandomState};
use std::sync::Arc;

use banger_tree::GuestPath;

use super::extents::Run;
use crate::format::dirent::entry_size;
use crate::format::{Block, InodeNumber};

/// Names that are remembered at most, in all directories.
const NAMES_MAX: usize = 4 << 20;
/// Directories, paths and single names that are remembered at most, each.
const ENTRIES_MAX: usize = 4096;
/// Searches of a directory without an index before its names are remembered.
const SEARCHES: u32 = 2;
/// Sizes that an entry can have, in units of four bytes.
const SIZE_CLASSES: usize = 68;

/// Where a directory's blocks are.
#[derive(Clone, Debug)]
pub(in crate::editor) struct DirMapping {
    pub(in crate::editor) runs: Arc<Vec<Run>>,
    pub(in crate::editor) index_blocks: Arc<Vec<Block>>,
    /// `i_block` that it was read from.
    pub(in crate::editor) i_block: [u8; 60],
    pub(in crate::editor) size: u64,
}

/// The blocks that a directory's names are in, and the room in them.
#[derive(Debug, Default)]
pub(in crate::editor) struct NameIndex {
    hasher: RandomState,
    blocks: HashMap<u64, u32>,
    /// Blocks of names whose hash is taken: next to none, unless names are there twice.
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
    pub(in crate::editor) fn add_block(&mut self, room: usize) {
        self.room.push(u16::try_from(room).unwrap_or(u16::MAX));
    }

    /// Adds a name that is in a block.
    pub(in crate::editor) fn add_name(&mut self, name: &[u8], block: u64) {
        let block = u32::try_from(block).expect("directories have fewer blocks");
        let hash = self.hash(name);
        match self.blocks.entry(hash) {
            Entry::Vacant(place) => {
                place.insert(block);
            }
            Entry::Occupied(_) => self.more.push((hash, block)),
        }
    }

    /// Returns the blocks that may have a name; a name that is in none of them is nowhere.
    pub(in crate::editor) fn blocks_of(&self, name: &[u8]) -> Vec<u64> {
        let hash = self.hash(name);
        let Some(first) = self.blocks.get(&hash) else { return Vec::new() };
        let more = self.more.iter().filter(|(of, _)| *of == hash).map(|(_, block)| *block);
        let mut blocks: Vec<u64> = std::iter::once(*first).chain(more).map(u64::from).collect();
        blocks.sort_unstable();
        blocks.dedup();
        blocks
    }

    /// Takes an entry that was put into a block into account.
    pub(in crate::editor) fn inserted(&mut self, name: &[u8], block: u64) {
        self.add_name(name, block);
        if let Some(room) = self.room.get_mut(block as usize) {
            *room = room.saturating_sub(u16::try_from(entry_size(name.len())).unwrap_or(u16::MAX));
        }
    }

    /// Takes an entry that was removed from a block into account.
    pub(in crate::editor) fn removed(&mut self, name: &[u8], block: u64) {
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
            *room += u16::try_from(entry_size(name.len())).unwrap_or(0);
            self.first_fit.iter_mut().for_each(|first| *first = (*first).min(at));
        }
    }

    /// Returns the first block that has room for an entry of `size` bytes.
    pub(in crate::editor) fn block_with_room(&mut self, size: usize) -> Option<u64> {
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

/// A directory that a path led to.
#[derive(Clone, Debug)]
pub(in crate::editor) struct WalkedDir {
    pub(in crate::editor) inode: InodeNumber,
    /// The path without symlinks.
    pub(in crate::editor) path: GuestPath,
}

/// What was found out about directories; each change of a directory has to be told.
#[derive(Debug, Default)]
pub(in crate::editor) struct DirCache {
    mappings: HashMap<InodeNumber, DirMapping>,
    searches: HashMap<InodeNumber, u32>,
    indexes: HashMap<InodeNumber, NameIndex>,
    /// Names that were found.
    children: HashMap<InodeNumber, HashMap<Vec<u8>, InodeNumber>>,
    children_count: usize,
    /// Subdirectories of directories whose links are not counted any more.
    subdirectories: HashMap<InodeNumber, usize>,
    walked: BTreeMap<Vec<u8>, WalkedDir>,
    /// Whether a path in `walked` leads through symlinks.
    has_links: bool,
    lookups: u64,
}

impl DirCache {
    pub(in crate::editor) fn lookups(&self) -> u64 {
        self.lookups
    }

    pub(in crate::editor) fn count_lookup(&mut self) {
        self.lookups += 1;
    }

    /// Forgets everything: an operation was undone.
    pub(in crate::editor) fn forget_all(&mut self) {
        *self = Self { lookups: self.lookups, ..Self::default() };
    }

    /// Forgets a directory that is there no more, or whose blocks were made anew.
    pub(in crate::editor) fn forget_dir(&mut self, number: InodeNumber) {
        self.mappings.remove(&number);
        self.forget_names(number);
        self.children_count -= self.children.remove(&number).map_or(0, |names| names.len());
        self.subdirectories.remove(&number);
    }

    /// Forgets where a directory's names are.
    pub(in crate::editor) fn forget_names(&mut self, number: InodeNumber) {
        self.searches.remove(&number);
        self.indexes.remove(&number);
    }

    pub(in crate::editor) fn mapping(&self, number: InodeNumber) -> Option<&DirMapping> {
        self.mappings.get(&number)
    }

    pub(in crate::editor) fn forget_mapping(&mut self, number: InodeNumber) {
        self.mappings.remove(&number);
    }

    pub(in crate::editor) fn add_mapping(&mut self, number: InodeNumber, mapping: DirMapping) {
        if self.mappings.len() >= ENTRIES_MAX {
            self.mappings.clear();
        }
        self.mappings.insert(number, mapping);
    }

    /// Returns whether a directory without an index is searched so often that its names are worth
    /// remembering; counts this search.
    pub(in crate::editor) fn is_searched_often(&mut self, number: InodeNumber) -> bool {
        if self.searches.len() >= ENTRIES_MAX && !self.searches.contains_key(&number) {
            self.searches.clear();
        }
        let searches = self.searches.entry(number).or_default();
        *searches += 1;
        *searches >= SEARCHES
    }

    pub(in crate::editor) fn index(&mut self, number: InodeNumber) -> Option<&mut NameIndex> {
        self.indexes.get_mut(&number)
    }

    pub(in crate::editor) fn add_index(&mut self, number: InodeNumber, index: NameIndex) {
        let names: usize = self.indexes.values().map(NameIndex::len).sum();
        if names + index.len() > NAMES_MAX || self.indexes.len() >= ENTRIES_MAX {
            self.indexes.clear();
        }
        self.indexes.insert(number, index);
    }

    pub(in crate::editor) fn child(&self, dir: InodeNumber, name: &[u8]) -> Option<InodeNumber> {
        self.children.get(&dir)?.get(name).copied()
    }

    pub(in crate::editor) fn add_child(&mut self, dir: InodeNumber, name: &[u8], inode: InodeNumber) {
        if self.children_count >= ENTRIES_MAX {
            self.children.clear();
            self.children_count = 0;
        }
        let before = self.children.entry(dir).or_default().insert(name.to_vec(), inode);
        self.children_count += usize::from(before.is_none());
    }

    /// Forgets what a name led to.
    pub(in crate::editor) fn forget_child(&mut self, dir: InodeNumber, name: &[u8]) {
        let before = self.children.get_mut(&dir).and_then(|names| names.remove(name));
        self.children_count -= usize::from(before.is_some());
    }

    pub(in crate::editor) fn subdirectories(&mut self, dir: InodeNumber) -> Option<&mut usize> {
        self.subdirectories.get_mut(&dir)
    }

    pub(in crate::editor) fn set_subdirectories(&mut self, dir: InodeNumber, count: usize) {
        self.subdirectories.insert(dir, count);
    }

    pub(in crate::editor) fn walked(&self, path: &GuestPath) -> Option<&WalkedDir> {
        self.walked.get(path.as_bytes())
    }

    pub(in crate::editor) fn add_walked(&mut self, path: &GuestPath, dir: WalkedDir) {
        if self.walked.len() >= ENTRIES_MAX {
            self.walked.clear();
            self.has_links = false;
        }
        self.has_links |= dir.path != *path;
        self.walked.insert(path.as_bytes().to_vec(), dir);
    }

    /// Forgets the ways through a directory or symlink at `path`, which moves or goes.
    pub(in crate::editor) fn forget_walked(&mut self, path: &GuestPath) {
        if self.has_links {
            self.walked.clear();
            self.has_links = false;
            return;
        }
        self.walked.remove(path.as_bytes());
        let below = |end: u8| [path.as_bytes(), &[end]].concat();
        let keys: Vec<Vec<u8>> =
            self.walked.range(below(b'/')..below(b'/' + 1)).map(|(key, _)| key.clone()).collect();
        for key in keys {
            self.walked.remove(&key);
        }
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

    #[test]
    fn ways_through_what_goes_are_forgotten() {
        let path = |text: &str| GuestPath::parse(text).unwrap();
        let mut cache = DirCache::default();
        let walk = |cache: &mut DirCache, asked: &str, real: &str| {
            cache.add_walked(&path(asked), WalkedDir { inode: InodeNumber(11), path: path(real) });
        };
        for dir in ["/a", "/a/b", "/a/b/c", "/a/bc", "/a-b"] {
            walk(&mut cache, dir, dir);
        }
        cache.forget_walked(&path("/a/b"));
        let known = |cache: &DirCache, text: &str| cache.walked(&path(text)).is_some();
        assert!(!known(&cache, "/a/b") && !known(&cache, "/a/b/c"));
        assert!(known(&cache, "/a") && known(&cache, "/a/bc") && known(&cache, "/a-b"));
        walk(&mut cache, "/link/b", "/a/b");
        cache.forget_walked(&path("/a/b"));
        assert!(!known(&cache, "/link/b"));
    }
}
