//! Extended attributes, in inodes and in blocks of their own.

use super::crc32c::Checksum;
use super::{BLOCK_SIZE, Block, acl};

/// `h_magic`, in inodes too.
pub(crate) const MAGIC: u32 = 0xea02_0000;
/// Bytes of an entry before its name.
const ENTRY_SIZE: usize = 16;
/// Bytes of `struct ext4_xattr_header` in a block.
pub(crate) const BLOCK_HEADER_SIZE: usize = 32;
/// Offset of `h_checksum` in a block.
const CHECKSUM_PLACE: std::ops::Range<usize> = 16..20;
/// Zeros that end the entries.
const END_SIZE: usize = 4;
/// Space for entries and values in an inode with `i_extra_isize` 32.
pub(crate) const INODE_SPACE: usize = super::inode::XATTR_SPACE - 4 - END_SIZE;
/// Space for entries and values in a block.
pub(crate) const BLOCK_SPACE: usize = space_of_block(BLOCK_SIZE);

/// Prefixes of names that are stored as a number; a longer one comes before its own prefix.
const PREFIXES: [(&[u8], u8); 5] =
    [(acl::ACCESS, 2), (acl::DEFAULT, 3), (b"user.", 1), (b"trusted.", 4), (b"security.", 6)];

/// One attribute in its stored form: the value of an ACL is already converted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Entry<'a> {
    /// `e_name_index`.
    pub(crate) name_index: u8,
    /// The name after the prefix.
    pub(crate) name: &'a [u8],
    /// The value; of [`ValueInode`], nothing.
    pub(crate) value: std::borrow::Cow<'a, [u8]>,
}

/// Place of an entry's value, if it is the content of an inode (`ea_inode`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ValueInode {
    /// `e_value_inum`.
    pub(crate) number: super::InodeNumber,
    /// `e_value_size`.
    pub(crate) size: u32,
}

impl Entry<'_> {
    /// Returns the bytes that entry and value take.
    pub(crate) fn size(&self) -> usize {
        let parts = [ENTRY_SIZE, self.name.len().next_multiple_of(4), self.value.len().next_multiple_of(4)];
        parts.into_iter().fold(0, usize::saturating_add)
    }

    /// Returns the sort key of entries.
    pub(crate) fn order(&self) -> (u8, usize, &[u8]) {
        (self.name_index, self.name.len(), self.name)
    }

    /// Returns `e_hash`: of the name, then of the value's words.
    fn hash(&self) -> u32 {
        self.hash_with(u32::from)
    }

    /// Returns `e_hash` of kernels before 6.2 with a signed `char`.
    fn signed_hash(&self) -> u32 {
        self.hash_with(|byte| i32::from(i8::from_le_bytes([byte])).cast_unsigned())
    }

    fn hash_with(&self, value_of: impl Fn(u8) -> u32) -> u32 {
        let mut hash = 0_u32;
        for byte in self.name {
            hash = hash.rotate_left(5) ^ value_of(*byte);
        }
        for word in self.value.chunks(4) {
            let mut bytes = [0; 4];
            bytes[..word.len()].copy_from_slice(word);
            hash = hash.rotate_left(16) ^ u32::from_le_bytes(bytes);
        }
        hash
    }
}

/// Splits a full name into `e_name_index` and the rest, or returns `None` if ext4 has no
/// namespace for it.
pub(crate) fn split_name(full: &[u8]) -> Option<(u8, &[u8])> {
    PREFIXES.iter().find_map(|(prefix, index)| {
        let rest = full.strip_prefix(*prefix)?;
        // ACLs are whole names, the others need one behind the dot.
        (rest.is_empty() != prefix.ends_with(b".")).then_some((*index, rest))
    })
}

/// Returns the full name that [`split_name`] split.
pub(crate) fn full_name(name_index: u8, name: &[u8]) -> Option<Vec<u8>> {
    let (prefix, _) = PREFIXES.iter().find(|(_, index)| *index == name_index)?;
    Some([prefix, name].concat())
}

