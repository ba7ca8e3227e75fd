//! Blocks of an image, with the changes since the last commit kept in memory.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, HashMap};
use std::io;
use std::ops::Range;
use std::sync::Arc;

use banger_tree::RootfsError;

use super::storage::Storage;
use super::trial::StorageSwitch;
use crate::editor::disk::corruption::CorruptionKind;
use crate::format::Block;
use crate::format::crc32c::{self, Checksum};
use crate::format::journal::MAGIC;

/// Clean blocks that are kept in memory at most, and their bytes.
const CLEAN_BLOCKS_MAX: usize = 4096;
const CLEAN_BYTES_MAX: usize = 16 << 20;

/// Position of the newest copy of a block in the journal, if the copy is not in its place yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct JournalCopy {
    /// The block of the journal.
    pub(crate) place: Block,
    /// Whether zeros stand there for the journal's magic number.
    pub(crate) is_escaped: bool,
    /// The expected checksum of the copy, and its seed.
    pub(crate) checksum: Option<CopyChecksum>,
}

/// The checksum of a copy of a block in a journal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct CopyChecksum {
    pub(crate) seed: Checksum,
    pub(crate) value: u32,
    /// Which bits of it are stored.
    pub(crate) mask: u32,
}

impl CopyChecksum {
    /// Returns whether `copy`, as in the journal, has another checksum.
    pub(crate) fn is_wrong(&self, copy: &[u8]) -> bool {
        crc32c::is_wrong(&(self.seed.with(copy).value() & self.mask), &(self.value & self.mask))
    }
}

/// Blocks whose newest content is in the journal.
pub(crate) type JournalCopies = BTreeMap<Block, JournalCopy>;

/// One block's bytes.
pub(crate) type Bytes = Arc<[u8]>;

/// Which state of the image to look at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum View {
    /// With the changes since the last commit.
    Now,
    /// The state of the last commit, which stays after a crash.
    Committed,
}

/// The blocks of an image.
#[derive(Debug)]
pub(crate) struct Blocks {
    pub(crate) storage: StorageSwitch,
    /// Name of the image, for errors.
    pub(crate) image: String,
    block_size: usize,
    blocks_count: u64,
    clean: RefCell<HashMap<Block, Bytes>>,
    /// Blocks that a replay of the journal would put in place. Both views have them.
    replayed: JournalCopies,
    /// How often a block was asked for.
    reads: Cell<u64>,
    /// Blocks of metadata that differ from the storage's.
    dirty: BTreeMap<Block, Bytes>,
    /// Old blocks of `dirty` that the current operation has changed. Each is kept once, however often it
    /// changes: removing a large tree changes the same bitmaps for every file.
    undo: HashMap<Block, Option<Bytes>>,
}

impl Blocks {
    pub(crate) fn new(
        storage: Box<dyn Storage>,
        image: String,
        block_size: usize,
        blocks_count: u64,
    ) -> Self {
        let (clean, dirty, undo) = (RefCell::default(), BTreeMap::new(), HashMap::new());
        let replayed = JournalCopies::new();
        let storage = StorageSwitch::Direct(storage);
        Self { storage, image, block_size, blocks_count, clean, replayed, reads: Cell::new(0), dirty, undo }
    }

    /// Takes these copies as the content of their blocks.
    pub(crate) fn set_replayed(&mut self, replayed: JournalCopies) {
        self.clean.get_mut().clear();
        self.replayed = replayed;
    }

    /// Returns the block that a copy in the journal holds, checked.
    fn read_copy(&self, block: Block, copy: &JournalCopy) -> Result<Vec<u8>, RootfsError> {
        let mut bytes = vec![0; self.block_size];
        let read = self.storage.read_at(self.offset(copy.place)?, &mut bytes);
        read.map_err(|error| self.io("read", error))?;
        if copy.checksum.is_some_and(|checksum| checksum.is_wrong(&bytes)) {
            return Err(self.corrupt(CorruptionKind::CopyChecksum(block)));
        }
        if copy.is_escaped {
            bytes[..4].copy_from_slice(&MAGIC.to_be_bytes());
        }
        Ok(bytes)
    }

