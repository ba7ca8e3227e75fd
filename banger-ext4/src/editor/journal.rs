//! The file system's journal (jbd2): one transaction at a time.

use banger_tree::RootfsError;

use super::Ext4Editor;
use super::blocks::{Bytes, View};
use super::extents::{LOGICAL_END, Run};
use crate::format::crc32c::{Checksum, is_wrong};
use crate::format::journal::{CHECKSUM_CRC32C, JournalSuperblock, MAGIC, SUPERBLOCK_V2, incompat};
use crate::format::{Block, hi32, lo32};

/// `h_blocktype` of a descriptor block.
const DESCRIPTOR: u32 = 1;
/// `h_blocktype` of a commit block.
const COMMIT: u32 = 2;
/// Bytes of `struct journal_header_s`.
const HEADER_SIZE: usize = 12;
/// `t_flags`: the block starts with the journal's magic number, and zeros stand for it.
const FLAG_ESCAPE: u32 = 1;
/// `t_flags`: no UUID follows.
const FLAG_SAME_UUID: u32 = 2;
/// `t_flags`: the last one of its block.
const FLAG_LAST_TAG: u32 = 8;
/// `h_chksum` of a commit block.
const COMMIT_CHECKSUM: usize = 0x10;
/// `s_checksum` of the superblock.
const SUPERBLOCK_CHECKSUM: usize = 0xfc;
/// What can be in `s_feature_incompat`: `async_commit` asks nothing of a writer that waits.
const KNOWN_INCOMPAT: u32 = incompat::REVOKE | incompat::BIT64 | incompat::ASYNC_COMMIT | incompat::CSUM_V3;

/// A journal with nothing in it.
#[derive(Debug)]
pub(super) struct Journal {
    superblock: JournalSuperblock,
    runs: Vec<Run>,
    block_size: usize,
}

impl Journal {
    fn has(&self, feature: u32) -> bool {
        self.superblock.h_blocktype.0 == SUPERBLOCK_V2 && self.superblock.s_feature_incompat.0 & feature != 0
    }

    /// Returns what checksums start from, if there are any.
    fn seed(&self) -> Option<Checksum> {
        self.has(incompat::CSUM_V3).then(|| Checksum::of_filesystem(&self.superblock.s_uuid))
    }

    /// Returns where the journal's block of this number is in the image.
    fn place(&self, logical: u64) -> Option<Block> {
        let at = self.runs.partition_point(|run| run.logical + run.len <= logical);
        let run = self.runs.get(at).filter(|run| logical >= run.logical)?;
        run.written.then_some(Block(run.start + (logical - run.logical)))
    }

    fn sequence(&self) -> u32 {
        self.superblock.s_sequence.0
    }

    /// Returns the place and the bytes of the superblock's block that says where the log starts,
    /// 0 for nowhere, and with which sequence number it goes on.
    pub(super) fn superblock(&self, is_live: bool, sequence: u32) -> Option<(Block, Vec<u8>)> {
        let mut superblock = self.superblock.clone();
        superblock.s_start.0 = if is_live { superblock.s_first.0 } else { 0 };
        superblock.s_sequence.0 = sequence;
        superblock.s_checksum.0 = 0;
        let mut bytes = superblock.encode().to_vec();
        if self.has(incompat::CSUM_V3) {
            let csum = Checksum::EMPTY.with(&bytes).value();
            bytes[SUPERBLOCK_CHECKSUM..SUPERBLOCK_CHECKSUM + 4].copy_from_slice(&csum.to_be_bytes());
        }
        bytes.resize(self.block_size, 0);
        Some((self.place(0)?, bytes))
    }

    /// Returns the superblock that makes the transaction count.
    pub(super) fn live_superblock(&self) -> Option<(Block, Vec<u8>)> {
        self.superblock(true, self.sequence())
    }

    /// Returns the superblock of the empty journal after the transaction.
    pub(super) fn done_superblock(&self) -> Option<(Block, Vec<u8>)> {
        // 0 is no sequence number.
        self.superblock(false, self.sequence().wrapping_add(1).max(1))
    }

