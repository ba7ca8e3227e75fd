//! Trimming: free blocks give their space back to the host.

use std::ops::Range;

use banger_tree::RootfsError;

use super::{Ext4Editor, journal};
use crate::editor::disk::blocks::View;
use crate::editor::disk::groups::bit;

impl Ext4Editor {
    /// Makes holes in the image where its blocks are free, and where the journal lies: what deleted files had is
    /// gone, and a sparse file takes only what its content needs. Returns the bytes of all holes, also of those that
    /// were there.
    ///
    /// This is a commit of all earlier changes, and replays the journal if the image was not unmounted.
    ///
    /// # Errors
    /// The image cannot be edited, a [`commit`](banger_tree::Rootfs::commit) fails, or the host or its file system
    /// cannot make holes.
    pub fn trim(&mut self) -> Result<u64, RootfsError> {
        self.commit_changes()?;
        self.check_editable()?;
        let locked = self.disk.blocks.storage.lock();
        locked.map_err(|error| self.cannot_lock(error))?;
        self.finish_recovery()?;
        let mut holes = self.free_runs()?;
        holes.extend(self.log_runs()?);
        let mut trimmed = 0;
        for hole in holes {
            self.disk.check_cancelled()?;
            trimmed += hole.end - hole.start;
            self.disk.blocks.punch_hole(hole)?;
        }
        self.disk.blocks.sync()?;
        Ok(trimmed * self.disk.volume.block_size as u64)
    }

    /// Returns the runs of free blocks.
    pub(super) fn free_runs(&self) -> Result<Vec<Range<u64>>, RootfsError> {
        let mut runs: Vec<Range<u64>> = Vec::new();
        for group in 0..self.disk.volume.groups {
            self.disk.check_cancelled()?;
            let desc = self.disk.group_desc(View::Now, group)?;
            let bitmap = self.disk.block_bitmap(View::Now, group, &desc)?;
            let first = self.disk.volume.first_block(group);
            let size = self.disk.volume.blocks_of(group);
            for at in (0..size).filter(|at| !bit(&bitmap, *at)) {
                push(&mut runs, first + at);
            }
        }
        Ok(runs)
    }

    /// Returns the runs of blocks of the log. Nothing is in it: the journal is empty now.
    fn log_runs(&self) -> Result<Vec<Range<u64>>, RootfsError> {
        let Some(journal) = journal::read(&self.disk)? else { return Ok(Vec::new()) };
        if journal.start().is_some() {
            return Ok(Vec::new());
        }
        let (first, end) = journal.log();
        let mut runs = Vec::new();
        for block in (first..end).filter_map(|logical| journal.place(logical)) {
            push(&mut runs, block.0);
        }
        Ok(runs)
    }
}

/// Adds a block to the last run, if it follows it.
fn push(runs: &mut Vec<Range<u64>>, block: u64) {
    match runs.last_mut() {
        Some(last) if last.end == block => last.end += 1,
        _ => runs.push(block..block + 1),
    }
}
