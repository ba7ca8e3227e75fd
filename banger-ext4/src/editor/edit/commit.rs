//! Atomic commits.

use std::cmp::Ordering;
use std::ops::Range;

use banger_tree::RootfsError;

use super::Ext4Editor;
use super::journal::Journal;
use super::journal::RECOVER;
use crate::editor::disk::blocks::View;
use crate::editor::disk::corruption::{CorruptionKind, JournalFault};
use crate::editor::disk::groups::{bit, change_superblock};
use crate::editor::disk::obstacle::Obstacle;
use crate::editor::edit::{journal, lent_journal};
use crate::format::Block;
use crate::format::superblock::{Superblock, incompat};

impl Ext4Editor {
    /// Writes all changes through the journal. See `docs/ext4.md` for why in this order.
    pub(crate) fn commit_changes(&mut self) -> Result<(), RootfsError> {
        self.check_not_half_committed()?;
        if self.disk.blocks.dirty().is_empty() {
            return Ok(());
        }
        let locked = self.disk.blocks.storage.lock();
        locked.map_err(|error| self.cannot_lock(error))?;
        self.finish_recovery()?;
        if self.disk.blocks.storage.is_unpublished() {
            return self.write_in_place();
        }
        let Some(journal) = journal::writable(&self.disk)? else {
            return self.commit_with_lent_journal();
        };
        // The last moment at which stopping leaves the image as it is.
        self.disk.check_cancelled()?;
        let too_large = RootfsError::TooManyChanges { path: self.disk.subject.clone() };
        // As long as the transaction counts, the superblock says so, also the one in the journal.
        self.disk.update_superblock(|superblock| superblock.s_feature_incompat |= incompat::RECOVER)?;
        let changed = self.disk.blocks.dirty().iter().map(|(block, bytes)| (*block, bytes));
        let Some(log) = journal.transaction(changed) else {
            return Err(too_large);
        };
        if let Err(error) = self.prepare(&log) {
            // Nothing counts yet. The flag alone does no harm, but need not stay.
            let (block, bytes) = self.superblock_block(View::Committed, false)?;
            let _ = self.disk.blocks.write_through(block, &bytes);
            return Err(error);
        }
        self.is_half_committed = true;
        self.carry_out(&journal)?;
        self.end_commit();
        Ok(())
    }

    /// Takes all changes as being on the disk.
    pub(super) fn end_commit(&mut self) {
        self.is_half_committed = false;
        self.disk.blocks.committed();
        self.disk.volume.committed_uuid = self.disk.volume.uuid;
        let freed = std::mem::take(&mut self.disk.freed);
        // All changes are on the disk. A failure to free space on the host is not an error.
        let _ = self.give_space_back(freed);
    }

    /// Writes all changes to their places, of an image that nobody else knows.
    fn write_in_place(&mut self) -> Result<(), RootfsError> {
        self.disk.check_cancelled()?;
        let changed: Vec<_> =
            self.disk.blocks.dirty().iter().map(|(block, bytes)| (*block, bytes.clone())).collect();
        self.is_half_committed = true;
        for (block, bytes) in changed {
            self.disk.blocks.write_through(block, &bytes)?;
        }
        self.end_commit();
        Ok(())
    }

    pub(super) fn cannot_lock(&self, error: std::io::Error) -> RootfsError {
        match error.kind() {
            std::io::ErrorKind::ResourceBusy => RootfsError::InUse {
                image: self.disk.volume.image.clone(),
                user: error.to_string(),
                advice: None,
            },
            _ => self.disk.blocks.io("lock", error),
        }
    }

    /// Returns the number of blocks that one commit can change. If the journal cannot be written, it is
    /// larger than the file system; the commit then refuses.
    pub(super) fn commit_capacity(&self) -> usize {
        self.commit_capacity.get().unwrap_or_else(|| {
            let capacity = match journal::writable(&self.disk) {
                _ if self.disk.blocks.storage.is_unpublished() => usize::MAX,
                Ok(Some(journal)) => journal.capacity(),
                Ok(None) => lent_journal::capacity(&self.disk),
                Err(_) => usize::MAX,
            };
            self.commit_capacity.set(Some(capacity));
            capacity
        })
    }

    /// Returns whether the changes that wait take half of the journal.
    pub(crate) fn has_much_to_commit(&self) -> bool {
        self.disk.blocks.dirty().len() >= self.commit_capacity() / 2
    }

    /// Refuses an operation with more changes than one commit can hold.
    pub(crate) fn check_commit_holds(&self) -> Result<(), RootfsError> {
        match self.disk.blocks.dirty().len() > self.commit_capacity() {
            true => Err(RootfsError::TooManyChanges { path: self.disk.subject.clone() }),
            false => Ok(()),
        }
    }

