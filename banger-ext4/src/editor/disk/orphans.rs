//! Inodes that lost their last name while they were open, or have a pending truncation.

use std::collections::BTreeSet;

use banger_tree::RootfsError;

use super::Disk;
use super::blocks::View;
use super::extents;
use super::inodes;
use super::runs::LOGICAL_END;
use crate::format::crc32c::Checksum;
use crate::format::{Block, InodeNumber, orphan};

/// Returns the left-over inodes in the order of their list, then those in the orphan file.
pub(crate) fn list(disk: &Disk) -> Result<Vec<InodeNumber>, RootfsError> {
    let mut seen = BTreeSet::new();
    let mut orphans = Vec::new();
    let mut next = disk.volume.last_orphan;
    while next != 0 && seen.insert(next) {
        orphans.push(InodeNumber(next));
        // `i_dtime` is the next one's number.
        next = inodes::read_unlinked(disk, InodeNumber(next))?.i_dtime;
    }
    for block in blocks(disk)? {
        let bytes = disk.blocks.read(View::Now, block)?;
        let (words, _) = bytes[..bytes.len() - orphan::TAIL_SIZE].as_chunks::<4>();
        let numbers = words.iter().map(|word| u32::from_le_bytes(*word));
        orphans.extend(numbers.filter(|number| *number != 0 && seen.insert(*number)).map(InodeNumber));
    }
    Ok(orphans)
}

/// Returns the blocks of the orphan file.
pub(crate) fn blocks(disk: &Disk) -> Result<Vec<Block>, RootfsError> {
    let Some(number) = disk.volume.orphan_file else { return Ok(Vec::new()) };
    let inode = inodes::read(disk, number)?;
    let runs = extents::mapping(disk, number, &inode, 0..LOGICAL_END)?.runs;
    let written = runs.into_iter().filter(|run| run.written);
    Ok(written.flat_map(|run| (run.start..run.start + run.len).map(Block)).collect())
}

/// Writes the checksum of a block of the orphan file, which is of the block's place, too.
pub(crate) fn seal(seed: Checksum, block: Block, bytes: &mut [u8]) {
    let (entries, tail) = bytes.split_at_mut(bytes.len() - orphan::TAIL_SIZE);
    tail[4..].copy_from_slice(&seed.of_block(block).with(entries).value().to_le_bytes());
}
