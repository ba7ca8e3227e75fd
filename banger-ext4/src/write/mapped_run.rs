//! Runs of blocks that are consecutive in a file and in the image.

use crate::format::Block;
use crate::format::extent::{EXTENT_MAX_BLOCKS, Extent};

/// Consecutive blocks of a file that are consecutive in the image: one extent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct MappedRun {
    /// Number of the first block in the file.
    pub(crate) logical: u32,
    /// How many, up to [`EXTENT_MAX_BLOCKS`].
    pub(crate) len: u32,
    /// Number of the first block in the image.
    pub(crate) start: u64,
}

impl MappedRun {
    /// Adds `next` to this run if it is adjacent.
    pub(crate) fn try_extend(&mut self, next: MappedRun) -> bool {
        let follows = self.logical + self.len == next.logical
            && self.start + u64::from(self.len) == next.start
            && self.len + next.len <= EXTENT_MAX_BLOCKS;
        if follows {
            self.len += next.len;
        }
        follows
    }

    /// Returns the run as an extent.
    pub(crate) fn extent(self) -> Extent {
        let len = u16::try_from(self.len).expect("a run is at most 32768 blocks");
        Extent::new(self.logical, len, Block(self.start))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn t04_runs_join_up_to_the_longest_extent() {
        let mut run = MappedRun { logical: 5, len: 32000, start: 100 };
        assert!(!run.try_extend(MappedRun { logical: 32006, len: 1, start: 32100 }), "a hole between");
        assert!(!run.try_extend(MappedRun { logical: 32005, len: 1, start: 32101 }), "elsewhere");
        assert!(!run.try_extend(MappedRun { logical: 32005, len: 769, start: 32100 }), "too long");
        assert!(run.try_extend(MappedRun { logical: 32005, len: 768, start: 32100 }));
        assert_eq!(run.extent().ee_len, 32768);
    }
}