    /// Gives the host the space of the blocks that are still free.
    fn give_space_back(&mut self, mut freed: Vec<Range<u64>>) -> Result<(), RootfsError> {
        freed.sort_unstable_by_key(|range| range.start);
        let mut free: Vec<Range<u64>> = Vec::new();
        let mut bitmap: Option<(u32, Vec<u8>)> = None;
        let mut done = 0;
        for range in freed {
            // The same blocks may have been taken and freed again.
            for block in range.start.max(done)..range.end {
                let Some((group, at)) = self.disk.volume.group_of(Block(block)) else { continue };
                if bitmap.as_ref().is_none_or(|(of, _)| *of != group) {
                    let desc = self.disk.group_desc(View::Now, group)?;
                    bitmap = Some((group, self.disk.block_bitmap(View::Now, group, &desc)?));
                }
                if bitmap.as_ref().is_some_and(|(_, bitmap)| bit(bitmap, at)) {
                    continue;
                }
                match free.last_mut() {
                    Some(last) if last.end == block => last.end += 1,
                    _ => free.push(block..block + 1),
                }
            }
            done = done.max(range.end);
        }
        free.into_iter().try_for_each(|range| self.disk.blocks.punch_hole(range))
    }

    /// Refuses to go on if this editor has left changes in the journal.
    pub(crate) fn check_not_half_committed(&self) -> Result<(), RootfsError> {
        match self.is_half_committed {
            true => Err(self
                .disk
                .volume
                .unsupported(Obstacle::new("an earlier commit was cut short").with_advice(RECOVER))),
            false => Ok(()),
        }
    }

    /// Writes the transaction into the journal, where it does not count yet.
    fn prepare(&mut self, log: &[(Block, Vec<u8>)]) -> Result<(), RootfsError> {
        for (block, bytes) in log {
            self.disk.blocks.write_through(*block, bytes)?;
        }
        let (block, bytes) = self.superblock_block(View::Committed, true)?;
        self.disk.blocks.write_through(block, &bytes)?;
        self.disk.blocks.sync()
    }

    /// Makes the transaction count, puts the blocks in their places and empties the journal.
    fn carry_out(&mut self, journal: &Journal) -> Result<(), RootfsError> {
        self.put_journal_superblock(journal.live_superblock())?;
        let mut changed: Vec<_> =
            self.disk.blocks.dirty().iter().map(|(block, bytes)| (*block, bytes.clone())).collect();
        // e2fsck looks at the descriptors of all groups before it looks into the journal: there must not be more
        // groups than descriptors. A kernel keeps the number of groups that it finds before its replay.
        let (superblock, _) = self.disk.volume.superblock_place();
        let (before, now) = (self.blocks_before()?, self.disk.volume.blocks_count);
        let first = match before.cmp(&now) {
            Ordering::Less => changed.extract_if(.., |(block, _)| *block != superblock).collect::<Vec<_>>(),
            Ordering::Equal => Vec::new(),
            Ordering::Greater => changed.extract_if(.., |(block, _)| *block == superblock).collect(),
        };
        if !first.is_empty() {
            for (block, bytes) in first {
                self.disk.blocks.write_through(block, &bytes)?;
            }
            self.disk.blocks.sync()?;
        }
        for (block, bytes) in changed {
            self.disk.blocks.write_through(block, &bytes)?;
        }
        self.disk.blocks.sync()?;
        self.put_journal_superblock(journal.done_superblock())?;
        let (block, bytes) = self.superblock_block(View::Now, false)?;
        self.disk.blocks.write_through(block, &bytes)?;
        self.disk.blocks.sync()
    }

    /// Returns the number of blocks at the last commit.
    pub(super) fn blocks_before(&self) -> Result<u64, RootfsError> {
        let (block, offset) = self.disk.volume.superblock_place();
        let bytes = self.disk.blocks.read(View::Committed, block)?;
        let bytes = bytes[offset..offset + Superblock::SIZE].try_into().expect("the superblock's size");
        Ok(Superblock::decode(bytes).blocks_count())
    }

    fn put_journal_superblock(&mut self, place: Option<(Block, Vec<u8>)>) -> Result<(), RootfsError> {
        let (block, bytes) = place
            .ok_or_else(|| self.disk.volume.corrupt(CorruptionKind::Journal(JournalFault::NoFirstBlock)))?;
        self.disk.blocks.write_through(block, &bytes)?;
        self.disk.blocks.sync()
    }

    /// Returns the block with the superblock, whose flag says whether to read the journal.
    fn superblock_block(&self, view: View, needs_recovery: bool) -> Result<(Block, Vec<u8>), RootfsError> {
        let (block, offset) = self.disk.volume.superblock_place();
        let mut bytes = self.disk.blocks.read(view, block)?.to_vec();
        change_superblock(
            &mut bytes[offset..offset + Superblock::SIZE],
            self.disk.volume.seed.is_some(),
            |superblock| match needs_recovery {
                true => superblock.s_feature_incompat |= incompat::RECOVER,
                false => superblock.s_feature_incompat &= !incompat::RECOVER,
            },
        );
        Ok((block, bytes))
    }
}
