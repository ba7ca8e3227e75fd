//! Blocks of a file, in rows.

use crate::format::Block;

/// One past the last block a file can have.
pub(crate) const LOGICAL_END: u64 = u32::MAX as u64;

/// Blocks of a file that follow each other in the image, too.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Run {
    /// Number of the first block in the file.
    pub(crate) logical: u64,
    /// How many.
    pub(crate) len: u64,
    /// Number of the first block in the image.
    pub(crate) start: u64,
    /// Whether they hold bytes; blocks that are only reserved read as zeros.
    pub(crate) written: bool,
}

/// Blocks of a file.
#[derive(Debug, Default)]
pub(crate) struct Mapping {
    /// In the order of the file.
    pub(crate) runs: Vec<Run>,
    /// Blocks of the tree itself.
    pub(crate) index_blocks: Vec<Block>,
}

/// Returns `runs` in the order of a file, from 0 on.
pub(crate) fn in_order(runs: impl IntoIterator<Item = Run>) -> Vec<Run> {
    let mut logical = 0;
    let place = |run: Run| {
        let run = Run { logical, ..run };
        logical += run.len;
        run
    };
    runs.into_iter().map(place).collect()
}
