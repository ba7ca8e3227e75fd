//! The index format of kmod: `modules.dep.bin` and its like.
//!
//! A file is a header and a trie, all numbers big-endian. A node has the bytes that all its keys go on with,
//! the nodes of the next bytes, and the values of the key that ends here:
//!
//! ```text
//! header   u32 magic, u32 version, u32 offset of the root with its flags
//! node     [prefix, NUL]  [u8 first, u8 last, u32 offset with flags × (last - first + 1)]
//!          [u32 number of values, (u32 priority, text, NUL)…]
//! ```
//! The flags of an offset say which of the three parts a node has. An offset of 0 is a missing node. The
//! children of a node follow it in the order of their bytes, each with everything below it.

use std::collections::BTreeMap;

const MAGIC: u32 = 0xb007_f457;
const VERSION: u32 = 0x0002_0001;
const HEADER_BYTES: usize = 12;

const HAS_PREFIX: u32 = 0x8000_0000;
const HAS_VALUES: u32 = 0x4000_0000;
const HAS_CHILDREN: u32 = 0x2000_0000;
/// Bits of an offset that are no flags.
const OFFSET_MASK: u32 = 0x0fff_ffff;

/// Longest key; real ones have up to 300 bytes. It bounds the depth of the trie.
const MAX_KEY_BYTES: usize = 1024;

/// Why a key or an index cannot be written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum IndexError {
    #[error("it has a name that is not ASCII")]
    NotAscii,
    #[error("it has a name of more than {MAX_KEY_BYTES} bytes")]
    LongKey,
    #[error("the index of all modules has more than 256 MiB")]
    TooLarge,
}

/// An index under construction.
#[derive(Debug, Default)]
pub(super) struct IndexTrie {
    root: TrieNode,
}

#[derive(Debug, Default)]
struct TrieNode {
    prefix: Vec<u8>,
    /// Ordered by priority; of equal ones the last comes first.
    values: Vec<(u32, String)>,
    children: BTreeMap<u8, TrieNode>,
    /// Bytes of the node itself, and with everything below it.
    own_bytes: usize,
    total_bytes: usize,
}

impl IndexTrie {
    /// Adds a value to a key. Small priorities come first.
    pub(super) fn insert(&mut self, key: &str, value: &str, priority: u32) -> Result<(), IndexError> {
        if !key.is_ascii() || !value.is_ascii() || key.contains('\0') {
            return Err(IndexError::NotAscii);
        }
        if key.len() > MAX_KEY_BYTES {
            return Err(IndexError::LongKey);
        }
        self.root.insert(key.as_bytes(), value, priority, true);
        Ok(())
    }

    /// Returns the bytes of the file.
    pub(super) fn finish(mut self) -> Result<Vec<u8>, IndexError> {
        let length = HEADER_BYTES + self.root.measure();
        if u32::try_from(length).is_ok_and(|length| length > OFFSET_MASK) {
            return Err(IndexError::TooLarge);
        }
        let mut bytes = Vec::with_capacity(length);
        put_u32(&mut bytes, MAGIC);
        put_u32(&mut bytes, VERSION);
        put_u32(&mut bytes, self.root.place(HEADER_BYTES)?);
        self.root.write(&mut bytes)?;
        Ok(bytes)
    }
}

impl TrieNode {
    /// Adds a value below this node, at the rest of its key.
    fn insert(&mut self, key: &[u8], value: &str, priority: u32, is_root: bool) {
        let is_new = !is_root && self.values.is_empty() && self.children.is_empty();
        if is_new {
            self.prefix = key.to_vec();
        }
        let shared = self.prefix.iter().zip(key).take_while(|(ours, theirs)| ours == theirs).count();
        if shared < self.prefix.len() {
            let mut below = std::mem::take(self);
            let (byte, rest) = (below.prefix[shared], below.prefix.split_off(shared + 1));
            below.prefix.truncate(shared);
            self.prefix = std::mem::replace(&mut below.prefix, rest);
            self.children.insert(byte, below);
        }
        match key[shared..].split_first() {
            None => {
                let at = self.values.partition_point(|(other, _)| *other < priority);
                self.values.insert(at, (priority, value.to_owned()));
            }
            Some((byte, rest)) => {
                self.children.entry(*byte).or_default().insert(rest, value, priority, false);
            }
        }
    }

    /// Returns the first and the last byte that lead to children.
    fn range(&self) -> Option<(u8, u8)> {
        let first = self.children.first_key_value()?;
        Some((*first.0, *self.children.last_key_value()?.0))
    }

