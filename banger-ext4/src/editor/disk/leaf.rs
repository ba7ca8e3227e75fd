//! Leaves of directories: the entries in a block.

use banger_tree::RootfsError;

use super::Disk;
use super::directory;
use super::directory::Dir;
use crate::editor::disk::corruption::DirectoryFault;
use crate::format::crc32c::is_wrong;
use crate::format::dirent::{
    HEADER_SIZE, TAIL_FILE_TYPE, TAIL_SIZE, encode_entry, entry_length, entry_size, seal,
};
use crate::format::{Block, InodeNumber};

/// A name and its inode.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct NameEntry {
    pub(crate) name: Vec<u8>,
    pub(crate) inode: InodeNumber,
    pub(crate) file_type: u8,
}

/// Position of an entry in its block.
#[derive(Clone, Debug)]
pub(crate) struct LeafRecord {
    pub(super) offset: usize,
    pub(super) rec_len: usize,
    pub(crate) entry: NameEntry,
}

/// Returns the bytes of a leaf that are for entries.
pub(crate) fn space(disk: &Disk) -> usize {
    disk.volume.block_size - if disk.volume.seed.is_some() { TAIL_SIZE } else { 0 }
}

/// Returns all records of a leaf, unused ones too, checked.
pub(crate) fn records(disk: &Disk, dir: &Dir, bytes: &[u8]) -> Result<Vec<LeafRecord>, RootfsError> {
    let space = space(disk);
    if let Some(seed) = dir.seed {
        let tail = &bytes[space..];
        if tail[..8] != [0, 0, 0, 0, 12, 0, 0, TAIL_FILE_TYPE]
            || is_wrong(&tail[8..], &seed.with(&bytes[..space]).value().to_le_bytes()[..])
        {
            return Err(directory::corrupt(disk, dir.number, DirectoryFault::BlockChecksum));
        }
    }
    records_in(disk, dir.number, &bytes[..space])
}

/// Returns all records that fill `bytes`, unused ones too.
pub(crate) fn records_in(
    disk: &Disk,
    number: InodeNumber,
    bytes: &[u8],
) -> Result<Vec<LeafRecord>, RootfsError> {
    let malformed = || directory::corrupt(disk, number, DirectoryFault::Entry);
    let space = bytes.len();
    let mut records = Vec::new();
    let mut offset = 0;
    while offset < space {
        let [a, b, c, d, e, f, name_len, file_type, ..] = bytes[offset..space] else {
            return Err(malformed());
        };
        let rec_len = entry_length(u16::from_le_bytes([e, f]), disk.volume.block_size);
        let inode = InodeNumber(u32::from_le_bytes([a, b, c, d]));
        let least = entry_size(if inode.0 == 0 { 0 } else { name_len.into() });
        if rec_len < least || !rec_len.is_multiple_of(4) || offset + rec_len > space {
            return Err(malformed());
        }
        let name = match inode.0 {
            0 => Vec::new(),
            _ => bytes[offset + HEADER_SIZE..][..name_len.into()].to_vec(),
        };
        records.push(LeafRecord { offset, rec_len, entry: NameEntry { name, inode, file_type } });
        offset += rec_len;
    }
    Ok(records)
}

/// Returns a leaf whose names lead to `new` instead of `old`, but not `.` and `..`.
pub(crate) fn with_inode_replaced(
    disk: &Disk,
    dir: &Dir,
    bytes: &[u8],
    old: InodeNumber,
    new: InodeNumber,
) -> Result<Vec<u8>, RootfsError> {
    let records = records(disk, dir, bytes)?;
    let mut bytes = bytes.to_vec();
    replace_inode(&mut bytes, &records, old, new);
    Ok(bytes)
}

/// Makes the names among `records` of `bytes` that lead to `old` lead to `new`, but not `.` and `..`.
pub(super) fn replace_inode(bytes: &mut [u8], records: &[LeafRecord], old: InodeNumber, new: InodeNumber) {
    for LeafRecord { offset, entry, .. } in records {
        if entry.inode == old && entry.name != b"." && entry.name != b".." {
            bytes[*offset..offset + 4].copy_from_slice(&new.0.to_le_bytes());
        }
    }
}

/// Writes a leaf with its checksum.
pub(crate) fn put(disk: &mut Disk, dir: &Dir, block: Block, mut bytes: Vec<u8>) -> Result<(), RootfsError> {
    if let Some(seed) = dir.seed {
        seal(&mut bytes, seed);
    }
    disk.blocks.write(block, bytes)
}

/// Writes an entry, without its type if the file system has none in its directories.
pub(super) fn put_entry(disk: &Disk, place: &mut [u8], entry: &NameEntry) {
    let file_type = if disk.volume.filetype { entry.file_type } else { 0 };
    encode_entry(place, entry.inode, file_type, &entry.name);
}

/// Returns the bytes of a leaf with `entries`, without gaps.
pub(crate) fn encode(disk: &Disk, entries: &[NameEntry]) -> Vec<u8> {
    let space = space(disk);
    let mut bytes = vec![0; disk.volume.block_size];
    let mut offset = 0;
    for (at, entry) in entries.iter().enumerate() {
        let end = if at + 1 == entries.len() { space } else { offset + entry_size(entry.name.len()) };
        put_entry(disk, &mut bytes[offset..end], entry);
        offset = end;
    }
    if entries.is_empty() {
        encode_entry(&mut bytes[..space], InodeNumber(0), 0, b"");
    }
    bytes
}

/// Returns a leaf with one more entry, if it fits; closes gaps if that helps.
pub(crate) fn with_entry(
    disk: &Disk,
    bytes: &[u8],
    records: &[LeafRecord],
    entry: &NameEntry,
) -> Option<Vec<u8>> {
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
            put_entry(disk, place, entry);
            return Some(bytes);
        }
    }
    let mut entries: Vec<NameEntry> = records
        .iter()
        .filter(|record| record.entry.inode.0 != 0)
        .map(|record| record.entry.clone())
        .collect();
    let used: usize = entries.iter().map(|entry| entry_size(entry.name.len())).sum();
    (used + needed <= space(disk)).then(|| {
        entries.push(entry.clone());
        encode(disk, &entries)
    })
}
