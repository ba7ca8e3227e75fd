//! GPT, read by the crate `gpt`. Disks have sectors of 512 or 4096 bytes.

use std::fs::File;
use std::os::unix::fs::FileExt as _;

use gpt::GptConfig;
use gpt::disk::LogicalBlockSize;

use super::partition::{Fault, Partition};

const SIGNATURE: &[u8; 8] = b"EFI PART";
/// Positions of the number of entries and of their size in the header.
const ENTRIES: usize = 80;
const ENTRY_SIZE: usize = 84;
/// Most entries: disks have 128. The crate reads as many as the header says.
const MOST_ENTRIES: u32 = 4096;
/// The only size of entries that the crate reads, and that disks have.
const ENTRY_BYTES: u32 = 128;

/// Returns the partitions in a GPT; `None` without one.
pub(super) fn partitions(disk: &File) -> Result<Option<Vec<Partition>>, Fault> {
    for (sector, size) in [(512_u64, LogicalBlockSize::Lb512), (4096, LogicalBlockSize::Lb4096)] {
        let mut header = [0; 88];
        if disk.read_exact_at(&mut header, sector).is_err() || !header.starts_with(SIGNATURE) {
            continue;
        }
        let number = |at: usize| u32::from_le_bytes(header[at..at + 4].try_into().expect("four bytes"));
        if number(ENTRIES) > MOST_ENTRIES || number(ENTRY_SIZE) != ENTRY_BYTES {
            let (entries, bytes) = (number(ENTRIES), number(ENTRY_SIZE));
            return Err(Fault::Damaged(format!("the GPT has {entries} entries of {bytes} bytes")));
        }
        let damaged = |error: &dyn std::fmt::Display| Fault::Damaged(format!("the GPT is damaged: {error}"));
        let config = GptConfig::new().writable(false).logical_block_size(size).only_valid_headers(true);
        let table = config.open_from_device(disk.try_clone()?).map_err(|error| damaged(&error))?;
        let mut found = Vec::new();
        for (number, partition) in table.partitions().iter().filter(|(_, partition)| partition.is_used()) {
            let end = partition.last_lba.checked_add(1).and_then(|end| end.checked_mul(sector));
            let (Some(start), Some(end)) = (partition.first_lba.checked_mul(sector), end) else {
                return Err(Fault::Damaged(format!("partition {number} has no end")));
            };
            if start >= end {
                return Err(Fault::Damaged(format!("partition {number} ends before it begins")));
            }
            let label = (!partition.name.is_empty()).then(|| partition.name.clone());
            found.push(Partition { number: *number, label, start, end });
        }
        return Ok(Some(found));
    }
    Ok(None)
}