    fn measure(&mut self) -> usize {
        self.own_bytes = 0;
        if !self.prefix.is_empty() {
            self.own_bytes += self.prefix.len() + 1;
        }
        if let Some((first, last)) = self.range() {
            self.own_bytes += 2 + 4 * (usize::from(last - first) + 1);
        }
        if !self.values.is_empty() {
            self.own_bytes += 4 + self.values.iter().map(|(_, value)| 4 + value.len() + 1).sum::<usize>();
        }
        self.total_bytes = self.own_bytes + self.children.values_mut().map(Self::measure).sum::<usize>();
        self.total_bytes
    }

    /// Returns an offset with the flags of this node.
    fn place(&self, offset: usize) -> Result<u32, IndexError> {
        let mut place = u32::try_from(offset).map_err(|_| IndexError::TooLarge)?;
        for (flag, is_there) in [
            (HAS_PREFIX, !self.prefix.is_empty()),
            (HAS_VALUES, !self.values.is_empty()),
            (HAS_CHILDREN, !self.children.is_empty()),
        ] {
            place |= if is_there { flag } else { 0 };
        }
        Ok(place)
    }

    fn write(&self, bytes: &mut Vec<u8>) -> Result<(), IndexError> {
        let mut next = bytes.len() + self.own_bytes;
        if !self.prefix.is_empty() {
            bytes.extend(&self.prefix);
            bytes.push(0);
        }
        if let Some((first, last)) = self.range() {
            bytes.extend([first, last]);
            for byte in first..=last {
                let place = match self.children.get(&byte) {
                    Some(child) => {
                        let place = child.place(next)?;
                        next += child.total_bytes;
                        place
                    }
                    None => 0,
                };
                put_u32(bytes, place);
            }
        }
        if !self.values.is_empty() {
            let count = u32::try_from(self.values.len()).map_err(|_| IndexError::TooLarge)?;
            put_u32(bytes, count);
            for (priority, value) in &self.values {
                put_u32(bytes, *priority);
                bytes.extend(value.as_bytes());
                bytes.push(0);
            }
        }
        self.children.values().try_for_each(|child| child.write(bytes))
    }
}

fn put_u32(bytes: &mut Vec<u8>, number: u32) {
    bytes.extend(number.to_be_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_index_is_the_same_bytes_in_any_order() {
        let keys = ["ab", "abc", "abd", "a", "", "b", "abcdef", "ab"];
        let build = |keys: &[&str]| {
            let mut trie = IndexTrie::default();
            for key in keys {
                trie.insert(key, "v", 0).unwrap();
            }
            trie.finish().unwrap()
        };
        let mut reversed = keys;
        reversed.reverse();
        assert_eq!(build(&keys), build(&reversed));
    }

    #[test]
    fn small_indexes_byte_by_byte() {
        assert_eq!(IndexTrie::default().finish().unwrap(), *b"\xb0\x07\xf4\x57\0\x02\0\x01\0\0\0\x0c");
        let mut trie = IndexTrie::default();
        trie.insert("abc", "x", 7).unwrap();
        let want = [
            &b"\xb0\x07\xf4\x57\0\x02\0\x01\x20\0\0\x0c"[..],
            b"aa\xc0\0\0\x12",
            b"bc\0\0\0\0\x01\0\0\0\x07x\0",
        ];
        assert_eq!(trie.finish().unwrap(), want.concat());
    }

    #[test]
    fn small_priorities_come_first_and_the_last_of_equal_ones() {
        let mut trie = IndexTrie::default();
        for (value, priority) in [("a", 1), ("b", 0), ("c", 1)] {
            trie.insert("k", value, priority).unwrap();
        }
        let bytes = trie.finish().unwrap();
        let texts: Vec<u8> = bytes.into_iter().filter(u8::is_ascii_lowercase).collect();
        assert_eq!(texts, b"kkbca");
    }

    #[test]
    fn odd_keys_are_refused() {
        let mut trie = IndexTrie::default();
        assert_eq!(trie.insert("ü", "", 0), Err(IndexError::NotAscii));
        assert_eq!(trie.insert("a\0", "", 0), Err(IndexError::NotAscii));
        assert_eq!(trie.insert(&"k".repeat(MAX_KEY_BYTES + 1), "", 0), Err(IndexError::LongKey));
        for length in 0..=MAX_KEY_BYTES {
            trie.insert(&"k".repeat(length), "", 0).unwrap();
        }
        trie.finish().unwrap();
    }
}
