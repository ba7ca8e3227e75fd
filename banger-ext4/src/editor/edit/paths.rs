//! Cache of resolved paths, so that a second lookup costs little.

use std::collections::{BTreeMap, HashMap};

use banger_tree::GuestPath;

use crate::format::InodeNumber;

/// Directories, paths and single names that are remembered at most, each.
const ENTRIES_MAX: usize = 4096;

/// The directory of a path.
#[derive(Clone, Debug)]
pub(super) struct WalkedDir {
    pub(super) inode: InodeNumber,
    /// The path without symlinks.
    pub(super) path: GuestPath,
}

/// Cache of resolved paths; every change of a directory must be reported to it.
#[derive(Debug, Default)]
pub(super) struct PathCache {
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

impl PathCache {
    pub(super) fn lookups(&self) -> u64 {
        self.lookups
    }

    pub(super) fn count_lookup(&mut self) {
        self.lookups += 1;
    }

    /// Forgets everything: an operation was undone.
    pub(super) fn forget_all(&mut self) {
        *self = Self { lookups: self.lookups, ..Self::default() };
    }

    /// Forgets a removed directory.
    pub(super) fn forget_dir(&mut self, number: InodeNumber) {
        self.children_count -= self.children.remove(&number).map_or(0, |names| names.len());
        self.subdirectories.remove(&number);
    }

    pub(super) fn child(&self, dir: InodeNumber, name: &[u8]) -> Option<InodeNumber> {
        self.children.get(&dir)?.get(name).copied()
    }

    pub(super) fn add_child(&mut self, dir: InodeNumber, name: &[u8], inode: InodeNumber) {
        if self.children_count >= ENTRIES_MAX {
            self.children.clear();
            self.children_count = 0;
        }
        let before = self.children.entry(dir).or_default().insert(name.to_vec(), inode);
        self.children_count += usize::from(before.is_none());
    }

    /// Forgets the inode of a name.
    pub(super) fn forget_child(&mut self, dir: InodeNumber, name: &[u8]) {
        let before = self.children.get_mut(&dir).and_then(|names| names.remove(name));
        self.children_count -= usize::from(before.is_some());
    }

    pub(super) fn subdirectories(&mut self, dir: InodeNumber) -> Option<&mut usize> {
        self.subdirectories.get_mut(&dir)
    }

    pub(super) fn set_subdirectories(&mut self, dir: InodeNumber, count: usize) {
        self.subdirectories.insert(dir, count);
    }

    pub(super) fn walked(&self, path: &GuestPath) -> Option<&WalkedDir> {
        self.walked.get(path.as_bytes())
    }

    pub(super) fn add_walked(&mut self, path: &GuestPath, dir: WalkedDir) {
        if self.walked.len() >= ENTRIES_MAX {
            self.walked.clear();
            self.has_links = false;
        }
        self.has_links |= dir.path != *path;
        self.walked.insert(path.as_bytes().to_vec(), dir);
    }

    /// Forgets the paths through a directory or symlink at `path` that is moved or removed.
    pub(super) fn forget_walked(&mut self, path: &GuestPath) {
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
    fn ways_through_what_goes_are_forgotten() {
        let path = |text: &str| GuestPath::parse(text).unwrap();
        let mut cache = PathCache::default();
        let walk = |cache: &mut PathCache, asked: &str, real: &str| {
            cache.add_walked(&path(asked), WalkedDir { inode: InodeNumber(11), path: path(real) });
        };
        for dir in ["/a", "/a/b", "/a/b/c", "/a/bc", "/a-b"] {
            walk(&mut cache, dir, dir);
        }
        cache.forget_walked(&path("/a/b"));
        let known = |cache: &PathCache, text: &str| cache.walked(&path(text)).is_some();
        assert!(!known(&cache, "/a/b") && !known(&cache, "/a/b/c"));
        assert!(known(&cache, "/a") && known(&cache, "/a/bc") && known(&cache, "/a-b"));
        walk(&mut cache, "/link/b", "/a/b");
        cache.forget_walked(&path("/a/b"));
        assert!(!known(&cache, "/link/b"));
    }
}
