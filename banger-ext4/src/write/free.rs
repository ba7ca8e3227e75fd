//! Free extents: found by place or by length, merged with their neighbours.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

/// A set of block ranges that do not touch.
#[derive(Debug, Default)]
pub(crate) struct FreeExtents {
    ends: BTreeMap<u64, u64>,
    by_length: BTreeSet<(u64, u64)>,
}

impl FreeExtents {
    /// Adds blocks that are not in the set.
    pub(crate) fn insert(&mut self, mut range: Range<u64>) {
        if range.is_empty() {
            return;
        }
        if let Some((&start, &end)) = self.ends.range(..range.start).next_back() {
            debug_assert!(end <= range.start, "a block is freed once");
            if end == range.start {
                self.unlist(start, end);
                range.start = start;
            }
        }
        if let Some(&end) = self.ends.get(&range.end) {
            self.unlist(range.end, end);
            range.end = end;
        }
        self.ends.insert(range.start, range.end);
        self.by_length.insert((range.end - range.start, range.start));
    }

    /// Takes out the shortest range of at least `blocks` blocks, the first of equals.
    pub(crate) fn take_best_fit(&mut self, blocks: u64) -> Option<Range<u64>> {
        let &(length, start) = self.by_length.range((blocks, 0)..).next()?;
        Some(self.take(start, start + length))
    }

    /// Takes out the longest range, the last of equals.
    pub(crate) fn take_longest(&mut self) -> Option<Range<u64>> {
        let &(length, start) = self.by_length.last()?;
        Some(self.take(start, start + length))
    }

    /// Returns the ranges in order.
    pub(crate) fn iter(&self) -> impl Iterator<Item = Range<u64>> {
        self.ends.iter().map(|(start, end)| *start..*end)
    }

    /// Returns the ranges in order that reach into `within`, cut to it.
    pub(crate) fn within(&self, within: Range<u64>) -> impl Iterator<Item = Range<u64>> {
        let before = self.ends.range(..within.start).next_back().filter(|(_, end)| **end > within.start);
        let inside = self.ends.range(within.clone());
        before
            .into_iter()
            .chain(inside)
            .map(move |(start, end)| (*start).max(within.start)..(*end).min(within.end))
    }

    fn take(&mut self, start: u64, end: u64) -> Range<u64> {
        self.unlist(start, end);
        start..end
    }

    fn unlist(&mut self, start: u64, end: u64) {
        self.ends.remove(&start);
        self.by_length.remove(&(end - start, start));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn merges_and_fits() {
        let mut free = FreeExtents::default();
        for range in [10..12, 20..25, 12..15, 18..20, 40..41, 50..50] {
            free.insert(range);
        }
        assert_eq!(free.iter().collect::<Vec<_>>(), [10..15, 18..25, 40..41]);
        assert_eq!(free.within(12..22).collect::<Vec<_>>(), [12..15, 18..22]);
        assert_eq!(free.take_best_fit(2), Some(10..15));
        assert_eq!(free.take_best_fit(8), None);
        assert_eq!(free.take_longest(), Some(18..25));
        assert_eq!((free.take_longest(), free.take_longest()), (Some(40..41), None));
    }
}
