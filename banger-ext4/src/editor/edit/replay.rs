//! Blocks of a journal that are not in their place yet: the normal state of an image whose virtual machine
//! was killed.
//!
//! The log is read once, transaction by transaction. Only the position of the newest copy of a block is kept,
//! so a journal of any size takes a few bytes for each changed block.

use std::collections::{BTreeSet, HashMap};

use banger_tree::RootfsError;

use super::journal::Journal;
use crate::editor::disk::Disk;
use crate::editor::disk::blocks::{Bytes, CopyChecksum, JournalCopies, JournalCopy};
use crate::editor::disk::corruption::{CorruptionKind, JournalFault};
use crate::editor::disk::obstacle::Obstacle;
use crate::format::crc32c::is_wrong;
use crate::format::journal::{
    COMMIT, COMMIT_CHECKSUM, DESCRIPTOR, FLAG_ESCAPE, FLAG_LAST_TAG, FLAG_SAME_UUID, HEADER_SIZE, MAGIC,
    REVOKE, incompat,
};
use crate::format::{Block, join32};

/// `h_chksum_type` of a commit block: CRC-32.
const CHECKSUM_CRC32: u8 = 1;
/// Bytes of a revoke block before its records: a header, and how many bytes are in use.
const REVOKE_HEADER: usize = 16;
/// First tag of a block of fast commits: `EXT4_FC_TAG_HEAD`.
const FAST_COMMIT_HEAD: u16 = 9;

/// The result of a replay.
#[derive(Debug, Default)]
pub(crate) struct Recovered {
    /// The newest copies.
    pub(crate) copies: JournalCopies,
    /// The sequence number after the last transaction.
    pub(crate) next_sequence: u32,
    /// Whether the last transaction does not count although its end was written, because a part of it is
    /// missing.
    pub(crate) has_torn_end: bool,
}

/// A transaction that is being read.
#[derive(Default)]
struct Transaction {
    copies: Vec<(Block, JournalCopy)>,
    revoked: BTreeSet<Block>,
    /// CRC-32 of its blocks before the commit block, for the first version of checksums.
    crc32: u32,
}

/// Returns whether the sequence number `a` is before `b`: they wrap around.
fn is_before(a: u32, b: u32) -> bool {
    a.wrapping_sub(b) > 1 << 31
}

fn be32(bytes: &[u8], at: usize) -> u32 {
    u32::from_be_bytes(bytes[at..at + 4].try_into().expect("four bytes"))
}

/// Returns CRC-32, with the most significant bit first and no inversion, with `bytes` added.
fn crc32_be(crc: u32, bytes: &[u8]) -> u32 {
    const TABLE: [u32; 256] = {
        let mut table = [0; 256];
        let mut at = 0;
        while at < 256 {
            let mut crc = (at as u32) << 24;
            let mut bit = 0;
            while bit < 8 {
                crc = if crc & 1 << 31 != 0 { (crc << 1) ^ 0x04c1_1db7 } else { crc << 1 };
                bit += 1;
            }
            table[at] = crc;
            at += 1;
        }
        table
    };
    bytes.iter().fold(crc, |crc, byte| (crc << 8) ^ TABLE[((crc >> 24) as u8 ^ byte) as usize])
}

/// The log, read from its start on.
struct Log<'a> {
    disk: &'a Disk,
    journal: &'a Journal,
    next: u64,
    /// Blocks that may still be read before the log meets itself.
    left: u64,
}

impl Log<'_> {
    /// Returns the place of the next block, and moves on; `None` if the log meets itself.
    fn step(&mut self) -> Result<Option<Block>, RootfsError> {
        let Some(left) = self.left.checked_sub(1) else { return Ok(None) };
        self.left = left;
        let (first, end) = self.journal.log();
        let place = self.journal.place(self.next);
        self.next = if self.next + 1 >= end { first } else { self.next + 1 };
        let lost = || self.disk.volume.corrupt(CorruptionKind::Journal(JournalFault::LostBlocks));
        place.map(Some).ok_or_else(lost)
    }

    fn read(&self, place: Block) -> Result<Bytes, RootfsError> {
        self.disk.blocks.read_once(place)
    }
}

