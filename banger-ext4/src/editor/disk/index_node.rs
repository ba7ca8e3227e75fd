//! Blocks of the hash tree of a directory.

use banger_tree::RootfsError;

use super::Disk;
use super::directory;
use super::directory::Dir;
use crate::editor::disk::corruption::DirectoryFault;
use crate::format::crc32c::is_wrong;
use crate::format::dirent::entry_length;
use crate::format::hash::{NameHash, name_hash};
use crate::format::htree::{self, DxEntry, limit_at};

/// Returns the hash of a name in an index of this version; `None` for an unknown version.
pub(crate) fn hash_by(disk: &Disk, hash_version: u8, name: &[u8]) -> Option<NameHash> {
    name_hash(hash_version, name, &disk.volume.hash_seed, disk.volume.signedness)
}

/// Returns the entries of an index block that start at `offset`, checked.
pub(crate) fn entries_of(
    disk: &Disk,
    dir: &Dir,
    bytes: &[u8],
    offset: usize,
) -> Result<Vec<DxEntry>, RootfsError> {
    let number = |at: usize| usize::from(u16::from_le_bytes([bytes[at], bytes[at + 1]]));
    let (limit, count) = (number(offset), number(offset + 2));
    if limit != limit_at(offset, bytes.len(), dir.seed.is_some()) || count == 0 || count > limit {
        return Err(directory::corrupt(disk, dir.number, DirectoryFault::Index));
    }
    let end = offset + 8 * count;
    if let Some(seed) = dir.seed
        && is_wrong(&bytes[bytes.len() - 4..], &htree::checksum(bytes, seed, end).to_le_bytes()[..])
    {
        return Err(directory::corrupt(disk, dir.number, DirectoryFault::IndexChecksum));
    }
    let (places, _) = bytes[offset..end].as_chunks::<8>();
    let mut entries: Vec<DxEntry> = places
        .iter()
        .map(|[a, b, c, d, e, f, g, h]| DxEntry {
            hash: u32::from_le_bytes([*a, *b, *c, *d]),
            block: u32::from_le_bytes([*e, *f, *g, *h]),
        })
        .collect();
    // The first one's place holds limit and count.
    entries[0].hash = 0;
    Ok(entries)
}

/// Returns whether a block of an indexed directory is of the index, its checksum checked.
pub(super) fn is_index_block(
    disk: &Disk,
    dir: &Dir,
    logical: u64,
    bytes: &[u8],
) -> Result<bool, RootfsError> {
    if !dir.is_indexed {
        return Ok(false);
    }
    let rec_len = u16::from_le_bytes([bytes[4], bytes[5]]);
    let block_size = disk.volume.block_size;
    let is_node = bytes[0..4] == [0; 4] && entry_length(rec_len, block_size) == block_size;
    if logical == 0 {
        entries_of(disk, dir, bytes, htree::ROOT_ENTRIES_OFFSET)?;
    } else if is_node && dir.seed.is_some() {
        entries_of(disk, dir, bytes, htree::NODE_ENTRIES_OFFSET)?;
    }
    Ok(logical == 0 || is_node)
}