    /// Returns the size of a tag, and how many of them a descriptor block holds.
    fn tags(&self) -> (usize, usize) {
        let seed = self.seed();
        let tag_size = match (seed, self.has(incompat::BIT64)) {
            (Some(_), _) => 16,
            (None, true) => 12,
            (None, false) => 8,
        };
        let tail = if seed.is_some() { 4 } else { 0 };
        (tag_size, (self.block_size - HEADER_SIZE - 16 - tail) / tag_size)
    }

    /// Returns how many blocks one transaction can change.
    pub(super) fn capacity(&self) -> usize {
        let (_, tags) = self.tags();
        // One for the commit block, and one descriptor for as many blocks as it has tags.
        let blocks = self.superblock.s_maxlen.0.saturating_sub(self.superblock.s_first.0);
        (blocks as usize).saturating_sub(1) * tags / (tags + 1)
    }

    /// Returns the blocks, with their places, of a transaction that changes `changed`; `None` if
    /// the journal is too small.
    pub(super) fn transaction<'a>(
        &self,
        changed: impl ExactSizeIterator<Item = (Block, &'a Bytes)>,
    ) -> Option<Vec<(Block, Vec<u8>)>> {
        let seed = self.seed();
        let (tag_size, tags) = self.tags();
        let changed: Vec<(Block, &Bytes)> = changed.collect();
        let mut log: Vec<Vec<u8>> = Vec::with_capacity(changed.len() + changed.len().div_ceil(tags) + 1);
        for part in changed.chunks(tags) {
            let descriptor = log.len();
            log.push(self.block_of_type(DESCRIPTOR));
            let mut at = HEADER_SIZE;
            for (number, (block, bytes)) in part.iter().enumerate() {
                let mut copy = bytes.to_vec();
                let mut flags = if number == 0 { 0 } else { FLAG_SAME_UUID };
                if number + 1 == part.len() {
                    flags |= FLAG_LAST_TAG;
                }
                if copy[..4] == MAGIC.to_be_bytes() {
                    copy[..4].fill(0);
                    flags |= FLAG_ESCAPE;
                }
                let tag = self.tag(seed, *block, flags, &copy, tag_size);
                let place = &mut log[descriptor][at..];
                place[..tag_size].copy_from_slice(&tag[..tag_size]);
                at += tag_size;
                if number == 0 {
                    place[tag_size..tag_size + 16].copy_from_slice(&self.superblock.s_uuid);
                    at += 16;
                }
                log.push(copy);
            }
            if let Some(seed) = seed {
                let csum = seed.with(&log[descriptor]).value();
                log[descriptor][self.block_size - 4..].copy_from_slice(&csum.to_be_bytes());
            }
        }
        let mut commit = self.block_of_type(COMMIT);
        if let Some(seed) = seed {
            let csum = seed.with(&commit).value();
            commit[COMMIT_CHECKSUM..COMMIT_CHECKSUM + 4].copy_from_slice(&csum.to_be_bytes());
        }
        log.push(commit);
        let first = u64::from(self.superblock.s_first.0);
        if first + log.len() as u64 > u64::from(self.superblock.s_maxlen.0) {
            return None;
        }
        log.into_iter().zip(first..).map(|(bytes, logical)| Some((self.place(logical)?, bytes))).collect()
    }

    fn block_of_type(&self, blocktype: u32) -> Vec<u8> {
        let mut bytes = vec![0; self.block_size];
        for (place, value) in bytes.chunks_exact_mut(4).zip([MAGIC, blocktype, self.sequence()]) {
            place.copy_from_slice(&value.to_be_bytes());
        }
        bytes
    }

    fn tag(
        &self,
        seed: Option<Checksum>,
        block: Block,
        flags: u32,
        copy: &[u8],
        tag_size: usize,
    ) -> [u8; 16] {
        let words = match seed {
            Some(seed) => {
                let csum = seed.with(&self.sequence().to_be_bytes()).with(copy).value();
                [lo32(block.0), flags, hi32(block.0), csum]
            }
            // A checksum of 16 bits that is not used, then the flags.
            None => [lo32(block.0), flags, hi32(block.0), 0],
        };
        debug_assert!(tag_size >= 12 || hi32(block.0) == 0, "checked when the journal was opened");
        let mut tag = [0; 16];
        for (place, word) in tag.chunks_exact_mut(4).zip(words) {
            place.copy_from_slice(&word.to_be_bytes());
        }
        tag
    }
}