/// Returns the space after the fields of an inode with `entries` in it.
///
/// # Panics
/// If they take more than [`INODE_SPACE`].
pub(crate) fn encode_in_inode(entries: &[&Entry<'_>]) -> [u8; super::inode::XATTR_SPACE] {
    let mut space = [0; super::inode::XATTR_SPACE];
    fill_in_inode(&mut space, entries);
    space
}

/// Writes `entries` into the space after the fields of an inode of any size, which is zeros.
///
/// # Panics
/// If they take more than [`space_in_inode`].
pub(crate) fn fill_in_inode(space: &mut [u8], entries: &[&Entry<'_>]) {
    if !entries.is_empty() {
        let (magic, body) = space.split_at_mut(4);
        magic.copy_from_slice(&MAGIC.to_le_bytes());
        // In an inode, offsets count from after the magic, and hashes are not needed.
        encode_entries(body, 0, entries, |_| 0);
    }
}

/// Returns the space for entries and values in an inode of `inode_size` bytes with all its fields.
pub(crate) fn space_in_inode(inode_size: usize) -> usize {
    let fields = super::inode::GOOD_OLD_SIZE.saturating_add(usize::from(super::inode::EXTRA_ISIZE));
    inode_size.saturating_sub(fields).saturating_sub(4).saturating_sub(END_SIZE)
}

/// Returns the block `block` with `entries`, which are in order.
///
/// # Panics
/// If they take more than [`BLOCK_SPACE`].
pub(crate) fn encode_block(seed: Checksum, block: Block, entries: &[&Entry<'_>]) -> [u8; BLOCK_SIZE] {
    let mut bytes = [0; BLOCK_SIZE];
    fill_block(&mut bytes, Some(seed), block, entries);
    bytes
}

/// Returns the space for entries and values in a block of `block_size` bytes.
pub(crate) const fn space_of_block(block_size: usize) -> usize {
    block_size.saturating_sub(BLOCK_HEADER_SIZE).saturating_sub(END_SIZE)
}

/// Writes the block `block`, of any size, into zeros; with a checksum if there is a `seed`.
///
/// # Panics
/// If `entries` take more than [`space_of_block`].
pub(crate) fn fill_block(bytes: &mut [u8], seed: Option<Checksum>, block: Block, entries: &[&Entry<'_>]) {
    let h_hash = entries.iter().fold(0_u32, |hash, entry| hash.rotate_left(16) ^ entry.hash());
    bytes[0..4].copy_from_slice(&MAGIC.to_le_bytes());
    // `h_refcount` and `h_blocks`.
    bytes[4..8].copy_from_slice(&1_u32.to_le_bytes());
    bytes[8..12].copy_from_slice(&1_u32.to_le_bytes());
    bytes[12..16].copy_from_slice(&h_hash.to_le_bytes());
    encode_entries(bytes, BLOCK_HEADER_SIZE, entries, |entry| entry.hash());
    if let Some(seed) = seed {
        seal_block(bytes, seed, block);
    }
}

/// Writes the checksum of an xattr block.
pub(crate) fn seal_block(bytes: &mut [u8], seed: Checksum, block: Block) {
    bytes[CHECKSUM_PLACE].fill(0);
    let csum = seed.of_block(block).with(bytes).value();
    bytes[CHECKSUM_PLACE].copy_from_slice(&csum.to_le_bytes());
}

/// Writes entries from `start` on and their values from the end of `space` backwards.
fn encode_entries(
    space: &mut [u8],
    start: usize,
    entries: &[&Entry<'_>],
    e_hash: impl Fn(&Entry<'_>) -> u32,
) {
    // Entries grow from the front of `rest`, values from its end.
    let mut values = space.len();
    let mut rest = &mut space[start..];
    for entry in entries {
        let value_size = entry.value.len().next_multiple_of(4);
        values = values.checked_sub(value_size).expect("the caller measured the entries");
        let e_value_offs = if value_size == 0 { 0 } else { values };
        let (entries_left, value) = rest.split_at_mut(rest.len().saturating_sub(value_size));
        value[..entry.value.len()].copy_from_slice(&entry.value);
        let (head, after) = entries_left.split_at_mut(ENTRY_SIZE);
        head[0] = u8::try_from(entry.name.len()).expect("names have at most 255 bytes");
        head[1] = entry.name_index;
        let offset = u16::try_from(e_value_offs).expect("an offset in a block");
        head[2..4].copy_from_slice(&offset.to_le_bytes());
        let size = u32::try_from(entry.value.len()).expect("values fit a block");
        head[8..12].copy_from_slice(&size.to_le_bytes());
        head[12..16].copy_from_slice(&e_hash(entry).to_le_bytes());
        let (name, after) = after.split_at_mut(entry.name.len().next_multiple_of(4));
        name[..entry.name.len()].copy_from_slice(entry.name);
        rest = after;
    }
    assert!(rest.len() >= END_SIZE, "the caller measured the entries");
}

/// Returns the entries of an inode's space (`start` 0, after the magic) or of a block (`start` 32)
/// as names and values; `None` if an entry is malformed.
pub(crate) fn decode_entries(space: &[u8], start: usize) -> Option<Vec<Entry<'_>>> {
    let entries = decode_all(space, start)?;
    // Values in inodes need a reader of inodes.
    entries.into_iter().map(|found| found.value_inode.is_none().then_some(found.entry)).collect()
}

/// An entry with the place of its value.
#[derive(Clone, Debug)]
pub(crate) struct FoundEntry<'a> {
    /// The entry.
    pub(crate) entry: Entry<'a>,
    /// Place of its value, if that is in an inode.
    pub(crate) value_inode: Option<ValueInode>,
    /// Place of its value in the space, if that has bytes there.
    pub(crate) value_offset: Option<usize>,
    e_hash: u32,
}

impl FoundEntry<'_> {
    /// Returns whether the attribute is the rest of the content of its inode: `system.data`.
    pub(crate) fn is_inline_data(&self) -> bool {
        self.entry.name_index == 7 && self.entry.name == b"data"
    }
}

/// Returns whether an entry of an inode's space or of a block has a wrong `e_hash`, which the kernel ignores.
/// In an inode, 0 means no hash.
pub(crate) fn has_wrong_hash(space: &[u8], start: usize) -> bool {
    let is_wrong = |FoundEntry { entry, value_inode, e_hash, .. }: &FoundEntry<'_>| {
        // That of a value in an inode is of the hash in there.
        let says_nothing = (start == 0 && *e_hash == 0) || value_inode.is_some();
        !says_nothing && *e_hash != entry.hash() && *e_hash != entry.signed_hash()
    };
    decode_all(space, start).is_some_and(|entries| entries.iter().any(is_wrong))
}

/// Like [`decode_entries`], also for values in inodes.
pub(crate) fn decode_all(space: &[u8], start: usize) -> Option<Vec<FoundEntry<'_>>> {
    let mut entries = Vec::new();
    let mut values = Vec::new();
    let mut place = start;
    while let Some(head) = space.get(place..place.checked_add(ENTRY_SIZE)?) {
        let [name_len, name_index, a, b, ..] = *head else { return None };
        if head[0..4] == [0; 4] {
            break;
        }
        place = place.checked_add(ENTRY_SIZE)?;
        let name = space.get(place..place.checked_add(usize::from(name_len))?)?;
        place = place.checked_add(name.len().next_multiple_of(4))?;
        let size = u32::from_le_bytes(head[8..12].try_into().expect("four bytes"));
        let offset = usize::from(u16::from_le_bytes([a, b]));
        let number = u32::from_le_bytes(head[4..8].try_into().expect("four bytes"));
        let value_inode = (number != 0).then_some(ValueInode { number: super::InodeNumber(number), size });
        let value = match value_inode {
            Some(_) => &[],
            None => space.get(offset..offset.checked_add(usize::try_from(size).ok()?)?)?,
        };
        if !value.is_empty() {
            values.push((offset, value.len().next_multiple_of(4)));
        }
        let e_hash = u32::from_le_bytes(head[12..16].try_into().expect("four bytes"));
        entries.push(FoundEntry {
            value_offset: (!value.is_empty()).then_some(offset),
            entry: Entry { name_index, name, value: value.into() },
            value_inode,
            e_hash,
        });
    }
    // Values that overlap could be far more than the space they are in.
    values.sort_unstable();
    for (offset, len) in values {
        (place <= offset).then_some(())?;
        place = offset.checked_add(len)?;
    }
    (place <= space.len()).then_some(entries)
}

/// Makes the entries of an inode's space or of a block whose value is the inode `old` name the inode `new`; returns
/// whether there are some.
pub(crate) fn replace_value_inode(
    space: &mut [u8],
    start: usize,
    old: super::InodeNumber,
    new: super::InodeNumber,
) -> bool {
    let mut place = start;
    let mut has_some = false;
    while let Some(head) = space.get_mut(place..place.saturating_add(ENTRY_SIZE)) {
        if head[0..4] == [0; 4] {
            break;
        }
        let name_len = usize::from(head[0]);
        if head[4..8] == old.0.to_le_bytes() {
            head[4..8].copy_from_slice(&new.0.to_le_bytes());
            has_some = true;
        }
        place = place.saturating_add(ENTRY_SIZE).saturating_add(name_len.next_multiple_of(4));
    }
    has_some
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry<'a>(full: &'a [u8], value: &'a [u8]) -> Entry<'a> {
        let (name_index, name) = split_name(full).unwrap();
        Entry { name_index, name, value: value.into() }
    }

    #[test]
    fn t09_names_split_and_join() {
        for (full, want) in [
            (&b"user.x"[..], Some((1, &b"x"[..]))),
            (b"system.posix_acl_access", Some((2, b""))),
            (b"system.posix_acl_default", Some((3, b""))),
            (b"trusted.overlay.opaque", Some((4, b"overlay.opaque"))),
            (b"security.capability", Some((6, b"capability"))),
            (b"system.posix_acl_accessX", None),
            (b"user.", None),
            (b"system.data", None),
            (b"plain", None),
        ] {
            assert_eq!(split_name(full), want, "{full:?}");
            if let Some((index, name)) = want {
                assert_eq!(full_name(index, name).unwrap(), full);
            }
        }
    }

    #[test]
    fn t09_values_do_not_overlap() {
        let (a, b) = (entry(b"user.a", &[1; 2000]), entry(b"user.b", &[2; 1000]));
        let block = encode_block(Checksum::EMPTY, Block(9), &[&a, &b]);
        // The second value at the place of the first, four bytes before its end, among the names.
        for (offset, is_sound) in [(4096 - 2000, false), (4096 - 4, false), (40, false), (4096 - 3000, true)]
        {
            let mut shared = block;
            shared[54..56].copy_from_slice(&u16::try_from(offset).unwrap().to_le_bytes());
            shared[60..62].copy_from_slice(&4_u16.to_le_bytes());
            assert_eq!(decode_entries(&shared, 32).is_some(), is_sound, "{offset}");
        }
    }

    #[test]
    fn t09_offsets_in_inode_and_block() {
        let (a, b) = (entry(b"user.a", b"12345"), entry(b"security.capability", b""));
        let space = encode_in_inode(&[&a, &b]);
        assert_eq!(space[..4], MAGIC.to_le_bytes());
        assert_eq!(space[6..8], [84, 0], "counted from after the magic");
        assert_eq!(space[88..93], *b"12345");
        assert_eq!(decode_entries(&space[4..], 0).unwrap(), [a.clone(), b.clone()]);

        let seed = Checksum::of_filesystem(&[2; 16]);
        let block = encode_block(seed, Block(99), &[&a, &b]);
        assert_eq!(decode_entries(&block, 32).unwrap(), [a.clone(), b.clone()]);
        for (at, is_malformed) in [(34, true), (36, true), (40, false), (44, false), (BLOCK_SIZE - 6, false)]
        {
            let mut damaged = block;
            damaged[at] ^= 1;
            assert_eq!(decode_entries(&damaged, 32).is_none(), is_malformed, "byte {at}");
            assert!(is_malformed || has_wrong_hash(&damaged, 32), "byte {at}");
        }
        assert!(!has_wrong_hash(&block, 32) && !has_wrong_hash(&space[4..], 0));
        let mut zeroed = block;
        zeroed[16..20].fill(0);
        assert_eq!(block[16..20], seed.of_block(Block(99)).with(&zeroed).value().to_le_bytes());
        assert_eq!(encode_in_inode(&[]), [0; 96]);
    }
}
