//! The blocks of a directory: one list, or a hash tree if one block is not enough.

use std::ops::Range;

use crate::format::crc32c::Checksum;
use crate::format::dirent::{LEAF_SPACE, encode_entry, entry_size, seal_leaf};
use crate::format::hash::{NameHash, Signedness, half_md4};
use crate::format::htree::{self, DxEntry, NODE_LIMIT, ROOT_LIMIT};
use crate::format::{BLOCK_SIZE, InodeNumber};

/// How many bytes of a leaf are left free in an indexed directory, so that the first new names do
/// not split every leaf.
const LEAF_SLACK: usize = LEAF_SPACE / 8;
/// `file_type` of a directory.
const DIRECTORY: u8 = 2;

/// A name in a directory.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Name<'a> {
    /// Its bytes.
    pub(crate) name: &'a [u8],
    /// Its inode.
    pub(crate) inode: InodeNumber,
    /// `file_type`.
    pub(crate) file_type: u8,
}

/// Parameters of a directory's blocks besides its names.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Directory<'a> {
    /// Its own number.
    pub(crate) number: InodeNumber,
    /// Its parent's.
    pub(crate) parent: InodeNumber,
    /// Checksum that its blocks start from.
    pub(crate) seed: Checksum,
    /// `s_hash_seed`.
    pub(crate) hash_seed: &'a [u8; 16],
    /// Blocks to have at least, if it is a list.
    pub(crate) blocks_min: usize,
}

/// The blocks of a directory.
#[derive(Debug)]
pub(crate) struct Encoded {
    /// Whole blocks.
    pub(crate) bytes: Vec<u8>,
    /// Whether they are a hash tree.
    pub(crate) indexed: bool,
}