/// Returns whether a commit block confirms that its transaction is complete.
fn is_complete(journal: &Journal, bytes: &[u8], crc32: u32) -> bool {
    if let Some(seed) = journal.seed() {
        let mut covered = bytes.to_vec();
        covered[COMMIT_CHECKSUM..COMMIT_CHECKSUM + 4].fill(0);
        return !is_wrong(&be32(bytes, COMMIT_CHECKSUM), &seed.with(&covered).value());
    }
    if !journal.has_crc32() {
        return true;
    }
    let (kind, size, found) = (bytes[12], bytes[13], be32(bytes, COMMIT_CHECKSUM));
    match (kind, size) {
        (0, 0) => found == 0,
        (CHECKSUM_CRC32, 4) => !is_wrong(&found, &crc32),
        _ => false,
    }
}

/// Returns the blocks of the journal that are not in their place.
///
/// # Errors
/// The journal is damaged, or has fast commits.
pub(crate) fn recover(disk: &Disk, journal: &Journal) -> Result<Recovered, RootfsError> {
    let Some(start) = journal.start() else {
        return Ok(Recovered { next_sequence: journal.sequence(), ..Recovered::default() });
    };
    let (first, end) = journal.log();
    if !(first..end).contains(&start) {
        return Err(disk.volume.corrupt(CorruptionKind::Journal(JournalFault::Start)));
    }
    let mut log = Log { disk, journal, next: start, left: end - first };
    let mut recovered = Recovered { next_sequence: journal.sequence(), ..Recovered::default() };
    let mut revokes: HashMap<Block, u32> = HashMap::new();
    let mut transactions: Vec<(u32, Vec<(Block, JournalCopy)>)> = Vec::new();
    let mut open = Transaction { crc32: !0, ..Transaction::default() };
    while let Some(place) = log.step()? {
        let bytes = log.read(place)?;
        if be32(&bytes, 0) != MAGIC || be32(&bytes, 8) != recovered.next_sequence {
            break;
        }
        match be32(&bytes, 4) {
            DESCRIPTOR => {
                // The last one may not have got to the disk in full.
                if journal.has_wrong_tail(&bytes) || !read_tags(disk, &mut log, &bytes, &mut open)? {
                    break;
                }
            }
            REVOKE => {
                if journal.has_wrong_tail(&bytes) {
                    break;
                }
                read_revokes(disk, journal, &bytes, &mut open)?;
            }
            COMMIT => {
                if !is_complete(journal, &bytes, open.crc32) {
                    check_last(disk, &mut log, recovered.next_sequence)?;
                    recovered.has_torn_end = true;
                    break;
                }
                let done = std::mem::replace(&mut open, Transaction { crc32: !0, ..Transaction::default() });
                let sequence = recovered.next_sequence;
                revokes.extend(done.revoked.into_iter().map(|block| (block, sequence)));
                transactions.push((sequence, done.copies));
                recovered.next_sequence = sequence.wrapping_add(1);
            }
            _ => break,
        }
    }
    // A commit block can reach the disk before its transaction.
    if let Some((_, copies)) = transactions.last()
        && has_wrong_copy(disk, copies)?
    {
        recovered.has_torn_end = true;
        let (sequence, _) = transactions.pop().expect("there is a last one");
        recovered.next_sequence = sequence;
        revokes.retain(|_, revoked| *revoked != sequence);
    }
    refuse_fast_commits(disk, journal, recovered.next_sequence)?;
    for (sequence, copies) in transactions {
        for (block, copy) in copies {
            // A revoked block became content: earlier copies are from its old use.
            if revokes.get(&block).is_none_or(|revoked| is_before(*revoked, sequence)) {
                recovered.copies.insert(block, copy);
            }
        }
    }
    Ok(recovered)
}

/// Refuses a damaged transaction that another one follows: later changes may be in place already.
fn check_last(disk: &Disk, log: &mut Log<'_>, sequence: u32) -> Result<(), RootfsError> {
    let Some(place) = log.step()? else { return Ok(()) };
    let bytes = log.read(place)?;
    match be32(&bytes, 0) == MAGIC && be32(&bytes, 8) == sequence.wrapping_add(1) {
        true => Err(disk.volume.corrupt(CorruptionKind::Transaction { sequence })),
        false => Ok(()),
    }
}

