//! Free blocks that content can move to.

use std::collections::BTreeSet;
use std::ops::Range;

/// Runs of free blocks, by length and then by place.
#[derive(Clone, Debug, Default)]
pub(super) struct FreeRuns {
    runs: BTreeSet<(u64, u64)>,
    blocks: u64,
}

impl FreeRuns {
    /// Returns the parts of `runs`, which are in order, before the block `end`.
    pub(super) fn before(runs: &[Range<u64>], end: u64) -> Self {
        let mut free = Self::default();
        for run in runs.iter().take_while(|run| run.start < end) {
            free.add(run.start..run.end.min(end));
        }
        free
    }

    /// Adds a run.
    pub(super) fn add(&mut self, run: Range<u64>) {
        self.blocks += run.end - run.start;
        self.runs.insert((run.end - run.start, run.start));
    }

    /// Returns how many blocks are free.
    pub(super) fn blocks(&self) -> u64 {
        self.blocks
    }

    /// Takes up to `wanted` blocks in a row: of the shortest run that has them all, else the longest run. Returns the
    /// first and how many; `None` if there is no free block.
    pub(super) fn take(&mut self, wanted: u64) -> Option<(u64, u64)> {
        let found = self.runs.range((wanted, 0)..).next().or_else(|| self.runs.last()).copied();
        let (len, start) = found?;
        self.runs.remove(&(len, start));
        let taken = len.min(wanted);
        if taken < len {
            self.runs.insert((len - taken, start + taken));
        }
        self.blocks -= taken;
        Some((start, taken))
    }

    /// Takes `wanted` blocks in as few runs as possible; returns the runs. `None` if there are too few free blocks.
    pub(super) fn take_all(&mut self, wanted: u64) -> Option<Vec<(u64, u64)>> {
        let mut taken = Vec::new();
        let mut left = wanted;
        while left > 0 {
            let (start, len) = self.take(left)?;
            taken.push((start, len));
            left -= len;
        }
        Some(taken)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn takes_the_run_that_fits_best() {
        let mut free = FreeRuns::before(&[3..5, 10..20, 30..36, 50..90], 60);
        assert_eq!(free.blocks(), 28);
        assert_eq!(free.take(6), Some((30, 6)));
        assert_eq!(free.take(1), Some((3, 1)));
        assert_eq!(free.take(1), Some((4, 1)));
        assert_eq!(free.take_all(15), Some(vec![(50, 10), (10, 5)]));
        assert_eq!(free.take_all(6), None);
        assert_eq!(free.take(1), None);
    }
}
