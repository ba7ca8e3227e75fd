//! Entries of a directory in memory.

use std::collections::{BTreeMap, btree_map};
use std::{iter, slice, vec};

use crate::inode_id::InodeId;

/// Up to this number of names, a list takes less memory than a map and is as fast.
const LIST_MAX: usize = 8;

/// A name and its inode.
type Named = (Box<[u8]>, InodeId);

/// Entries of a directory, ordered by the bytes of their names.
///
/// Most directories have few names, and an image may have millions of directories with one name. Small
/// directories are lists without spare room.
#[derive(Clone, Debug)]
pub struct Children(Entries);

#[derive(Clone, Debug)]
#[expect(clippy::box_collection, reason = "a list is three words wide, and most directories have one")]
enum Entries {
    /// In order.
    List(Vec<Named>),
    Map(Box<BTreeMap<Box<[u8]>, InodeId>>),
}

impl Default for Children {
    fn default() -> Self {
        Self::new()
    }
}

impl PartialEq for Children {
    fn eq(&self, other: &Self) -> bool {
        self.len() == other.len() && self.iter().eq(other.iter())
    }
}

impl Eq for Children {}

impl Children {
    /// Returns the entries of an empty directory.
    pub const fn new() -> Self {
        Self(Entries::List(Vec::new()))
    }

    /// Returns the number of names.
    pub fn len(&self) -> usize {
        match &self.0 {
            Entries::List(list) => list.len(),
            Entries::Map(map) => map.len(),
        }
    }

    /// Returns whether the directory is empty.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Returns the inode of `name`.
    pub fn get(&self, name: &[u8]) -> Option<&InodeId> {
        match &self.0 {
            Entries::List(list) => search(list, name).ok().map(|at| &list[at].1),
            Entries::Map(map) => map.get(name),
        }
    }

    /// Returns whether `name` exists.
    pub fn contains_key(&self, name: &[u8]) -> bool {
        self.get(name).is_some()
    }

    /// Sets the inode of `name` to `id`; returns the old inode.
    pub fn insert(&mut self, name: Box<[u8]>, id: InodeId) -> Option<InodeId> {
        match &mut self.0 {
            Entries::Map(map) => map.insert(name, id),
            Entries::List(list) => match search(list, &name) {
                Ok(at) => Some(std::mem::replace(&mut list[at].1, id)),
                Err(at) if list.len() < LIST_MAX => {
                    list.reserve_exact(1);
                    list.insert(at, (name, id));
                    None
                }
                Err(_) => {
                    let mut map: BTreeMap<_, _> = std::mem::take(list).into_iter().collect();
                    map.insert(name, id);
                    self.0 = Entries::Map(Box::new(map));
                    None
                }
            },
        }
    }

    /// Removes `name`; returns its inode.
    pub fn remove(&mut self, name: &[u8]) -> Option<InodeId> {
        match &mut self.0 {
            Entries::List(list) => search(list, name).ok().map(|at| list.remove(at).1),
            Entries::Map(map) => {
                let removed = map.remove(name);
                if map.is_empty() {
                    self.0 = Entries::List(Vec::new());
                }
                removed
            }
        }
    }

    /// Returns names and inodes in order.
    pub fn iter(&self) -> ChildrenIter<'_> {
        ChildrenIter(match &self.0 {
            Entries::List(list) => Inner::List(list.iter()),
            Entries::Map(map) => Inner::Map(map.iter()),
        })
    }

    /// Returns the names in order.
    pub fn keys(&self) -> impl DoubleEndedIterator<Item = &Box<[u8]>> {
        self.iter().map(|(name, _)| name)
    }

    /// Returns the inodes in the order of their names.
    pub fn values(&self) -> impl DoubleEndedIterator<Item = &InodeId> {
        self.iter().map(|(_, id)| id)
    }

    /// Returns the inodes in the order of their names.
    pub fn into_values(self) -> impl Iterator<Item = InodeId> {
        let (list, map) = match self.0 {
            Entries::List(list) => (list, None),
            Entries::Map(map) => (Vec::new(), Some(map)),
        };
        let of_list: iter::Map<vec::IntoIter<Named>, fn(Named) -> InodeId> =
            list.into_iter().map(|(_, id)| id);
        of_list.chain(map.into_iter().flat_map(|map| map.into_values()))
    }
}

fn search(list: &[Named], name: &[u8]) -> Result<usize, usize> {
    list.binary_search_by(|(other, _)| (**other).cmp(name))
}

/// Iterator of [`Children::iter`].
#[derive(Clone, Debug)]
pub struct ChildrenIter<'a>(Inner<'a>);

#[derive(Clone, Debug)]
enum Inner<'a> {
    List(slice::Iter<'a, Named>),
    Map(btree_map::Iter<'a, Box<[u8]>, InodeId>),
}

impl<'a> Iterator for ChildrenIter<'a> {
    type Item = (&'a Box<[u8]>, &'a InodeId);

    fn next(&mut self) -> Option<Self::Item> {
        match &mut self.0 {
            Inner::List(list) => list.next().map(|(name, id)| (name, id)),
            Inner::Map(map) => map.next(),
        }
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        match &self.0 {
            Inner::List(list) => list.size_hint(),
            Inner::Map(map) => map.size_hint(),
        }
    }
}

impl DoubleEndedIterator for ChildrenIter<'_> {
    fn next_back(&mut self) -> Option<Self::Item> {
        match &mut self.0 {
            Inner::List(list) => list.next_back().map(|(name, id)| (name, id)),
            Inner::Map(map) => map.next_back(),
        }
    }
}

impl ExactSizeIterator for ChildrenIter<'_> {}

impl<'a> IntoIterator for &'a Children {
    type Item = (&'a Box<[u8]>, &'a InodeId);
    type IntoIter = ChildrenIter<'a>;

    fn into_iter(self) -> ChildrenIter<'a> {
        self.iter()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::attributes::Attributes;
    use crate::inode::Inode;
    use crate::kind::NodeKind;
    use crate::tree::Tree;

    #[test]
    fn lists_and_maps_tell_the_same() {
        // Ids come from a tree alone; which ones does not matter.
        let mut tree = Tree::new();
        let root = tree.root();
        let ids: Vec<InodeId> = (0..40)
            .map(|n| {
                let inode = Inode::new(NodeKind::Fifo, Attributes::default());
                tree.insert(root, format!("{n}").as_bytes(), inode).unwrap()
            })
            .collect();
        for count in [0, 1, LIST_MAX - 1, LIST_MAX, LIST_MAX + 1, 40] {
            let (mut children, mut map) = (Children::new(), BTreeMap::new());
            for (n, id) in ids[..count].iter().enumerate() {
                // In no order.
                let name: Box<[u8]> = format!("{}", n * 7 % 41).into_bytes().into();
                assert_eq!(children.insert(name.clone(), *id), map.insert(name.clone(), *id));
                assert_eq!(children.insert(name.clone(), *id), Some(*id));
            }
            assert!(children.iter().eq(map.iter()) && children.iter().rev().eq(map.iter().rev()));
            assert_eq!((children.len(), children.iter().len()), (count, count));
            assert!(children.keys().eq(map.keys()) && children.values().rev().eq(map.values().rev()));
            assert!(children.clone().into_values().eq(map.clone().into_values()));
            for name in map.keys() {
                assert_eq!(children.get(name), map.get(name));
                assert_eq!(children.remove(name), map.get(name).copied());
                assert!(!children.contains_key(name) && children.remove(name).is_none());
            }
            assert_eq!(children, Children::new());
        }
        assert!(size_of::<Children>() <= 24, "millions of them are held");
    }
}