/// Reads the tags of a descriptor block; returns whether all of their copies can be there.
fn read_tags(
    disk: &Disk,
    log: &mut Log<'_>,
    bytes: &Bytes,
    open: &mut Transaction,
) -> Result<bool, RootfsError> {
    let journal = log.journal;
    let sums_blocks = journal.has_crc32();
    if sums_blocks {
        open.crc32 = crc32_be(open.crc32, bytes);
    }
    let (tag_size, tail) = (journal.tag_size(), journal.tail_size());
    let sequence = be32(bytes, 8);
    let mut at = HEADER_SIZE;
    while at + tag_size <= bytes.len() - tail {
        let tag = &bytes[at..at + tag_size];
        let is_v3 = journal.has(incompat::CSUM_V3);
        let flags = if is_v3 { be32(tag, 4) } else { be32(tag, 4) & 0xffff };
        let upper = if tag_size >= 12 && journal.has(incompat::BIT64) { be32(tag, 8) } else { 0 };
        let block = Block(join32(be32(tag, 0), upper));
        let Some(place) = log.step()? else { return Ok(false) };
        let checksum = journal.seed().map(|seed| CopyChecksum {
            seed: seed.with(&sequence.to_be_bytes()),
            value: if is_v3 { be32(tag, 12) } else { be32(tag, 4) >> 16 },
            mask: if is_v3 { u32::MAX } else { 0xffff },
        });
        if sums_blocks {
            open.crc32 = crc32_be(open.crc32, &log.read(place)?);
        }
        if !is_in_file(disk, block) {
            return Err(disk.volume.corrupt(CorruptionKind::CopyOfNoBlock(block)));
        }
        open.copies.push((block, JournalCopy { place, is_escaped: flags & FLAG_ESCAPE != 0, checksum }));
        at += tag_size;
        if flags & FLAG_SAME_UUID == 0 {
            at += 16;
        }
        if flags & FLAG_LAST_TAG != 0 {
            break;
        }
    }
    Ok(true)
}

/// Returns whether a block is in the file: the end of the file system may move in the journal.
fn is_in_file(disk: &Disk, block: Block) -> bool {
    let end = disk.blocks.storage.size_bytes().unwrap_or(0) / disk.volume.block_size as u64;
    block.0 < end
}

fn read_revokes(
    disk: &Disk,
    journal: &Journal,
    bytes: &[u8],
    open: &mut Transaction,
) -> Result<(), RootfsError> {
    let used = be32(bytes, HEADER_SIZE) as usize;
    let size = if journal.has(incompat::BIT64) { 8 } else { 4 };
    if used < REVOKE_HEADER || used > bytes.len() - journal.tail_size() {
        return Err(disk.volume.corrupt(CorruptionKind::Journal(JournalFault::Revokes)));
    }
    for record in bytes[REVOKE_HEADER..used].chunks_exact(size) {
        let block = match record {
            [a, b, c, d] => u64::from(u32::from_be_bytes([*a, *b, *c, *d])),
            long => u64::from_be_bytes(long.try_into().expect("eight bytes")),
        };
        // Ignore blocks outside the file system.
        if is_in_file(disk, Block(block)) {
            open.revoked.insert(Block(block));
        }
    }
    Ok(())
}

fn has_wrong_copy(disk: &Disk, copies: &[(Block, JournalCopy)]) -> Result<bool, RootfsError> {
    for (_, copy) in copies {
        if let Some(checksum) = copy.checksum
            && checksum.is_wrong(&disk.blocks.read_once(copy.place)?)
        {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Refuses fast commits that count: they are behind the log, and of another kind.
fn refuse_fast_commits(disk: &Disk, journal: &Journal, sequence: u32) -> Result<(), RootfsError> {
    let Some(place) = journal.fast_commit_place() else { return Ok(()) };
    let bytes = disk.blocks.read_once(place)?;
    let tag = u16::from_le_bytes([bytes[0], bytes[1]]);
    let of = u32::from_le_bytes(bytes[8..12].try_into().expect("four bytes"));
    match tag == FAST_COMMIT_HEAD && of == sequence {
        false => Ok(()),
        true => Err(disk.volume.unreadable(
            Obstacle::new("its journal has fast commits (fast_commit), which are not known here")
                .with_advice("mount it once, then run e2fsck -fp on it"),
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sequence_numbers_wrap_around() {
        assert!(is_before(1, 2) && !is_before(2, 1) && !is_before(7, 7));
        assert!(is_before(u32::MAX, 0) && !is_before(0, u32::MAX));
    }

    #[test]
    fn crc32_with_the_most_significant_bit_first() {
        // The check value of CRC-32/MPEG-2, started from all ones.
        assert_eq!(crc32_be(!0, b"123456789"), 0x0376_e6e7);
    }
}