impl Ext4Editor {
    /// Refuses a journal that has something in it, or that is not known here.
    pub(super) fn check_journal(&self) -> Result<(), RootfsError> {
        match self.volume.journal {
            Some(_) => self.journal().map(drop),
            None => Ok(()),
        }
    }

    /// Returns the journal, which is empty.
    pub(super) fn journal(&self) -> Result<Journal, RootfsError> {
        let volume = &self.volume;
        let Some(number) = volume.journal else {
            let reason = "it has no journal, without which a change cannot be all or nothing; \
                          add one with tune2fs -j";
            return Err(volume.unsupported(reason));
        };
        let corrupt = |what: &str| Err(volume.corrupt(format!("the journal {what}")));
        let inode = self.inode(number)?;
        let runs = self.mapping(number, &inode, 0..LOGICAL_END)?.runs;
        let Some(first) = runs.first().filter(|run| run.logical == 0 && run.written) else {
            return corrupt("has no first block");
        };
        let bytes = self.blocks.read(View::Committed, Block(first.start))?;
        let bytes = bytes[..JournalSuperblock::SIZE].try_into().expect("blocks have 1024 bytes at least");
        let superblock = JournalSuperblock::decode(bytes);
        if superblock.h_magic.0 != MAGIC || !matches!(superblock.h_blocktype.0, 3 | SUPERBLOCK_V2) {
            return corrupt("has no superblock");
        }
        let journal = Journal { superblock, runs, block_size: volume.block_size };
        let superblock = &journal.superblock;
        if journal.superblock.h_blocktype.0 == SUPERBLOCK_V2 {
            let unknown = superblock.s_feature_incompat.0 & !KNOWN_INCOMPAT;
            if unknown != 0 || superblock.s_feature_ro_compat.0 != 0 {
                return Err(
                    volume.unsupported(format!("its journal has features {unknown:#x}, not known here"))
                );
            }
        }
        if journal.has(incompat::CSUM_V3) {
            if superblock.s_checksum_type != CHECKSUM_CRC32C {
                return corrupt("has checksums of an unknown type");
            }
            let mut covered = *bytes;
            covered[SUPERBLOCK_CHECKSUM..SUPERBLOCK_CHECKSUM + 4].fill(0);
            if is_wrong(&superblock.s_checksum.0, &Checksum::EMPTY.with(&covered).value()) {
                return corrupt("has a superblock with a wrong checksum");
            }
        }
        let (first, length) = (superblock.s_first.0, superblock.s_maxlen.0);
        let has_all = has_blocks(&journal.runs, length.into());
        let block_size = volume.block_size as u64;
        let is_wrong_size = inode.size() / block_size < u64::from(length)
            || !has_blocks(&journal.runs, inode.size().div_ceil(block_size));
        // One of the first version has nothing there.
        let users =
            if journal.superblock.h_blocktype.0 == SUPERBLOCK_V2 { superblock.s_nr_users.0 } else { 1 };
        if superblock.s_blocksize.0 as usize != volume.block_size
            || first == 0
            || first >= length
            || !has_all
            || is_wrong_size
            || users > 1
        {
            return corrupt("has a malformed superblock");
        }
        if volume.blocks_count > 1 << 32 && !journal.has(incompat::BIT64) {
            return Err(volume.unsupported("its journal has 32 bits for block numbers; mount it once"));
        }
        if superblock.s_errno.0 != 0 {
            return Err(volume.unsupported("its journal tells of an error; run e2fsck on it"));
        }
        if superblock.s_start.0 != 0 {
            let reason = "its journal has changes that are not in their place yet: it is mounted, or \
                          was not unmounted; mount it once or run e2fsck -fp on it";
            return Err(volume.unsupported(reason));
        }
        Ok(journal)
    }
}

/// Returns whether a file's first `blocks` blocks are all there.
fn has_blocks(runs: &[Run], blocks: u64) -> bool {
    let mut end = 0;
    for run in runs.iter().filter(|run| run.written) {
        if run.logical == end {
            end += run.len;
        }
    }
    end >= blocks
}
