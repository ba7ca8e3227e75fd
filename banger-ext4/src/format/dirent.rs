//! Directory entries, and the checksum at the end of a block of them.

use banger_tree::FileType;

use super::crc32c::Checksum;
use super::{BLOCK_SIZE, InodeNumber};

/// Bytes of a leaf block before its checksum tail.
pub(crate) const LEAF_SPACE: usize = BLOCK_SIZE - TAIL_SIZE;
/// Bytes of `struct ext4_dir_entry_tail`.
pub(crate) const TAIL_SIZE: usize = 12;
/// `det_reserved_ft`, which makes the tail look like an unused entry.
pub(crate) const TAIL_FILE_TYPE: u8 = 0xde;
/// Bytes of an entry before its name.
pub(crate) const HEADER_SIZE: usize = 8;

/// Returns the length of an entry: header and name, rounded up to 4.
pub(crate) const fn entry_size(name_len: usize) -> usize {
    HEADER_SIZE.saturating_add(name_len).next_multiple_of(4)
}

/// Returns the length of an entry from its `rec_len`. In blocks of 64 KiB, two values of the field mean the
/// whole block, and its lower bits are the upper ones of the length.
pub(crate) fn entry_length(rec_len: u16, block_size: usize) -> usize {
    let length = usize::from(rec_len);
    match block_size < 0x1_0000 {
        true => length,
        false if matches!(rec_len, 0 | u16::MAX) => block_size,
        false => (length & 0xfffc) | ((length & 3) << 16),
    }
}

/// Returns the `rec_len` of an entry of this length.
///
/// # Panics
/// If the entry is longer than the largest block.
pub(crate) fn length_field(length: usize) -> u16 {
    // Only a whole block of 64 KiB is longer than the field.
    if length == 0x1_0000 { u16::MAX } else { u16::try_from(length).expect("an entry ends in its block") }
}

/// Returns `file_type` of an entry.
pub(crate) fn file_type_code(file_type: FileType) -> u8 {
    match file_type {
        FileType::Regular => 1,
        FileType::Directory => 2,
        FileType::CharDevice => 3,
        FileType::BlockDevice => 4,
        FileType::Fifo => 5,
        FileType::Socket => 6,
        FileType::Symlink => 7,
    }
}

/// Returns the type that an entry's `file_type` means.
pub(crate) fn file_type_of_code(code: u8) -> Option<FileType> {
    Some(match code {
        1 => FileType::Regular,
        2 => FileType::Directory,
        3 => FileType::CharDevice,
        4 => FileType::BlockDevice,
        5 => FileType::Fifo,
        6 => FileType::Socket,
        7 => FileType::Symlink,
        _ => return None,
    })
}

/// Writes `struct ext4_dir_entry_2` at the start of `place`, with a `rec_len` of `place`'s length.
///
/// # Panics
/// If the entry does not fit, or `place` is longer than a block.
pub(crate) fn encode_entry(place: &mut [u8], inode: InodeNumber, file_type: u8, name: &[u8]) {
    let rec_len = length_field(place.len());
    place[0..4].copy_from_slice(&inode.0.to_le_bytes());
    place[4..6].copy_from_slice(&rec_len.to_le_bytes());
    place[6] = u8::try_from(name.len()).expect("names have at most 255 bytes");
    place[7] = file_type;
    place[HEADER_SIZE..][..name.len()].copy_from_slice(name);
}

/// Writes the tail with the checksum of a leaf block. `seed` is the directory's.
pub(crate) fn seal_leaf(block: &mut [u8; BLOCK_SIZE], seed: Checksum) {
    seal(block, seed);
}

/// Writes the tail into a leaf block of any size.
pub(crate) fn seal(block: &mut [u8], seed: Checksum) {
    let space = block.len().saturating_sub(TAIL_SIZE);
    let csum = seed.with(&block[..space]).value();
    let tail = &mut block[space..];
    tail[0..4].fill(0);
    tail[4..6].copy_from_slice(&12_u16.to_le_bytes());
    tail[6] = 0;
    tail[7] = TAIL_FILE_TYPE;
    tail[8..12].copy_from_slice(&csum.to_le_bytes());
}

/// One entry in use, as [`entries`] finds it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct DirEntry<'a> {
    /// The inode.
    pub(crate) inode: InodeNumber,
    /// `file_type`.
    pub(crate) file_type: u8,
    /// The name.
    pub(crate) name: &'a [u8],
}

/// Returns the entries in use of a block, including `.` and `..`, up to the first malformed one.
pub(crate) fn entries(block: &[u8]) -> impl Iterator<Item = DirEntry<'_>> {
    let mut rest = block;
    std::iter::from_fn(move || {
        let [a, b, c, d, e, f, name_len, file_type, ..] = *rest else { return None };
        let rec_len = usize::from(u16::from_le_bytes([e, f]));
        let name = rest.get(HEADER_SIZE..HEADER_SIZE.saturating_add(usize::from(name_len)))?;
        if rec_len < entry_size(name.len()) {
            return None;
        }
        rest = rest.get(rec_len..)?;
        Some(DirEntry { inode: InodeNumber(u32::from_le_bytes([a, b, c, d])), file_type, name })
    })
    .filter(|entry| entry.inode.0 != 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn t03_leaf_tail_and_entries() {
        let mut block = [0; BLOCK_SIZE];
        encode_entry(&mut block[..12], InodeNumber(2), 2, b".");
        encode_entry(&mut block[12..LEAF_SPACE], InodeNumber(77), 1, b"hello");
        let seed = Checksum::of_filesystem(&[9; 16]).of_inode(InodeNumber(2), 0);
        seal_leaf(&mut block, seed);
        assert_eq!(block[4084..4092], [0, 0, 0, 0, 12, 0, 0, 0xde]);
        assert_eq!(block[4092..], seed.with(&block[..4084]).value().to_le_bytes());
        let found: Vec<_> = entries(&block).collect();
        assert_eq!(found.len(), 2, "the tail is no entry in use");
        assert_eq!(found[1], DirEntry { inode: InodeNumber(77), file_type: 1, name: b"hello" });
        for file_type in [
            FileType::Regular,
            FileType::Directory,
            FileType::CharDevice,
            FileType::BlockDevice,
            FileType::Fifo,
            FileType::Socket,
            FileType::Symlink,
        ] {
            assert_eq!(file_type_of_code(file_type_code(file_type)), Some(file_type));
        }
        assert_eq!(file_type_of_code(0), None);
    }
}
