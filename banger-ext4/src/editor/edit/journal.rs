//! The file system's journal (jbd2): its superblock, and transactions, one at a time.

use banger_tree::RootfsError;

use crate::editor::disk::Disk;
use crate::editor::disk::blocks::{Bytes, View};
use crate::editor::disk::corruption::{CorruptionKind, JournalFault};
use crate::editor::disk::extents;
use crate::editor::disk::inodes;
use crate::editor::disk::obstacle::Obstacle;
use crate::editor::disk::runs::{LOGICAL_END, Run};
use crate::format::crc32c::{Checksum, is_wrong};
use crate::format::inode::{EXTENTS_FL, Inode};
use crate::format::journal::{
    CHECKSUM_CRC32C, COMMIT, COMMIT_CHECKSUM, COMPAT_CHECKSUM, DESCRIPTOR, FAST_COMMIT_BLOCKS, FLAG_ESCAPE,
    FLAG_LAST_TAG, FLAG_SAME_UUID, HEADER_SIZE, JournalSuperblock, MAGIC, SUPERBLOCK_V1, SUPERBLOCK_V2,
    incompat,
};
use crate::format::superblock::{JNL_BACKUP_BLOCKS, Superblock};
use crate::format::{Block, extent, hi32, lo32};

/// `s_checksum` of the superblock.
const SUPERBLOCK_CHECKSUM: usize = 0xfc;
/// Known bits of `s_feature_incompat`. `async_commit` needs nothing from a writer that waits.
const KNOWN_INCOMPAT: u32 = incompat::REVOKE
    | incompat::BIT64
    | incompat::ASYNC_COMMIT
    | incompat::CSUM_V2
    | incompat::CSUM_V3
    | incompat::FAST_COMMIT;
/// Most blocks of a journal, as e2fsprogs has it.
pub(super) const BLOCKS_MAX: u32 = 10_240_000;
/// Fewest blocks of a journal, and of a log beside fast commits: `JBD2_MIN_JOURNAL_BLOCKS`.
pub(super) const BLOCKS_MIN: u32 = 1024;

/// The journal, with its superblock checked.
#[derive(Debug)]
pub(crate) struct Journal {
    superblock: JournalSuperblock,
    runs: Vec<Run>,
    block_size: usize,
}

impl Journal {
    /// Returns a journal without a transaction that takes the blocks `runs`, the first `length` of a file.
    pub(super) fn new(disk: &Disk, runs: Vec<Run>, length: u32, sequence: u32) -> Self {
        let block_size = disk.volume.block_size;
        let mut superblock = JournalSuperblock::empty(length, disk.volume.uuid);
        superblock.s_blocksize.0 = u32::try_from(block_size).expect("at most 65536");
        superblock.s_sequence.0 = sequence;
        if disk.volume.blocks_count > 1 << 32 {
            superblock.s_feature_incompat.0 |= incompat::BIT64;
        }
        Self { superblock, runs, block_size }
    }

    pub(crate) fn has(&self, feature: u32) -> bool {
        self.superblock.h_blocktype.0 == SUPERBLOCK_V2 && self.superblock.s_feature_incompat.0 & feature != 0
    }

    /// Returns the seed of the checksums, if the journal has checksums by CRC-32C.
    pub(crate) fn seed(&self) -> Option<Checksum> {
        let has_any = self.has(incompat::CSUM_V2 | incompat::CSUM_V3);
        has_any.then(|| Checksum::of_filesystem(&self.superblock.s_uuid))
    }

    /// Returns whether a commit block has the CRC-32 of its transaction.
    pub(crate) fn has_crc32(&self) -> bool {
        self.superblock.h_blocktype.0 == SUPERBLOCK_V2
            && self.superblock.s_feature_compat.0 & COMPAT_CHECKSUM != 0
    }

    /// Returns the bytes of a tag in a descriptor block.
    pub(crate) fn tag_size(&self) -> usize {
        match (self.has(incompat::CSUM_V3), self.has(incompat::CSUM_V2), self.has(incompat::BIT64)) {
            (true, ..) => 16,
            (false, true, true) => 14,
            (false, false, true) => 12,
            (false, true, false) => 10,
            (false, false, false) => 8,
        }
    }

