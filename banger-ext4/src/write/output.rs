//! The output for blocks of metadata while an image is built.

use super::file::ImageFile;
use super::mapped_run::MappedRun;
use super::space::{FreeRun, Space};
use crate::error::Ext4Error;
use crate::format::{BLOCK_BYTES, BLOCK_SIZE, Block};

/// Places and writes blocks.
#[derive(Debug)]
pub(crate) struct Output<'a> {
    pub(crate) file: &'a mut ImageFile,
    pub(crate) space: &'a mut Space,
    /// For the message when it is full.
    pub(crate) size_bytes: u64,
    /// A size that would do, about.
    pub(crate) needed_bytes: u64,
}

impl Output<'_> {
    /// Writes one block to a free place.
    ///
    /// # Errors
    /// No block is free, or the host refuses.
    pub(crate) fn put_block(&mut self, bytes: &[u8; BLOCK_SIZE]) -> Result<Block, Ext4Error> {
        let block = Block(self.take(1)?.start);
        self.write(block, bytes)?;
        Ok(block)
    }

    /// Writes whole blocks of a file to free places.
    ///
    /// # Errors
    /// There are not enough, or the host refuses.
    pub(crate) fn put_file(&mut self, mut bytes: &[u8]) -> Result<Vec<MappedRun>, Ext4Error> {
        let mut runs = self.take_file((bytes.len() / BLOCK_SIZE) as u64)?;
        for run in &mut runs {
            let (now, later) = bytes.split_at(run.len as usize * BLOCK_SIZE);
            self.write(Block(run.start), now)?;
            bytes = later;
        }
        Ok(runs)
    }

    /// Takes free blocks for a file without writing them.
    ///
    /// # Errors
    /// There are not enough.
    pub(crate) fn take_file(&mut self, blocks: u64) -> Result<Vec<MappedRun>, Ext4Error> {
        let mut runs: Vec<MappedRun> = Vec::new();
        let mut logical = 0;
        self.space.seek(blocks);
        while u64::from(logical) < blocks {
            let run = self.take(blocks - u64::from(logical))?;
            let len = u32::try_from(run.len).expect("a run stays in its group");
            let run = MappedRun { logical, len, start: run.start };
            if !runs.last_mut().is_some_and(|last| last.try_extend(run)) {
                runs.push(run);
            }
            logical += len;
        }
        Ok(runs)
    }

    /// Takes a run of free blocks, as long as can be up to `blocks`.
    ///
    /// # Errors
    /// No block is free.
    pub(crate) fn take(&mut self, blocks: u64) -> Result<FreeRun, Ext4Error> {
        self.space.take(blocks, 0).ok_or_else(|| self.no_space())
    }

    /// Returns the error for a full file system.
    pub(crate) fn no_space(&self) -> Ext4Error {
        let needed_bytes = self.needed_bytes.max(self.size_bytes + BLOCK_BYTES);
        Ext4Error::NoSpace { size_bytes: self.size_bytes, needed_bytes }
    }

    /// Writes `bytes` from the start of `block` on.
    ///
    /// # Errors
    /// The host refuses.
    pub(crate) fn write(&mut self, block: Block, bytes: &[u8]) -> Result<(), Ext4Error> {
        self.file.write(block, bytes).map_err(|source| self.file.error("write", source))
    }
}
