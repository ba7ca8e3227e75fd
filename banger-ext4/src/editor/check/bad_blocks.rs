//! Bad blocks: those of inode 1. Nothing uses them, and inodes in them are lost.

use banger_tree::RootfsError;

use super::verify_walk::VerifyWalk;
use crate::editor::disk::extents;
use crate::editor::disk::inodes;
use crate::editor::disk::runs::LOGICAL_END;
use crate::editor::disk::whole_inode::WholeInode;
use crate::format::{Block, InodeNumber};

impl VerifyWalk<'_> {
    pub(super) fn find_bad_blocks(&mut self) -> Result<(), RootfsError> {
        let bytes = inodes::bytes_of(self.disk, InodeNumber::BAD_BLOCKS);
        let Some(inode) = self.noted(bytes)?.map(|bytes| WholeInode::decode(&bytes)) else { return Ok(()) };
        if inode.i_block.iter().any(|byte| *byte != 0) {
            let mapping = extents::mapping(self.disk, InodeNumber::BAD_BLOCKS, &inode, 0..LOGICAL_END);
            self.bad = self.noted(mapping)?.unwrap_or_default();
            self.bad.runs.sort_unstable_by_key(|run| run.start);
        }
        Ok(())
    }

    pub(super) fn is_bad(&self, block: Block) -> bool {
        let after = self.bad.runs.partition_point(|run| run.start <= block.0);
        let run = after.checked_sub(1).map(|at| self.bad.runs[at]);
        run.is_some_and(|run| block.0 < run.start + run.len)
    }

    /// Takes bad blocks as in use, also if metadata of a group lies there.
    pub(super) fn claim_bad_blocks(&mut self) -> Result<(), RootfsError> {
        let bad = std::mem::take(&mut self.bad);
        let runs = bad.runs.iter().map(|run| (Block(run.start), run.len));
        for (start, count) in runs.chain(bad.index_blocks.iter().map(|block| (*block, 1))) {
            self.disk.check_cancelled()?;
            self.mark(&|| "the list of bad blocks".to_owned(), start, count);
        }
        Ok(())
    }
}