    /// Returns the bytes of the checksum at the end of a block of tags or of revoked blocks.
    pub(crate) fn tail_size(&self) -> usize {
        if self.seed().is_some() { 4 } else { 0 }
    }

    /// Returns whether a block of tags or of revoked blocks has a wrong checksum at its end.
    pub(crate) fn has_wrong_tail(&self, bytes: &[u8]) -> bool {
        let Some(seed) = self.seed() else { return false };
        let (covered, tail) = bytes.split_at(bytes.len() - 4);
        is_wrong(tail, &seed.with(covered).with(&[0; 4]).value().to_be_bytes()[..])
    }

    /// Returns the first block of the log and one past its last.
    pub(crate) fn log(&self) -> (u64, u64) {
        let length = self.superblock.s_maxlen.0;
        let end = length.checked_sub(self.fast_commit_blocks()).filter(|end| *end >= BLOCKS_MIN);
        let end = end.filter(|_| self.has(incompat::FAST_COMMIT)).unwrap_or(length);
        (self.superblock.s_first.0.into(), end.into())
    }

    fn fast_commit_blocks(&self) -> u32 {
        match self.superblock.s_num_fc_blks.0 {
            0 => FAST_COMMIT_BLOCKS,
            blocks => blocks,
        }
    }

    /// Returns the start of the fast commits, if the journal may have them.
    pub(crate) fn fast_commit_place(&self) -> Option<Block> {
        // As the kernel has it, one block after the log is left out.
        if self.has(incompat::FAST_COMMIT) { self.place(self.log().1 + 1) } else { None }
    }

    /// Returns the block of the log at which pending changes start; `None` if there are none.
    pub(crate) fn start(&self) -> Option<u64> {
        (self.superblock.s_start.0 != 0).then(|| self.superblock.s_start.0.into())
    }

    /// Returns the superblock of the journal when its changes are in place, the last of which is
    /// before `next_sequence`.
    pub(crate) fn emptied_superblock(&self, next_sequence: u32) -> Option<(Block, Vec<u8>)> {
        // Larger than any number in the log, as e2fsck does, so that no old transaction counts again.
        self.superblock(false, next_sequence.wrapping_add(1).max(1))
    }

    /// Returns the place and the superblock of an empty journal with the same features on the blocks `runs`.
    pub(super) fn empty_one_on(&self, runs: Vec<Run>) -> Option<(Block, Vec<u8>)> {
        let length = u32::try_from(runs.iter().map(|run| run.len).sum::<u64>()).ok()?;
        let mut superblock = self.superblock.clone();
        superblock.s_maxlen.0 = length;
        superblock.s_head.0 = 0;
        Self { superblock, runs, block_size: self.block_size }.done_superblock()
    }

    /// Returns the fewest blocks that the journal can have; with fast commits, these need blocks of their own.
    pub(super) fn least_blocks(&self, has_fast_commits: bool) -> u32 {
        BLOCKS_MIN.saturating_add(if has_fast_commits { self.fast_commit_blocks() } else { 0 })
    }

    /// Returns the number of blocks that the journal uses, from the first of its file on.
    pub(super) fn length(&self) -> u64 {
        self.superblock.s_maxlen.0.into()
    }

    /// Returns the position of the journal's block of this number in the image.
    pub(crate) fn place(&self, logical: u64) -> Option<Block> {
        let at = self.runs.partition_point(|run| run.logical + run.len <= logical);
        let run = self.runs.get(at).filter(|run| logical >= run.logical)?;
        run.written.then_some(Block(run.start + (logical - run.logical)))
    }

    /// Returns the sequence number of the first transaction.
    pub(crate) fn sequence(&self) -> u32 {
        self.superblock.s_sequence.0
    }

