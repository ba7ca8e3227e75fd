//! The table of a disk, whichever it has.

use std::fs::File;
use std::io::{Seek as _, SeekFrom};

use super::partition::{Fault, Partition};
use super::{gpt, mbr};

/// Returns the partitions of a disk, in the order of their numbers; `None` without a table.
pub(super) fn partitions_of(mut disk: &File) -> Result<Option<Vec<Partition>>, Fault> {
    // A block device has no length in its metadata.
    let size = disk.seek(SeekFrom::End(0))?;
    let found = match gpt::partitions(disk)? {
        Some(found) => Some(found),
        None => mbr::partitions(disk)?,
    };
    if let Some(found) = &found
        && let Some(outside) = found.iter().find(|partition| partition.end > size)
    {
        let (number, end) = (outside.number, outside.end);
        return Err(Fault::Damaged(format!("partition {number} ends at byte {end}, and the disk at {size}")));
    }
    Ok(found)
}