impl Directory<'_> {
    /// Returns the blocks of the directory with `names`, in any order; `None` if there are more
    /// than a hash tree of two index levels can hold.
    pub(crate) fn encode(&self, names: &[Name<'_>]) -> Option<Encoded> {
        let size: usize = names.iter().map(|name| entry_size(name.name.len())).sum();
        if entry_size(1) + entry_size(2) + size <= LEAF_SPACE {
            return Some(Encoded { bytes: self.encode_list(names), indexed: false });
        }
        Some(Encoded { bytes: self.encode_tree(names)?, indexed: true })
    }

    fn encode_list(&self, names: &[Name<'_>]) -> Vec<u8> {
        let dots = [
            Name { name: b".", inode: self.number, file_type: DIRECTORY },
            Name { name: b"..", inode: self.parent, file_type: DIRECTORY },
        ];
        let mut bytes = Vec::with_capacity(self.blocks_min.max(1) * BLOCK_SIZE);
        self.push_leaf(&mut bytes, dots.iter().chain(names));
        while bytes.len() < self.blocks_min * BLOCK_SIZE {
            self.push_leaf(&mut bytes, [].iter());
        }
        bytes
    }

    fn encode_tree(&self, names: &[Name<'_>]) -> Option<Vec<u8>> {
        let hash = |name: &[u8]| half_md4(name, self.hash_seed, Signedness::Signed);
        let mut hashed: Vec<(NameHash, Name<'_>)> =
            names.iter().map(|name| (hash(name.name), *name)).collect();
        hashed.sort_unstable_by(|(a_hash, a), (b_hash, b)| (a_hash, a.name).cmp(&(b_hash, b.name)));
        let leaves = cut_leaves(&hashed);
        let nodes = if leaves.len() <= ROOT_LIMIT { 0 } else { leaves.len().div_ceil(NODE_LIMIT) };
        if nodes > ROOT_LIMIT {
            return None;
        }

        // The root, the other index blocks, then the leaves.
        let entries = index_entries(&hashed, &leaves, 1 + nodes);
        let mut bytes = Vec::with_capacity((1 + nodes + leaves.len()) * BLOCK_SIZE);
        let root = |levels, entries: &[DxEntry]| {
            htree::encode_root(self.seed, self.number, self.parent, levels, entries)
        };
        if nodes == 0 {
            bytes.extend_from_slice(&root(0, &entries));
        } else {
            let firsts = entries.chunks(NODE_LIMIT).enumerate();
            let above: Vec<DxEntry> = firsts
                .map(|(node, below)| DxEntry { hash: below[0].hash, block: block_number(1 + node) })
                .collect();
            bytes.extend_from_slice(&root(1, &above));
            for below in entries.chunks(NODE_LIMIT) {
                bytes.extend_from_slice(&htree::encode_node(self.seed, below));
            }
        }
        for range in leaves {
            self.push_leaf(&mut bytes, hashed[range].iter().map(|(_, name)| name));
        }
        Some(bytes)
    }

    /// Adds a block of `names`; the last one's entry reaches to the checksum.
    fn push_leaf<'n>(&self, bytes: &mut Vec<u8>, names: impl Iterator<Item = &'n Name<'n>>) {
        let mut block = [0; BLOCK_SIZE];
        let unused = Name { name: b"", inode: InodeNumber(0), file_type: 0 };
        let mut last = (0, unused);
        let mut end = 0;
        for name in names {
            let size = entry_size(name.name.len());
            encode_entry(&mut block[end..end + size], name.inode, name.file_type, name.name);
            last = (end, *name);
            end += size;
        }
        let (start, name) = last;
        encode_entry(&mut block[start..LEAF_SPACE], name.inode, name.file_type, name.name);
        seal_leaf(&mut block, self.seed);
        bytes.extend_from_slice(&block);
    }
}

/// Returns the number of a block of a directory as its index has it.
fn block_number(block: usize) -> u32 {
    u32::try_from(block).expect("at most 2^18 leaves")
}

/// Returns an index entry for each of `leaves`, the first of which is the directory's block
/// `first_leaf`.
fn index_entries(
    hashed: &[(NameHash, Name<'_>)],
    leaves: &[Range<usize>],
    first_leaf: usize,
) -> Vec<DxEntry> {
    let entry = |(leaf, range): (usize, &Range<usize>)| {
        let first = hashed[range.start].0.major;
        let goes_on = range.start > 0 && hashed[range.start - 1].0.major == first;
        DxEntry { hash: first | u32::from(goes_on), block: block_number(first_leaf + leaf) }
    };
    leaves.iter().enumerate().map(entry).collect()
}

/// Returns which names go to which leaf, in the order of their hashes.
fn cut_leaves(hashed: &[(NameHash, Name<'_>)]) -> Vec<Range<usize>> {
    let mut leaves = Vec::new();
    let (mut start, mut used) = (0, 0);
    for (at, (_, name)) in hashed.iter().enumerate() {
        let size = entry_size(name.name.len());
        if used + size > LEAF_SPACE - LEAF_SLACK {
            leaves.push(start..at);
            (start, used) = (at, 0);
        }
        used += size;
    }
    leaves.push(start..hashed.len());
    leaves
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::format::dirent::entries;

    fn encode(names: &[Vec<u8>]) -> Encoded {
        let directory = Directory {
            number: InodeNumber(12),
            parent: InodeNumber(2),
            seed: Checksum::EMPTY,
            hash_seed: &[7; 16],
            blocks_min: 1,
        };
        let name = |name| Name { name, inode: InodeNumber(13), file_type: 1 };
        directory.encode(&names.iter().map(|bytes| name(bytes)).collect::<Vec<_>>()).unwrap()
    }

    fn names(count: usize, length: usize) -> Vec<Vec<u8>> {
        (0..count).map(|number| format!("{number:0length$}").into_bytes()).collect()
    }

    #[test]
    fn t03_one_block_to_the_last_byte() {
        // 12 bytes each for `.` and `..`, then 254 entries of 16 bytes: 4088 is too much.
        for (count, blocks, indexed) in [(0, 1, false), (253, 1, false), (254, 3, true)] {
            let encoded = encode(&names(count, 8));
            assert_eq!((encoded.bytes.len() / BLOCK_SIZE, encoded.indexed), (blocks, indexed), "{count}");
        }
    }

    #[test]
    fn t03_equal_hashes_in_two_leaves_are_marked() {
        let name = Name { name: b"x", inode: InodeNumber(13), file_type: 1 };
        let hashed: Vec<_> = [2, 4, 4, 4, 6, 8].map(|major| (NameHash { major, minor: 0 }, name)).into();
        let entries = index_entries(&hashed, &[0..1, 1..3, 3..4, 4..6], 5);
        let found: Vec<_> = entries.iter().map(|entry| (entry.hash, entry.block)).collect();
        assert_eq!(found, [(2, 5), (4, 6), (4 | 1, 7), (6, 8)]);
    }

    #[test]
    fn t03_every_name_once_and_index_levels() {
        for (count, levels) in [(1000, 0), (9000, 1)] {
            let given = names(count, 200);
            let encoded = encode(&given);
            assert_eq!(encoded.bytes[30], levels, "indirect_levels");
            let mut found: Vec<Vec<u8>> = encoded
                .bytes
                .chunks(BLOCK_SIZE)
                .skip(1)
                .flat_map(|block| entries(block).map(|entry| entry.name.to_vec()).collect::<Vec<_>>())
                .collect();
            found.sort();
            assert_eq!(found, given);
        }
    }
}