    /// Puts all copies of the journal in place, that of the block `last` after all others.
    pub(crate) fn put_replayed(&mut self, last: Block) -> Result<(), RootfsError> {
        let others = self.replayed.keys().copied().filter(|block| *block != last).collect::<Vec<_>>();
        let is_there = self.replayed.contains_key(&last);
        for block in others.into_iter().map(Some).chain([None]).chain(is_there.then_some(Some(last))) {
            let Some(block) = block else {
                self.sync()?;
                continue;
            };
            let bytes = self.read_copy(block, &self.replayed[&block])?;
            let offset = self.offset(block)?;
            let written = self.storage.write_at(offset, &bytes);
            written.map_err(|error| self.io("write", error))?;
        }
        self.sync()?;
        self.set_replayed(JournalCopies::new());
        Ok(())
    }

    /// Takes the image as having this many blocks.
    pub(crate) fn set_blocks_count(&mut self, blocks_count: u64) {
        self.blocks_count = blocks_count;
    }

    fn offset(&self, block: Block) -> Result<u64, RootfsError> {
        if block.0 >= self.blocks_count {
            let blocks_count = self.blocks_count;
            return Err(self.corrupt(CorruptionKind::BlockBeyond { block, blocks_count }));
        }
        Ok(block.0 * self.block_size as u64)
    }

    fn corrupt(&self, kind: CorruptionKind) -> RootfsError {
        RootfsError::Corrupt { image: self.image.clone(), damage: kind.into() }
    }

    pub(crate) fn io(&self, action: &'static str, source: io::Error) -> RootfsError {
        RootfsError::Io { action, image: self.image.clone(), source }
    }

    /// Returns the number of requests for blocks, also for blocks in memory.
    pub(crate) fn reads(&self) -> u64 {
        self.reads.get()
    }

    /// Returns a block.
    pub(crate) fn read(&self, view: View, block: Block) -> Result<Bytes, RootfsError> {
        self.reads.set(self.reads.get() + 1);
        if view == View::Now
            && let Some(bytes) = self.dirty.get(&block)
        {
            return Ok(Arc::clone(bytes));
        }
        let offset = self.offset(block)?;
        if let Some(bytes) = self.clean.borrow().get(&block) {
            return Ok(Arc::clone(bytes));
        }
        let bytes = match self.replayed.get(&block) {
            Some(copy) => self.read_copy(block, copy)?,
            None => {
                let mut bytes = vec![0; self.block_size];
                self.storage.read_at(offset, &mut bytes).map_err(|error| self.io("read", error))?;
                bytes
            }
        };
        let bytes: Bytes = bytes.into();
        let mut clean = self.clean.borrow_mut();
        if clean.len() >= CLEAN_BLOCKS_MAX.min(CLEAN_BYTES_MAX / self.block_size) {
            clean.clear();
        }
        clean.insert(block, Arc::clone(&bytes));
        Ok(bytes)
    }

    /// Returns a block from the storage, without pending changes; it is not kept in memory.
    pub(crate) fn read_once(&self, block: Block) -> Result<Bytes, RootfsError> {
        let mut bytes = vec![0; self.block_size];
        let read = self.storage.read_at(self.offset(block)?, &mut bytes);
        read.map_err(|error| self.io("read", error))?;
        Ok(bytes.into())
    }

    /// Reads content, which is never kept in memory, from `offset` in `block` on; it may run over
    /// several blocks.
    pub(crate) fn read_content(
        &self,
        block: Block,
        offset: u64,
        buffer: &mut [u8],
    ) -> Result<(), RootfsError> {
        let start = self.offset(block)? + offset;
        let last = (start + (buffer.len() as u64).saturating_sub(1)) / self.block_size as u64;
        self.offset(Block(last))?;
        self.storage.read_at(start, buffer).map_err(|error| self.io("read", error))?;
        if self.replayed.is_empty() || buffer.is_empty() {
            return Ok(());
        }
        // With `data=journal` content is in the journal, too.
        let (block_size, end) = (self.block_size as u64, start + buffer.len() as u64);
        for (block, copy) in self.replayed.range(Block(start / block_size)..=Block(last)) {
            let bytes = self.read_copy(*block, copy)?;
            let first = block.0 * block_size;
            let (from, to) = (first.max(start), (first + block_size).min(end));
            buffer[(from - start) as usize..(to - start) as usize]
                .copy_from_slice(&bytes[(from - first) as usize..(to - first) as usize]);
        }
        Ok(())
    }

    /// Replaces a block of metadata, until the next commit in memory only.
    pub(crate) fn write(&mut self, block: Block, bytes: impl Into<Bytes>) -> Result<(), RootfsError> {
        let bytes = bytes.into();
        debug_assert_eq!(bytes.len(), self.block_size, "whole blocks");
        self.offset(block)?;
        let before = self.dirty.insert(block, bytes);
        self.undo.entry(block).or_insert(before);
        Ok(())
    }

