//! Commits of file systems that have no journal. One in free blocks is lent to them for as long as the commit
//! takes; `docs/ext4.md` says why this is atomic for the kernel, for e2fsck and here.
//!
//! There are two versions of the bitmaps. Those in the log count the journal's blocks as in use, since one
//! who replays the log then has a file system with a journal. Those that the commit puts in place count them
//! as free. So one write of the superblock takes the journal away.

use std::collections::BTreeMap;

use banger_tree::{Attributes, FileType, RootfsError};

use super::Ext4Editor;
use super::journal::{BLOCKS_MAX, BLOCKS_MIN, Journal};
use crate::editor::disk::Disk;
use crate::editor::disk::blocks::{Bytes, View};
use crate::editor::disk::extents;
use crate::editor::disk::groups::change_superblock;
use crate::editor::disk::inodes;
use crate::editor::disk::obstacle::Obstacle;
use crate::editor::disk::runs::{LOGICAL_END, Run};
use crate::format::crc32c::Checksum;
use crate::format::inode::Inode;
use crate::format::journal::default_blocks;
use crate::format::superblock::{JNL_BACKUP_BLOCKS, Superblock, compat, incompat};
use crate::format::{Block, InodeNumber};

/// A journal in blocks that are free before and after the commit.
struct LentJournal {
    /// Its inode.
    inode: Inode,
    /// The bytes of its inode in the table of inodes.
    inode_bytes: Vec<u8>,
    /// All blocks to write before the journal counts, with their places.
    parts: Vec<(Block, Vec<u8>)>,
}

/// Returns the number of blocks that one commit can change.
pub(super) fn capacity(disk: &Disk) -> usize {
    let free = disk.count_free().map_or(0, |(blocks, _)| blocks);
    let most = u64::from(default_blocks(disk.volume.blocks_count)).min(free / 2);
    let length = u32::try_from(most).unwrap_or(BLOCKS_MAX).max(BLOCKS_MIN);
    Journal::new(disk, Vec::new(), length, 1).capacity()
}

/// Says in a superblock where the journal is, and that it has changes.
fn announce(superblock: &mut Superblock, inode: &Inode) {
    superblock.s_feature_compat |= compat::HAS_JOURNAL;
    superblock.s_feature_incompat |= incompat::RECOVER;
    superblock.s_journal_inum = InodeNumber::JOURNAL.0;
    superblock.s_journal_uuid = [0; 16];
    back_up(superblock, inode);
}

/// Writes the copy of the journal's inode in a superblock.
pub(super) fn back_up(superblock: &mut Superblock, inode: &Inode) {
    superblock.s_jnl_backup_type = JNL_BACKUP_BLOCKS;
    superblock.s_jnl_blocks = [0; 17];
    for (copy, word) in superblock.s_jnl_blocks.iter_mut().zip(inode.i_block.chunks_exact(4)) {
        *copy = u32::from_le_bytes(word.try_into().expect("four bytes"));
    }
    (superblock.s_jnl_blocks[15], superblock.s_jnl_blocks[16]) = (inode.i_size_high, inode.i_size_lo);
}

/// Takes `length` blocks for a journal, all of them free at the last commit and before the block `end`.
fn take_blocks(disk: &mut Disk, end: Block, length: u32) -> Result<Vec<Run>, RootfsError> {
    let mut runs: Vec<Run> = Vec::new();
    let mut logical = 0;
    let mut goal = Block(disk.volume.first_data_block);
    while logical < u64::from(length) {
        disk.check_cancelled()?;
        let taken = disk.allocate_blocks_before(end, goal, u64::from(length) - logical);
        let (start, len) = taken.map_err(|error| match error {
            RootfsError::NoSpace { .. } => disk.limit(
                Obstacle::new(format!(
                    "it has no journal, and a commit needs one of {length} blocks of {} bytes; only {logical} \
                     are free",
                    disk.volume.block_size
                ))
                .with_advice("enlarge the file system with resize2fs, or remove files while it is mounted"),
            ),
            other => other,
        })?;
        runs.push(Run { logical, len, start: start.0, written: true });
        logical += len;
        goal = Block(start.0 + len);
    }
    Ok(runs)
}

/// Adds the inode of a journal to the changes of the commit; returns its journal, which has no transaction.
fn add_journal(disk: &mut Disk, end: Block, length: u32) -> Result<(Journal, Inode), RootfsError> {
    let runs = take_blocks(disk, end, length)?;
    let mut inode = inodes::new_inode(FileType::Regular, &Attributes::with_mode(0o600));
    inode.set_size(u64::from(length) * disk.volume.block_size as u64);
    extents::set_mapping(disk, InodeNumber::JOURNAL, &mut inode, &runs, &[])?;
    inodes::write(disk, InodeNumber::JOURNAL, &inode)?;
    disk.update_superblock(|superblock| announce(superblock, &inode))?;
    // Blocks that were part of an earlier journal must not look as if they went on with this one.
    let mut seed = Checksum::of_filesystem(&disk.volume.uuid);
    for bytes in disk.blocks.dirty().values() {
        seed = seed.with(bytes);
    }
    let sequence = (seed.value() >> 1).max(1);
    Ok((Journal::new(disk, runs, length, sequence), (*inode).clone()))
}

