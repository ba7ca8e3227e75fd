//! Hashes a file into a tree, on all processors.
//!
//! A block of hashes has 128 hashes. The lowest level hashes the blocks of data, each other level the blocks of the
//! level below, and the root hash the only block of the top level. The top level comes first in the file. A file of
//! one block has no level: its root hash is that of the block.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt as _;

use banger_ext4::data_from;
use banger_tree::Cancellation;
use sha2::{Digest as _, Sha256};

use super::superblock::{BLOCK, BLOCK_BYTES, VeritySuperblock};
use crate::threads::on_all_processors;

/// Bytes of a hash.
pub(super) const HASH_BYTES: usize = 32;
/// Hashes in a block of hashes.
const HASHES_PER_BLOCK: u64 = BLOCK_BYTES / 32;
/// Blocks that a thread reads at a time: 1 MiB. Their hashes fill whole blocks.
const PIECE_BLOCKS: u64 = 2 * HASHES_PER_BLOCK;
/// A block of zeros.
const ZEROS: [u8; BLOCK] = [0; BLOCK];

/// The hash of a block.
pub(super) type Hash = [u8; HASH_BYTES];

/// Why a file was not hashed.
#[derive(Debug)]
pub(super) enum TreeError {
    Read(io::Error),
    Write(io::Error),
    Cancelled,
}

/// One level of a tree.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Level {
    /// Its first block, counted from the superblock.
    pub(super) first_block: u64,
    pub(super) blocks: u64,
}

/// Returns the levels of a tree over so many blocks, the lowest one first.
pub(super) fn levels(data_blocks: u64) -> Vec<Level> {
    let mut counts = Vec::new();
    let mut blocks = data_blocks;
    while blocks > 1 {
        blocks = blocks.div_ceil(HASHES_PER_BLOCK);
        counts.push(blocks);
    }
    // The superblock has the first block, and the top level the next one.
    let mut next = 1;
    let mut levels: Vec<Level> = Vec::new();
    for blocks in counts.into_iter().rev() {
        levels.push(Level { first_block: next, blocks });
        next += blocks;
    }
    levels.reverse();
    levels
}

/// Returns the blocks of a tree with its superblock.
pub(super) fn tree_blocks(data_blocks: u64) -> u64 {
    1 + levels(data_blocks).iter().map(|level| level.blocks).sum::<u64>()
}

/// Hashes blocks with a salt before them.
#[derive(Clone, Debug)]
pub(super) struct BlockHasher {
    salted: Sha256,
    zeros: Hash,
}

impl BlockHasher {
    pub(super) fn new(salt: &[u8]) -> Self {
        let salted = Sha256::new().chain_update(salt);
        let zeros = salted.clone().chain_update(ZEROS).finalize().into();
        Self { salted, zeros }
    }

    pub(super) fn hash(&self, block: &[u8]) -> Hash {
        match block == ZEROS {
            true => self.zeros,
            false => self.salted.clone().chain_update(block).finalize().into(),
        }
    }
}

/// A tree to write.
#[derive(Debug)]
pub(super) struct HashTree<'a> {
    /// The file that is hashed, from its beginning.
    pub(super) data: &'a File,
    /// Where the tree goes; open for reading, too. It may be `data`, behind the hashed blocks.
    pub(super) tree: &'a File,
    /// Where the superblock goes in `tree`, a multiple of 4096.
    pub(super) offset: u64,
    pub(super) superblock: VeritySuperblock,
    pub(super) cancellation: &'a Cancellation,
}

impl HashTree<'_> {
    /// Writes the superblock and all levels; returns the root hash. Holes of the file are not read.
    pub(super) fn write(&self) -> Result<Hash, TreeError> {
        let data_blocks = self.superblock.data_blocks;
        let hasher = BlockHasher::new(&self.superblock.salt);
        let mut below = (self.data, 0, data_blocks);
        for Level { first_block, blocks } in levels(data_blocks) {
            let place = self.offset + first_block * BLOCK_BYTES;
            self.write_level(&hasher, below, place)?;
            below = (self.tree, place, blocks);
        }
        let (file, at, _) = below;
        let mut top = ZEROS;
        file.read_exact_at(&mut top, at).map_err(TreeError::Read)?;
        self.tree.write_all_at(&self.superblock.to_block(), self.offset).map_err(TreeError::Write)?;
        Ok(hasher.hash(&top))
    }

    /// Hashes the blocks of `from`, which begin at a byte of it, into whole blocks of hashes at `place`.
    fn write_level(
        &self,
        hasher: &BlockHasher,
        (from, begin, blocks): (&File, u64, u64),
        place: u64,
    ) -> Result<(), TreeError> {
        let start = || Ok(Piece { hasher, bytes: Vec::new(), hashes: Vec::new() });
        let pieces = usize::try_from(blocks.div_ceil(PIECE_BLOCKS)).unwrap_or(usize::MAX);
        on_all_processors(
            pieces,
            self.cancellation,
            || TreeError::Cancelled,
            start,
            |piece, number| {
                let first = number as u64 * PIECE_BLOCKS;
                let count = PIECE_BLOCKS.min(blocks - first);
                let hashes = piece.hash(from, begin + first * BLOCK_BYTES, count).map_err(TreeError::Read)?;
                let at = place + first / HASHES_PER_BLOCK * BLOCK_BYTES;
                self.tree.write_all_at(hashes, at).map_err(TreeError::Write)
            },
        )
    }
}

/// The memory of one thread.
struct Piece<'a> {
    hasher: &'a BlockHasher,
    bytes: Vec<u8>,
    hashes: Vec<u8>,
}

impl Piece<'_> {
    /// Returns the hashes of blocks of a file, with zeros up to the end of the last block of hashes.
    fn hash(&mut self, file: &File, begin: u64, blocks: u64) -> io::Result<&[u8]> {
        let end = begin + blocks * BLOCK_BYTES;
        self.hashes.clear();
        let mut at = begin;
        while let Some((start, past)) = data_from(file, at, end)? {
            // Blocks of the file system of the host may be smaller.
            let start = start - (start - begin) % BLOCK_BYTES;
            let past = begin + (past - begin).next_multiple_of(BLOCK_BYTES);
            self.add_holes(start - at);
            self.bytes.resize(usize::try_from(past - start).map_err(|_| io::ErrorKind::FileTooLarge)?, 0);
            file.read_exact_at(&mut self.bytes, start)?;
            for block in self.bytes.chunks_exact(BLOCK) {
                self.hashes.extend_from_slice(&self.hasher.hash(block));
            }
            at = past;
        }
        self.add_holes(end - at);
        self.hashes.resize(self.hashes.len().next_multiple_of(BLOCK), 0);
        Ok(&self.hashes)
    }

    fn add_holes(&mut self, bytes: u64) {
        (0..bytes / BLOCK_BYTES).for_each(|_| self.hashes.extend_from_slice(&self.hasher.zeros));
    }
}