    /// Writes content to blocks that were free at the last commit: at once, since no state that a
    /// crash can leave refers to them.
    pub(crate) fn write_content(&mut self, block: Block, bytes: &[u8]) -> Result<(), RootfsError> {
        let start = self.offset(block)?;
        let count = (bytes.len() / self.block_size) as u64;
        self.offset(Block(block.0 + count.saturating_sub(1)))?;
        for block in (block.0..block.0 + count).map(Block) {
            self.forget(block);
            self.clean.get_mut().remove(&block);
            // The block is free after a replay of the journal, so its old content is not needed.
            self.replayed.remove(&block);
        }
        let written = self.storage.write_at(start, bytes);
        written.map_err(|error| self.io("write", error))
    }

    /// Drops the changes of a block that is not metadata any more.
    pub(crate) fn forget(&mut self, block: Block) {
        if let Some(before) = self.dirty.remove(&block) {
            self.undo.entry(block).or_insert(Some(before));
        }
    }

    /// Starts an operation, which [`undo_operation`](Self::undo_operation) can take back.
    pub(crate) fn start_operation(&mut self) {
        self.undo.clear();
    }

    /// Takes back all changes to metadata since the operation started.
    pub(crate) fn undo_operation(&mut self) {
        for (block, before) in self.undo.drain() {
            match before {
                Some(bytes) => self.dirty.insert(block, bytes),
                None => self.dirty.remove(&block),
            };
        }
    }

    /// Returns the changed blocks.
    pub(crate) fn dirty(&self) -> &BTreeMap<Block, Bytes> {
        &self.dirty
    }

    /// Replaces all changes to metadata; returns what they were. No operation is undone beyond this.
    pub(crate) fn replace_dirty(&mut self, dirty: BTreeMap<Block, Bytes>) -> BTreeMap<Block, Bytes> {
        std::mem::replace(&mut self.dirty, dirty)
    }

    /// Writes a block to the storage, past the changes in memory.
    pub(crate) fn write_through(&mut self, block: Block, bytes: &[u8]) -> Result<(), RootfsError> {
        let offset = self.offset(block)?;
        self.clean.get_mut().remove(&block);
        debug_assert!(self.replayed.is_empty(), "a replay comes before any commit");
        let written = self.storage.write_at(offset, bytes);
        written.map_err(|error| self.io("write", error))
    }

    /// Lets the host have the space of free blocks.
    pub(crate) fn punch_hole(&mut self, blocks: Range<u64>) -> Result<(), RootfsError> {
        let start = self.offset(Block(blocks.start))?;
        let length = (blocks.end - blocks.start) * self.block_size as u64;
        let punched = self.storage.punch_hole(start, length);
        punched.map_err(|error| self.io("punch a hole in", error))
    }

    /// Returns when all writes are on the disk.
    pub(crate) fn sync(&mut self) -> Result<(), RootfsError> {
        let synced = self.storage.sync();
        synced.map_err(|error| self.io("flush", error))
    }

    /// Takes all changes as written to the storage.
    pub(crate) fn committed(&mut self) {
        self.undo.clear();
        self.dirty.clear();
        self.clean.get_mut().clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Zeros.
    #[derive(Debug)]
    struct Nothing;

    impl Storage for Nothing {
        fn size_bytes(&self) -> io::Result<u64> {
            Ok(16 << 10)
        }

        fn read_at(&self, _offset: u64, buffer: &mut [u8]) -> io::Result<()> {
            buffer.fill(0);
            Ok(())
        }

        fn write_at(&mut self, _offset: u64, _bytes: &[u8]) -> io::Result<()> {
            Ok(())
        }

        fn sync(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn an_operation_keeps_one_copy_of_a_block_to_take_back() {
        let mut blocks = Blocks::new(Box::new(Nothing), "image".to_owned(), 1024, 16);
        blocks.write(Block(1), vec![7; 1024]).unwrap();
        blocks.start_operation();
        for value in 0..100 {
            blocks.write(Block(1), vec![value; 1024]).unwrap();
            blocks.write(Block(2), vec![value; 1024]).unwrap();
            blocks.forget(Block(1 + u64::from(value % 2)));
        }
        assert_eq!(blocks.undo.len(), 2);
        blocks.undo_operation();
        assert_eq!(blocks.read(View::Now, Block(1)).unwrap()[..], [7; 1024]);
        assert_eq!(blocks.dirty().len(), 1);
    }
}
