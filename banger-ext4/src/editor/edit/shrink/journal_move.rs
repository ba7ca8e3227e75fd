//! Moving the journal, so that a crash at any time leaves one that can be replayed.
//!
//! A kernel that replays a journal goes on with the list of its blocks that it found before. So no transaction may
//! change which blocks the journal has:
//!
//! 1. A commit appends the new blocks to the inode of the journal. The journal does not use them: it has a length of
//!    its own.
//! 2. The journal is empty now. An empty journal is written to the first new block. Then one write of the inode puts
//!    the new blocks first and the old ones behind them.
//! 3. A commit, by the new journal, frees the old blocks.

use banger_tree::RootfsError;

use super::plan::JournalMove;
use crate::editor::disk::Disk;
use crate::editor::disk::corruption::{CorruptionKind, JournalFault};
use crate::editor::disk::extents::{self, TreeKind};
use crate::editor::disk::inodes;
use crate::editor::disk::runs::{LOGICAL_END, Run, in_order};
use crate::editor::edit::grow_groups::{is_zero, write_zeros};
use crate::editor::edit::journal;
use crate::editor::edit::{Ext4Editor, lent_journal};
use crate::format::inode::EXTENTS_FL;
use crate::format::{Block, InodeNumber};

/// Gives the journal's inode the blocks `runs`, which fit in the inode, and this size.
fn put_runs(disk: &mut Disk, number: InodeNumber, runs: &[Run]) -> Result<(), RootfsError> {
    let mut inode = inodes::read(disk, number)?;
    let mut take = |disk: &mut Disk, _| Err(disk.no_space("the journal has too many parts"));
    extents::put_mapping(disk, number, &mut inode, runs, TreeKind::Extents, &mut take)?;
    inode.set_size(runs.iter().map(|run| run.len).sum::<u64>() * disk.volume.block_size as u64);
    inodes::write(disk, number, &inode)
}

/// Writes the copy of the journal's inode in the superblock.
fn put_backup(disk: &mut Disk, number: InodeNumber) -> Result<(), RootfsError> {
    let inode = inodes::read(disk, number)?;
    disk.update_superblock(|superblock| lent_journal::back_up(superblock, &inode))
}

/// Adds the new blocks behind the old ones.
fn append(disk: &mut Disk, plan: &JournalMove) -> Result<(), RootfsError> {
    for run in &plan.new_runs {
        disk.check_cancelled()?;
        disk.take_blocks(Block(run.start), run.len)?;
        // Blocks of an earlier journal must not look as if they went on with this one.
        if !is_zero(disk, Block(run.start), run.len, &mut 0)? {
            write_zeros(disk, Block(run.start), run.len)?;
        }
    }
    put_runs(disk, plan.number, &in_order(plan.old_runs.iter().chain(&plan.new_runs).copied()))?;
    put_backup(disk, plan.number)
}

/// Removes blocks of the journal that lie behind its length.
pub(super) fn cut(
    disk: &mut Disk,
    number: InodeNumber,
    kept: &[Run],
    gone: &[Run],
) -> Result<(), RootfsError> {
    put_runs(disk, number, kept)?;
    for run in gone {
        disk.free_blocks(Block(run.start), run.len)?;
    }
    put_backup(disk, number)
}

/// Splits runs, which are in the order of a file, after `length` blocks.
fn split(runs: &[Run], length: u64) -> (Vec<Run>, Vec<Run>) {
    let (mut kept, mut gone) = (Vec::new(), Vec::new());
    for run in runs {
        let len = length.saturating_sub(run.logical).min(run.len);
        if len > 0 {
            kept.push(Run { len, ..*run });
        }
        if len < run.len {
            let (logical, start) = (run.logical + len, run.start + len);
            gone.push(Run { logical, start, len: run.len - len, ..*run });
        }
    }
    (kept, gone)
}

impl Ext4Editor {
    /// Frees the blocks that a crash in the move of the journal has left behind its end.
    pub(super) fn cut_surplus_journal(&mut self) -> Result<(), RootfsError> {
        let (Some(number), Some(journal)) = (self.disk.volume.journal, journal::read(&self.disk)?) else {
            return Ok(());
        };
        let inode = inodes::read(&self.disk, number)?;
        let mapping = extents::mapping(&self.disk, number, &inode, 0..LOGICAL_END)?;
        let (kept, gone) = split(&mapping.runs, journal.length());
        let is_plain = inode.i_flags & EXTENTS_FL != 0 && mapping.index_blocks.is_empty();
        if gone.is_empty() || !is_plain { Ok(()) } else { cut(&mut self.disk, number, &kept, &gone) }
    }

    /// Moves the journal.
    pub(super) fn move_journal(&mut self, plan: &JournalMove) -> Result<(), RootfsError> {
        self.move_step(100, |disk| append(disk, plan))?;
        self.commit_moves()?;
        self.disk.check_cancelled()?;
        self.switch_journal(plan)?;
        self.commit_capacity.set(None);
        self.move_step(100, |disk| {
            cut(disk, plan.number, &plan.new_runs, &plan.old_runs)?;
            let blocks = |runs: &[Run]| runs.iter().map(|run| run.len).sum::<u64>();
            let (had, has) = (blocks(&plan.old_runs), blocks(&plan.new_runs));
            disk.update_superblock(|superblock| {
                let overhead = (u64::from(superblock.s_overhead_clusters) + has).saturating_sub(had);
                if superblock.s_overhead_clusters != 0 {
                    superblock.s_overhead_clusters = u32::try_from(overhead).unwrap_or(0);
                }
            })
        })?;
        self.commit_moves()
    }

    /// Puts the new blocks first. No change waits for a commit, and the journal is empty.
    fn switch_journal(&mut self, plan: &JournalMove) -> Result<(), RootfsError> {
        let lost = |disk: &Disk| disk.volume.corrupt(CorruptionKind::Journal(JournalFault::NoFirstBlock));
        let journal = journal::read(&self.disk)?.ok_or_else(|| lost(&self.disk))?;
        let (block, bytes) = journal.empty_one_on(plan.new_runs.clone()).ok_or_else(|| lost(&self.disk))?;
        self.disk.blocks.write_through(block, &bytes)?;
        self.disk.blocks.sync()?;
        put_runs(
            &mut self.disk,
            plan.number,
            &in_order(plan.new_runs.iter().chain(&plan.old_runs).copied()),
        )?;
        let changed: Vec<_> =
            self.disk.blocks.dirty().iter().map(|(block, bytes)| (*block, bytes.clone())).collect();
        debug_assert_eq!(changed.len(), 1, "only the block with the inode");
        for (block, bytes) in changed {
            self.disk.blocks.write_through(block, &bytes)?;
        }
        self.disk.blocks.sync()?;
        self.disk.blocks.committed();
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_journal_splits_at_its_length() {
        let run = |logical, len, start| Run { logical, len, start, written: true };
        let runs = in_order([run(7, 10, 100), run(9, 20, 300)]);
        assert_eq!(runs, [run(0, 10, 100), run(10, 20, 300)]);
        assert_eq!(split(&runs, 10), (vec![runs[0]], vec![runs[1]]));
        assert_eq!(split(&runs, 12), (vec![runs[0], run(10, 2, 300)], vec![run(12, 18, 302)]));
        assert_eq!(split(&runs, 30), (runs, vec![]));
    }
}
