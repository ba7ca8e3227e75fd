//! MBR: four entries in the first sector, and a chain of logical partitions in an extended one.
//!
//! The crates for it bring serializers that nobody maintains any more, for 64 bytes.

use std::fs::File;
use std::os::unix::fs::FileExt as _;

use super::partition::{Fault, Partition};

const SECTOR: u64 = 512;
const ENTRIES: usize = 446;
const ENTRY_BYTES: usize = 16;
const SIGNATURE: [u8; 2] = [0x55, 0xaa];
/// Types of a partition that has others in it.
const EXTENDED: [u8; 3] = [0x05, 0x0f, 0x85];
/// The type of the entry that covers a GPT.
const PROTECTIVE: u8 = 0xee;
/// The number of the first logical partition.
const FIRST_LOGICAL: u32 = 5;
/// Most logical partitions. A chain may lead in a circle.
const MOST_LOGICAL: u32 = 256;

/// An entry of a table.
#[derive(Clone, Copy)]
struct Entry {
    kind: u8,
    start: u64,
    sectors: u64,
}

impl Entry {
    fn partition(self, number: u32, base: u64) -> Partition {
        let start = (base + self.start) * SECTOR;
        Partition { number, label: None, start, end: start + self.sectors * SECTOR }
    }
}

/// Returns the entries of the table in a sector; `None` if there is no table.
fn entries(disk: &File, sector: u64) -> Result<Option<[Entry; 4]>, Fault> {
    let mut bytes = [0; SECTOR as usize];
    match disk.read_exact_at(&mut bytes, sector * SECTOR) {
        Err(error) if error.kind() == std::io::ErrorKind::UnexpectedEof => return Ok(None),
        read => read?,
    }
    if !bytes.ends_with(&SIGNATURE) {
        return Ok(None);
    }
    let entry = |number: usize| {
        let entry = &bytes[ENTRIES + number * ENTRY_BYTES..][..ENTRY_BYTES];
        let word = |at: usize| u32::from_le_bytes(entry[at..at + 4].try_into().expect("four bytes"));
        // The first byte says whether to start from it: another value is the code of a boot loader.
        let is_entry = matches!(entry[0], 0 | 0x80);
        is_entry.then(|| Entry { kind: entry[4], start: word(8).into(), sectors: word(12).into() })
    };
    let all = [entry(0), entry(1), entry(2), entry(3)];
    match all {
        [Some(a), Some(b), Some(c), Some(d)] => Ok(Some([a, b, c, d])),
        _ => Ok(None),
    }
}

/// Returns the partitions in an MBR; `None` without one.
pub(super) fn partitions(disk: &File) -> Result<Option<Vec<Partition>>, Fault> {
    let Some(primary) = entries(disk, 0)? else { return Ok(None) };
    if primary.iter().any(|entry| entry.kind == PROTECTIVE) {
        return Err(Fault::Damaged("the MBR says that there is a GPT, and there is none".to_owned()));
    }
    let mut found = Vec::new();
    for (number, entry) in (1..).zip(primary) {
        if entry.kind == 0 || entry.sectors == 0 {
            continue;
        }
        found.push(entry.partition(number, 0));
    }
    if found.is_empty() {
        return Ok(None);
    }
    let mut extended = primary.iter().filter(|entry| EXTENDED.contains(&entry.kind));
    if let Some(extended) = extended.next() {
        logical(disk, extended.start, &mut found)?;
    }
    Ok(Some(found))
}

/// Adds the logical partitions of an extended one that begins at the sector `base`.
fn logical(disk: &File, base: u64, found: &mut Vec<Partition>) -> Result<(), Fault> {
    let mut at = base;
    let mut number = FIRST_LOGICAL;
    loop {
        let Some([entry, next, ..]) = entries(disk, at)? else {
            return Err(Fault::Damaged(format!("there is no table for partition {number}")));
        };
        if entry.kind != 0 && entry.sectors != 0 {
            found.push(entry.partition(number, at));
            number += 1;
        }
        if next.kind == 0 || next.sectors == 0 {
            return Ok(());
        }
        if number - FIRST_LOGICAL >= MOST_LOGICAL || next.start == 0 {
            return Err(Fault::Damaged("its logical partitions have no end".to_owned()));
        }
        at = base + next.start;
    }
}
