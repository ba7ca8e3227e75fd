//! Which blocks come next.
//!
//! Below the frontier all blocks are in use, except those in the list of free extents. Blocks above it are
//! unused and were never written.

use std::ops::Range;

use super::free::FreeExtents;
use super::layout::Layout;
use crate::format::{BLOCKS_PER_GROUP, Block, Group};

/// Consecutive blocks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct FreeRun {
    /// The first.
    pub(crate) start: u64,
    /// How many.
    pub(crate) len: u64,
}

/// Allocates blocks from the front to the back, and frees them.
#[derive(Debug)]
pub(crate) struct Space {
    layout: Layout,
    limit: u64,
    frontier: u64,
    free: FreeExtents,
    /// Blocks for the rest of the current content; they are not in `free`, and not below the frontier if they
    /// came from there.
    window: Range<u64>,
    window_is_frontier: bool,
    available: u64,
    used: u64,
}

impl Space {
    /// Returns the space of an empty file system.
    pub(crate) fn new(layout: Layout) -> Self {
        let limit = layout.blocks_max;
        let own = layout.own_blocks_of_all(limit);
        Self {
            layout,
            limit,
            frontier: layout.own_blocks(Group(0)),
            free: FreeExtents::default(),
            window: 0..0,
            window_is_frontier: false,
            available: limit.saturating_sub(own),
            used: 0,
        }
    }

    /// Returns how many blocks are left.
    pub(crate) fn available(&self) -> u64 {
        self.available
    }

    /// Returns the number of allocated blocks.
    pub(crate) fn used(&self) -> u64 {
        self.used
    }

    /// Returns the free extents below the frontier.
    pub(crate) fn free(&self) -> &FreeExtents {
        &self.free
    }

    /// Returns the first block above all allocated ones.
    pub(crate) fn frontier(&self) -> u64 {
        self.frontier
    }

    /// Chooses the place of the next `blocks` blocks: the smallest free extent that holds them all, else the
    /// frontier.
    pub(crate) fn seek(&mut self, blocks: u64) {
        self.close_window();
        if let Some(range) = self.free.take_best_fit(blocks.max(1)) {
            self.window = range;
            self.window_is_frontier = false;
        } else if let Some(range) = self.frontier_segment() {
            self.open_frontier(range);
        }
    }

    /// Allocates up to `blocks` consecutive blocks, right after the last ones if possible; `None` if no more
    /// than `reserve` would be left.
    pub(crate) fn take(&mut self, blocks: u64, reserve: u64) -> Option<FreeRun> {
        let wanted = blocks.min(self.available.checked_sub(reserve).filter(|left| *left > 0)?);
        if self.window.is_empty() {
            self.close_window();
            if let Some(range) = self.frontier_segment() {
                self.open_frontier(range);
            } else {
                self.window = self.free.take_longest()?;
                self.window_is_frontier = false;
            }
        }
        let len = wanted.min(self.window.end - self.window.start);
        let run = FreeRun { start: self.window.start, len };
        self.window.start += len;
        if self.window_is_frontier {
            self.frontier = self.window.start;
        }
        self.available -= len;
        self.used += len;
        Some(run)
    }

    /// Allocates `blocks` consecutive blocks.
    pub(crate) fn take_contiguous(&mut self, blocks: u64) -> Option<FreeRun> {
        self.close_window();
        let start = if let Some(range) = self.free.take_best_fit(blocks) {
            self.free.insert(range.start + blocks..range.end);
            range.start
        } else {
            loop {
                let segment = self.frontier_segment()?;
                if segment.end - segment.start >= blocks {
                    self.frontier = segment.start + blocks;
                    break segment.start;
                }
                self.frontier = segment.end;
                self.free.insert(segment);
            }
        };
        let run = FreeRun { start, len: blocks };
        self.available -= blocks;
        self.used += blocks;
        Some(run)
    }

    /// Takes blocks back.
    pub(crate) fn give_back(&mut self, run: FreeRun) {
        self.free.insert(run.start..run.start + run.len);
        self.available += run.len;
        self.used -= run.len;
    }

    /// Drops the current choice, so that the lists have all free blocks.
    pub(crate) fn close_window(&mut self) {
        let rest = std::mem::replace(&mut self.window, 0..0);
        if !self.window_is_frontier {
            self.free.insert(rest);
        }
        self.window_is_frontier = false;
    }

    /// Changes the layout above the frontier. Frees the old inode tables of the groups below, which the
    /// caller places anew.
    pub(crate) fn relayout(&mut self, layout: Layout) {
        self.close_window();
        let touched = self.touched_groups();
        for group in 0..touched {
            let start = self.layout.block_bitmap(Group(group)).0 + 2;
            let end = start + self.layout.inode_table_blocks();
            self.free.insert(start..end);
        }
        self.layout = layout;
        let moved = u64::from(touched) * layout.inode_table_blocks();
        let own = layout.own_blocks_of_all(self.limit) - moved;
        self.available = self.limit.saturating_sub(own).saturating_sub(self.used);
    }

    /// Returns the number of groups that have or had blocks in use besides their own metadata.
    pub(crate) fn touched_groups(&self) -> u32 {
        Block(self.frontier - 1).group().0 + 1
    }

    /// Fixes the size of a file system whose size was open; all used blocks must be below it.
    pub(crate) fn set_limit(&mut self, blocks: u64) {
        self.close_window();
        self.limit = blocks;
    }

    fn open_frontier(&mut self, range: Range<u64>) {
        self.frontier = range.start;
        self.window = range;
        self.window_is_frontier = true;
    }

    /// Returns the blocks from the frontier on that no metadata interrupts.
    fn frontier_segment(&self) -> Option<Range<u64>> {
        let mut start = self.frontier;
        let mut group = Block(start).group();
        // At the start of a group, skip its metadata. Further in the metadata lies behind, and `own_blocks`
        // may meanwhile count an inode table that is elsewhere.
        if start == group.first_block().0 {
            start += self.layout.own_blocks(group);
            group = Block(start).group();
        }
        let end = (group.first_block().0 + BLOCKS_PER_GROUP).min(self.limit);
        (start < end).then_some(start..end)
    }
}