    /// Returns the place and the bytes of the superblock's block, with the start of the log (0 for an empty
    /// log) and the next sequence number.
    pub(crate) fn superblock(&self, is_live: bool, sequence: u32) -> Option<(Block, Vec<u8>)> {
        let mut superblock = self.superblock.clone();
        superblock.s_start.0 = if is_live { superblock.s_first.0 } else { 0 };
        superblock.s_sequence.0 = sequence;
        superblock.s_checksum.0 = 0;
        let mut bytes = superblock.encode().to_vec();
        if self.seed().is_some() {
            let csum = Checksum::EMPTY.with(&bytes).value();
            bytes[SUPERBLOCK_CHECKSUM..SUPERBLOCK_CHECKSUM + 4].copy_from_slice(&csum.to_be_bytes());
        }
        bytes.resize(self.block_size, 0);
        Some((self.place(0)?, bytes))
    }

    /// Returns the superblock that makes the transaction count.
    pub(crate) fn live_superblock(&self) -> Option<(Block, Vec<u8>)> {
        self.superblock(true, self.sequence())
    }

    /// Returns the superblock of the empty journal after the transaction.
    pub(crate) fn done_superblock(&self) -> Option<(Block, Vec<u8>)> {
        // 0 is not a sequence number.
        self.superblock(false, self.sequence().wrapping_add(1).max(1))
    }

    /// Returns how many tags a descriptor block holds.
    fn tags(&self) -> usize {
        (self.block_size - HEADER_SIZE - 16 - self.tail_size()) / self.tag_size()
    }

    /// Returns the number of blocks that one transaction can change.
    pub(crate) fn capacity(&self) -> usize {
        let tags = self.tags();
        // One for the commit block, and one descriptor for as many blocks as it has tags.
        let (first, end) = self.log();
        let blocks = usize::try_from(end.saturating_sub(first)).unwrap_or(usize::MAX);
        blocks.saturating_sub(1) * tags / (tags + 1)
    }

