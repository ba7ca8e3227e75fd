//! Checks that the hash tree of a directory leads to each of its names.

use std::collections::BTreeSet;
use std::ops::RangeInclusive;

use banger_tree::RootfsError;

use crate::editor::disk::Disk;
use crate::editor::disk::corruption::DirectoryFault;
use crate::editor::disk::directory;
use crate::editor::disk::directory::Dir;
use crate::editor::disk::index::LEVELS_OFFSET;
use crate::editor::disk::index_node;
use crate::editor::disk::leaf;
use crate::format::dirent::entry_length;
use crate::format::htree::{DxEntry, NODE_ENTRIES_OFFSET, ROOT_ENTRIES_OFFSET};

/// `reserved_zero` of `struct dx_root_info`.
const RESERVED: std::ops::Range<usize> = 24..28;
/// `hash_version`, `info_length` and `unused_flags` of `struct dx_root_info`.
const HASH_VERSION_OFFSET: usize = 28;
const INFO_LENGTH_OFFSET: usize = 29;
const FLAGS_OFFSET: usize = 31;
/// `EXT2_HASH_FLAG_INCOMPAT`
const FLAG_INCOMPAT: u8 = 1;

struct Walk<'a> {
    dir: &'a Dir,
    hash_version: u8,
    seen: BTreeSet<u32>,
}

/// Checks the index of a directory with sound blocks: it must have each block once, and a search must find
/// each name.
pub(crate) fn check(disk: &Disk, dir: &Dir) -> Result<(), RootfsError> {
    let corrupt = |fault| Err(directory::corrupt(disk, dir.number, fault));
    let (_, root) = directory::block(disk, dir, 0)?;
    let levels = root[LEVELS_OFFSET];
    if root[RESERVED] != [0; 4] || root[INFO_LENGTH_OFFSET] != 8 || levels > disk.volume.index_levels_max() {
        return corrupt(DirectoryFault::Index);
    }
    let rec_len = u16::from_le_bytes([root[16], root[17]]);
    if entry_length(rec_len, root.len()) != root.len() - 12 {
        return corrupt(DirectoryFault::Index);
    }
    if root[FLAGS_OFFSET] & FLAG_INCOMPAT != 0 {
        return corrupt(DirectoryFault::IndexFlag);
    }
    let hash_version = root[HASH_VERSION_OFFSET];
    if index_node::hash_by(disk, hash_version, b"").is_none() {
        return corrupt(DirectoryFault::IndexHash);
    }
    let mut walk = Walk { dir, hash_version, seen: BTreeSet::from([0]) };
    let entries = index_node::entries_of(disk, dir, &root, ROOT_ENTRIES_OFFSET)?;
    check_entries(disk, &mut walk, &entries, 0..=u32::MAX, levels)?;
    match walk.seen.len() as u64 == dir.len() {
        true => Ok(()),
        false => corrupt(DirectoryFault::BlockNotIndexed),
    }
}

/// Checks the blocks below `entries`, whose names have hashes in `hashes`.
fn check_entries(
    disk: &Disk,
    walk: &mut Walk<'_>,
    entries: &[DxEntry],
    hashes: RangeInclusive<u32>,
    levels_below: u8,
) -> Result<(), RootfsError> {
    let dir = walk.dir;
    let corrupt = |fault| Err(directory::corrupt(disk, dir.number, fault));
    for (at, entry) in entries.iter().enumerate() {
        let first = if at == 0 { *hashes.start() } else { entry.hash & !1 };
        let last = match entries.get(at + 1) {
            None => *hashes.end(),
            Some(next) if at > 0 && next.hash < entry.hash => {
                return corrupt(DirectoryFault::IndexOrder);
            }
            // Equal hashes may go on in the next block, if it says so.
            Some(next) if next.hash & 1 == 1 => next.hash & !1,
            Some(next) => next.hash.saturating_sub(1),
        };
        if first < *hashes.start() || last > *hashes.end() {
            return corrupt(DirectoryFault::IndexOrder);
        }
        if !walk.seen.insert(entry.block) {
            return corrupt(DirectoryFault::IndexTwice);
        }
        let (_, bytes) = directory::block(disk, dir, entry.block.into())?;
        if levels_below > 0 {
            // The name of the entry that the index hides behind.
            if bytes[6..8] != [0; 2] {
                return corrupt(DirectoryFault::Index);
            }
            let below = index_node::entries_of(disk, dir, &bytes, NODE_ENTRIES_OFFSET)?;
            check_entries(disk, walk, &below, first..=last, levels_below - 1)?;
            continue;
        }
        for record in leaf::records(disk, dir, &bytes)? {
            if dir.has_casefold() {
                continue;
            }
            let hash =
                index_node::hash_by(disk, walk.hash_version, &record.entry.name).map(|hash| hash.major);
            if record.entry.inode.0 != 0 && !hash.is_some_and(|hash| (first..=last).contains(&hash)) {
                return corrupt(DirectoryFault::NameNotIndexed);
            }
        }
    }
    Ok(())
}