/// Returns a journal with all changes of `disk` as its only transaction; the changes get those that give the
/// journal its blocks, all of them before `end`.
fn lend(disk: &mut Disk, end: Block) -> Result<LentJournal, RootfsError> {
    let changed = disk.blocks.dirty().clone();
    let mut length = BLOCKS_MIN;
    loop {
        let (journal, inode) = add_journal(disk, end, length)?;
        let logged = disk.blocks.dirty().iter().map(|(block, bytes)| (*block, bytes));
        if let Some(parts) = journal.transaction(logged) {
            return lent(disk, &journal, inode, parts);
        }
        let needed = u32::try_from(disk.blocks.dirty().len()).unwrap_or(u32::MAX);
        length = length.max(needed).saturating_add(needed / 16 + 64);
        if length > BLOCKS_MAX {
            return Err(RootfsError::TooManyChanges { path: disk.subject.clone() });
        }
        disk.blocks.replace_dirty(changed.clone());
    }
}

/// Collects the blocks that must be on the disk before the journal counts.
fn lent(
    disk: &Disk,
    journal: &Journal,
    inode: Inode,
    mut parts: Vec<(Block, Vec<u8>)>,
) -> Result<LentJournal, RootfsError> {
    let block_size = disk.volume.block_size;
    // The block after the transaction may be of an earlier journal.
    parts.extend(journal.place(1 + parts.len() as u64).map(|block| (block, vec![0; block_size])));
    parts.extend(journal.live_superblock());
    let mapping = extents::mapping(disk, InodeNumber::JOURNAL, &inode, 0..LOGICAL_END)?;
    for block in mapping.index_blocks {
        parts.push((block, disk.blocks.read(View::Now, block)?.to_vec()));
    }
    let inode_bytes = inodes::bytes_of(disk, InodeNumber::JOURNAL)?;
    let (table, offset) = inodes::place(disk, InodeNumber::JOURNAL)?;
    let before = disk.blocks.read(View::Committed, table)?;
    parts.push((table, with_inode(&before, offset, &inode_bytes)));
    Ok(LentJournal { inode, inode_bytes, parts })
}

/// Returns a block of a table of inodes with other bytes for one of them.
fn with_inode(block: &[u8], offset: usize, inode: &[u8]) -> Vec<u8> {
    let mut bytes = block.to_vec();
    bytes[offset..offset + inode.len()].copy_from_slice(inode);
    bytes
}

impl Ext4Editor {
    /// Writes all changes of a file system without a journal.
    pub(super) fn commit_with_lent_journal(&mut self) -> Result<(), RootfsError> {
        self.disk.check_cancelled()?;
        let end = Block(self.blocks_before()?.min(self.disk.volume.blocks_count));
        let changed = self.disk.blocks.dirty().clone();
        let lent = lend(&mut self.disk, end);
        self.disk.blocks.replace_dirty(changed);
        let lent = lent?;
        if let Err(error) = self.prepare_lent(&lent) {
            // The inode alone means nothing, but need not stay.
            let zeros = vec![0; lent.inode_bytes.len()];
            let _ = self
                .table_of_journal(View::Committed, &zeros)
                .and_then(|(table, bytes)| self.disk.blocks.write_through(table, &bytes));
            return Err(error);
        }
        self.is_half_committed = true;
        self.carry_out_lent(&lent)?;
        let blocks = lent.parts.iter().map(|(block, _)| block.0..block.0 + 1);
        let (table, _) = inodes::place(&self.disk, InodeNumber::JOURNAL)?;
        self.disk.freed.extend(blocks.filter(|blocks| blocks.start != table.0));
        self.commit_capacity.set(None);
        self.end_commit();
        Ok(())
    }

    /// Writes the journal and its inode, which do not count yet.
    fn prepare_lent(&mut self, lent: &LentJournal) -> Result<(), RootfsError> {
        for (block, bytes) in &lent.parts {
            self.disk.blocks.write_through(*block, bytes)?;
        }
        self.disk.blocks.sync()
    }

    /// Makes the journal count, puts the changes in their places and takes the journal away.
    fn carry_out_lent(&mut self, lent: &LentJournal) -> Result<(), RootfsError> {
        let (superblock, offset) = self.disk.volume.superblock_place();
        let last = self.disk.blocks.read(View::Now, superblock)?;
        // A kernel, and e2fsck before it replays, use the number of groups in here. When groups go, it must be the new:
        // what described them may be gone before the journal is.
        let is_smaller = self.disk.volume.blocks_count < self.blocks_before()?;
        let view = if is_smaller { View::Now } else { View::Committed };
        let mut bytes = self.disk.blocks.read(view, superblock)?.to_vec();
        change_superblock(
            &mut bytes[offset..offset + Superblock::SIZE],
            self.disk.volume.seed.is_some(),
            |superblock| announce(superblock, &lent.inode),
        );
        self.disk.blocks.write_through(superblock, &bytes)?;
        self.disk.blocks.sync()?;

        let mut changed: BTreeMap<Block, Bytes> = self.disk.blocks.dirty().clone();
        changed.remove(&superblock);
        // The journal is read by its inode until the superblock has no journal.
        let (table, bytes) = self.table_of_journal(View::Now, &lent.inode_bytes)?;
        changed.insert(table, bytes.into());
        for (block, bytes) in &changed {
            self.disk.blocks.write_through(*block, bytes)?;
        }
        self.disk.blocks.sync()?;
        self.disk.blocks.write_through(superblock, &last)?;
        self.disk.blocks.sync()?;
        let (table, bytes) = self.table_of_journal(View::Now, &vec![0; lent.inode_bytes.len()])?;
        self.disk.blocks.write_through(table, &bytes)?;
        self.disk.blocks.sync()
    }

    /// Returns the block of a table of inodes that has the journal's, with `inode` in its place.
    fn table_of_journal(&self, view: View, inode: &[u8]) -> Result<(Block, Vec<u8>), RootfsError> {
        let (table, offset) = inodes::place(&self.disk, InodeNumber::JOURNAL)?;
        let block = self.disk.blocks.read(view, table)?;
        Ok((table, with_inode(&block, offset, inode)))
    }
}