    /// Returns the blocks, with their places, of a transaction that changes `changed`; `None` if
    /// the journal is too small.
    pub(crate) fn transaction<'a>(
        &self,
        changed: impl ExactSizeIterator<Item = (Block, &'a Bytes)>,
    ) -> Option<Vec<(Block, Vec<u8>)>> {
        let seed = self.seed();
        let (tag_size, tags) = (self.tag_size(), self.tags());
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
        let (first, end) = self.log();
        if first + log.len() as u64 > end {
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
                match self.has(incompat::CSUM_V3) {
                    true => [lo32(block.0), flags, hi32(block.0), csum],
                    false => [lo32(block.0), csum << 16 | flags, hi32(block.0), 0],
                }
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

/// Returns whether runs share a block: a log of few blocks could seem endless.
fn has_block_twice(runs: &[Run]) -> bool {
    let mut places: Vec<(u64, u64)> = runs.iter().map(|run| (run.start, run.len)).collect();
    places.sort_unstable();
    places.windows(2).any(|pair| pair[0].0 + pair[0].1 > pair[1].0)
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

/// What brings changes that are only in the journal to their places.
pub(super) const RECOVER: &str = "mount it once or run e2fsck -fp on it";

/// Returns the journal, which is empty and can be written; `None` if the file system has no journal.
pub(crate) fn writable(disk: &Disk) -> Result<Option<Journal>, RootfsError> {
    let volume = &disk.volume;
    let Some(journal) = read(disk)? else { return Ok(None) };
    if volume.blocks_count > 1 << 32 && !journal.has(incompat::BIT64) {
        return Err(volume.unsupported(
            Obstacle::new("its journal has 32 bits for block numbers").with_advice("mount it once"),
        ));
    }
    if journal.start().is_some() {
        let reason =
            "its journal has changes that are not in their place yet: it is mounted, or was not unmounted";
        return Err(volume.unsupported(Obstacle::new(reason).with_advice(RECOVER)));
    }
    Ok(Some(journal))
}

/// Returns the journal, if there is one.
///
/// # Errors
/// It is damaged, or of a kind that is not known here.
pub(crate) fn read(disk: &Disk) -> Result<Option<Journal>, RootfsError> {
    let volume = &disk.volume;
    let Some(number) = volume.journal else { return Ok(None) };
    let corrupt = |fault| Err(volume.corrupt(CorruptionKind::Journal(fault)));
    let (size_bytes, runs) = match inodes::read(disk, number) {
        Ok(inode) => (inode.size(), extents::mapping(disk, number, &inode, 0..LOGICAL_END)?.runs),
        // The place of the journal must be known before its changes.
        Err(error) if !volume.needs_recovery => return Err(error),
        Err(error) => match backup(disk)? {
            Some(inode) => (inode.size(), extents::mapping(disk, number, &inode, 0..LOGICAL_END)?.runs),
            None => return Err(error),
        },
    };
    let Some(first) = runs.first().filter(|run| run.logical == 0 && run.written) else {
        return corrupt(JournalFault::NoFirstBlock);
    };
    let bytes = disk.blocks.read(View::Committed, Block(first.start))?;
    let bytes = bytes[..JournalSuperblock::SIZE].try_into().expect("blocks have 1024 bytes at least");
    let superblock = JournalSuperblock::decode(bytes);
    if superblock.h_magic.0 != MAGIC || !matches!(superblock.h_blocktype.0, SUPERBLOCK_V1 | SUPERBLOCK_V2) {
        return corrupt(JournalFault::NoSuperblock);
    }
    let journal = Journal { superblock, runs, block_size: volume.block_size };
    let superblock = &journal.superblock;
    if journal.superblock.h_blocktype.0 == SUPERBLOCK_V2 {
        let unknown = superblock.s_feature_incompat.0 & !KNOWN_INCOMPAT;
        if unknown != 0 || superblock.s_feature_ro_compat.0 != 0 {
            return Err(volume.unreadable(format!("its journal has features {unknown:#x}, not known here")));
        }
    }
    if journal.seed().is_some() {
        if superblock.s_checksum_type != CHECKSUM_CRC32C {
            return corrupt(JournalFault::ChecksumType);
        }
        let mut covered = *bytes;
        covered[SUPERBLOCK_CHECKSUM..SUPERBLOCK_CHECKSUM + 4].fill(0);
        if is_wrong(&superblock.s_checksum.0, &Checksum::EMPTY.with(&covered).value()) {
            return corrupt(JournalFault::SuperblockChecksum);
        }
    }
    let (first, length) = (superblock.s_first.0, superblock.s_maxlen.0);
    let has_all = has_blocks(&journal.runs, length.into());
    let block_size = volume.block_size as u64;
    let is_wrong_size = size_bytes / block_size < u64::from(length)
        || !has_blocks(&journal.runs, size_bytes.div_ceil(block_size));
    // One of the first version has nothing there.
    let users = if journal.superblock.h_blocktype.0 == SUPERBLOCK_V2 { superblock.s_nr_users.0 } else { 1 };
    if superblock.s_blocksize.0 as usize != volume.block_size
        || first == 0
        || u64::from(first) >= journal.log().1
        || length > BLOCKS_MAX
        || !has_all
        || is_wrong_size
        || users > 1
        || has_block_twice(&journal.runs)
    {
        return corrupt(JournalFault::Superblock);
    }
    if superblock.s_errno.0 != 0 {
        return Err(
            volume.unreadable(Obstacle::new("its journal tells of an error").with_advice("run e2fsck on it"))
        );
    }
    Ok(Some(journal))
}

/// Returns the copy of the journal's inode that the superblock has.
fn backup(disk: &Disk) -> Result<Option<Inode>, RootfsError> {
    let (block, offset) = disk.volume.superblock_place();
    let block = disk.blocks.read(View::Committed, block)?;
    let bytes = block[offset..offset + Superblock::SIZE].try_into().expect("the superblock's length");
    let superblock = Superblock::decode(bytes);
    if superblock.s_jnl_backup_type != JNL_BACKUP_BLOCKS || superblock.s_jnl_blocks[0] == 0 {
        return Ok(None);
    }
    let mut inode = Inode::zeroed();
    for (place, word) in inode.i_block.chunks_exact_mut(4).zip(superblock.s_jnl_blocks) {
        place.copy_from_slice(&word.to_le_bytes());
    }
    let [.., size_high, size] = superblock.s_jnl_blocks;
    (inode.i_size_lo, inode.i_size_high) = (size, size_high);
    if inode.i_block[..2] == extent::MAGIC.to_le_bytes() {
        inode.i_flags |= EXTENTS_FL;
    }
    Ok(Some(inode))
}
