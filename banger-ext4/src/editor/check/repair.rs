//! Repairs bitmaps, counters and their checksums: the rest of a file system decides what they must be.

use banger_tree::RootfsError;
use serde::Serialize;

use super::named_inodes::NamedInodes;
use super::verify::{used_blocks, verify};
use crate::editor::disk::Disk;
use crate::editor::disk::blocks::View;
use crate::editor::disk::groups::{bit, ones, set_bits};
use crate::editor::disk::inodes;
use crate::format::InodeNumber;
use crate::format::group_desc::{BLOCK_UNINIT, GroupDesc, INODE_UNINIT, INODE_ZEROED};

/// Number of repairs with a text; later ones are only counted.
const REPAIRS_MAX: usize = 100;

/// Result of a repair: the repairs, or the reason why nothing was repaired.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct RepairReport {
    /// The first hundred repairs, one sentence each; none if there is damage that stays.
    pub repairs: Vec<String>,
    /// Number of all repairs.
    pub repair_count: u64,
    /// The first hundred problems that stay, one sentence each. Then nothing was changed.
    pub problems: Vec<String>,
    /// Number of all problems that stay.
    pub problem_count: u64,
}

/// Why a file system was not repaired.
enum RepairRefusal {
    /// Problems that stay, and their number.
    Left(Vec<String>, u64),
    /// The host failed, or the caller asked to stop.
    Failed(RootfsError),
}

impl From<RootfsError> for RepairRefusal {
    fn from(error: RootfsError) -> Self {
        match error {
            RootfsError::Corrupt { damage, .. } => Self::left(damage.to_string()),
            RootfsError::Unsupported { reason, .. } | RootfsError::Unreadable { reason, .. } => {
                Self::left(reason)
            }
            other => Self::Failed(other),
        }
    }
}

impl RepairRefusal {
    fn left(problem: String) -> Self {
        Self::Left(vec![problem], 1)
    }
}

/// Repairs in memory. The caller commits them if the report has no problems, and drops them otherwise.
pub(crate) fn repair(disk: &mut Disk) -> Result<RepairReport, RootfsError> {
    if verify(disk)?.problem_count == 0 && disk.repaired.is_empty() {
        return Ok(RepairReport::default());
    }
    let mut repair = Repair { disk, report: RepairReport::default() };
    match repair.all() {
        Ok(()) => Ok(repair.report),
        Err(RepairRefusal::Left(problems, problem_count)) => {
            Ok(RepairReport { problems, problem_count, ..RepairReport::default() })
        }
        Err(RepairRefusal::Failed(error)) => Err(error),
    }
}

struct Repair<'a> {
    disk: &'a mut Disk,
    report: RepairReport,
}

impl Repair<'_> {
    fn all(&mut self) -> Result<(), RepairRefusal> {
        // Without them, nothing could be read so far.
        for what in std::mem::take(&mut self.disk.repaired) {
            self.repaired(what);
        }
        let named = NamedInodes::of(self.disk)?;
        for group in 0..self.disk.volume.groups {
            self.disk.check_cancelled()?;
            self.inodes_of(group, &named)?;
        }
        for group in 0..self.disk.volume.groups {
            self.disk.check_cancelled()?;
            self.bitmap_checksum(group)?;
        }
        self.blocks()?;
        self.superblock()?;
        // What was taken for granted has to be so.
        let after = verify(self.disk)?;
        match after.problem_count {
            0 => Ok(()),
            count => Err(RepairRefusal::Left(after.problems, count)),
        }
    }

    fn repaired(&mut self, what: String) {
        self.report.repair_count += 1;
        if self.report.repairs.len() < REPAIRS_MAX {
            self.report.repairs.push(what);
        }
    }

    /// Makes inode bitmap and counters of inodes as the names have them.
    fn inodes_of(&mut self, group: u32, named: &NamedInodes) -> Result<(), RepairRefusal> {
        let volume = &self.disk.volume;
        let (per_group, bits) = (volume.inodes_per_group, 8 * volume.block_size as u64);
        let (has_uninit, block_size) = (volume.has_uninit(), volume.block_size);
        let mut desc = self.disk.group_desc(View::Now, group)?;
        let is_uninit = has_uninit && desc.bg_flags & INODE_UNINIT != 0;
        let mut used = named.of_group(group).map_or_else(|| vec![0; block_size], <[u8]>::to_vec);
        let used_inodes = ones(&used, 0..per_group.into());
        if is_uninit && used_inodes > 0 {
            return Err(RepairRefusal::left(format!(
                "group {group} is marked as without inodes, and has {used_inodes} in use"
            )));
        }
        if !is_uninit {
            self.check_none_is_lost(group, &desc, &used)?;
        }
        let last_used = (0..u64::from(per_group)).rev().find(|at| bit(&used, *at));
        let behind_last = per_group - last_used.map_or(0, |at| u32::try_from(at + 1).unwrap_or(per_group));
        set_bits(&mut used, per_group.into()..bits, true);
        if !is_uninit {
            let bitmap = self.disk.blocks.read(View::Now, desc.inode_bitmap())?.to_vec();
            let has_wrong_checksum = self.disk.inode_bitmap(group, &desc).is_err();
            if bitmap != used || has_wrong_checksum {
                let what = if bitmap != used { "was wrong" } else { "had a wrong checksum" };
                self.repaired(format!("the inode bitmap of group {group} {what}"));
                self.disk.put_inode_bitmap(group, desc, used)?;
                desc = self.disk.group_desc(View::Now, group)?;
            }
        }
        let free_inodes = per_group - u32::try_from(used_inodes).unwrap_or(per_group);
        let directories = named.directories(group);
        let unused = if has_uninit && !is_uninit {
            desc.itable_unused().min(behind_last)
        } else {
            desc.itable_unused()
        };
        for (found, right, what) in [
            (desc.free_inodes(), free_inodes, "free inodes"),
            (desc.used_dirs(), directories, "directories"),
            (desc.itable_unused(), unused, "inodes that were never used"),
        ] {
            if found != right {
                self.repaired(format!("group {group} counted {found} {what}, and there are {right}"));
            }
        }
        if (desc.free_inodes(), desc.used_dirs(), desc.itable_unused()) != (free_inodes, directories, unused)
        {
            desc.set_counts(desc.free_blocks(), free_inodes, directories, unused);
            self.disk.put_group_desc(group, &desc)?;
        }
        Ok(())
    }

    /// Refuses an inode that has links, and no name: it may be a file that lost its directory.
    fn check_none_is_lost(&self, group: u32, desc: &GroupDesc, used: &[u8]) -> Result<(), RepairRefusal> {
        let volume = &self.disk.volume;
        // The rest of the table may never have been written.
        let written = match volume.has_uninit() && desc.bg_flags & INODE_ZEROED == 0 {
            true => volume.inodes_per_group - desc.itable_unused(),
            false => volume.inodes_per_group,
        };
        for at in (0..written).filter(|at| !bit(used, u64::from(*at))) {
            let number = InodeNumber(group * volume.inodes_per_group + at + 1);
            if inodes::unchecked_links(self.disk, number)? != 0 {
                return Err(RepairRefusal::left(format!(
                    "inode {} has links, and no name leads to it",
                    number.0
                )));
            }
        }
        Ok(())
    }

    /// Makes the checksum of a block bitmap right, so that it can be read; its bits come later.
    fn bitmap_checksum(&mut self, group: u32) -> Result<(), RepairRefusal> {
        let desc = self.disk.group_desc(View::Now, group)?;
        if self.disk.block_bitmap(View::Now, group, &desc).is_ok() {
            return Ok(());
        }
        let bitmap = self.disk.blocks.read(View::Now, desc.block_bitmap())?.to_vec();
        self.disk.put_block_bitmap(group, desc, bitmap)?;
        self.repaired(format!("the block bitmap of group {group} had a wrong checksum"));
        Ok(())
    }

    /// Makes block bitmaps and counters of blocks as the inodes have them.
    fn blocks(&mut self) -> Result<(), RepairRefusal> {
        let mut used = match used_blocks(self.disk)? {
            Ok(used) => used,
            Err(report) => return Err(RepairRefusal::Left(report.problems, report.problem_count)),
        };
        let (mut all_lost, mut all_leaked) = (0_u64, 0_u64);
        for group in 0..self.disk.volume.groups {
            self.disk.check_cancelled()?;
            let desc = self.disk.group_desc(View::Now, group)?;
            let marked = self.disk.block_bitmap(View::Now, group, &desc)?;
            let size = self.disk.volume.blocks_of(group);
            let bits = 8 * self.disk.volume.block_size as u64;
            let is_uninit = self.disk.volume.has_uninit() && desc.bg_flags & BLOCK_UNINIT != 0;
            let right = match used.remove(&group) {
                None if is_uninit => marked.clone(),
                used => {
                    let mut used = used.unwrap_or_else(|| vec![0; self.disk.volume.block_size]);
                    set_bits(&mut used, size..bits, true);
                    used
                }
            };
            let differing = |a: &[u8], b: &[u8]| -> u64 {
                a.iter().zip(b).map(|(a, b)| u64::from((a & !b).count_ones())).sum()
            };
            all_lost += differing(&right, &marked);
            all_leaked += differing(&marked, &right);
            let has_padding = is_uninit || {
                let bitmap = self.disk.blocks.read(View::Now, desc.block_bitmap())?;
                ones(&bitmap, size..bits) == bits - size
            };
            if right != marked || !has_padding {
                self.repaired(format!("the block bitmap of group {group} was wrong"));
                self.disk.put_block_bitmap(group, desc, right.clone())?;
            }
            let mut desc = self.disk.group_desc(View::Now, group)?;
            let free = u32::try_from(size - ones(&right, 0..size)).unwrap_or(u32::MAX);
            let found = desc.free_blocks();
            if found != free {
                desc.set_counts(free, desc.free_inodes(), desc.used_dirs(), desc.itable_unused());
                self.disk.put_group_desc(group, &desc)?;
                self.repaired(format!("group {group} counted {found} free blocks, and there are {free}"));
            }
        }
        if self.disk.volume.seed.is_none() && all_lost > 0 && all_leaked > 0 {
            // Without checksums, an inode may have the wrong blocks, and the bitmap the right ones.
            return Err(RepairRefusal::left(format!(
                "{all_lost} blocks are in use and marked free, and {all_leaked} are marked in use and used by nothing"
            )));
        }
        Ok(())
    }

    /// Makes the counters of the superblock the sums of those of the groups.
    fn superblock(&mut self) -> Result<(), RepairRefusal> {
        let (blocks, inodes) = self.disk.count_free()?;
        let inodes = u32::try_from(inodes).unwrap_or(u32::MAX);
        let found = self.disk.superblock()?;
        let (found_blocks, found_inodes) = (found.free_blocks_count(), found.s_free_inodes_count);
        if (found_blocks, found_inodes) == (blocks, inodes) {
            return Ok(());
        }
        self.repaired(format!(
            "the superblock counted {found_blocks} free blocks and {found_inodes} free inodes, and there are \
             {blocks} and {inodes}"
        ));
        Ok(self.disk.update_superblock(|superblock| {
            superblock.set_free_blocks_count(blocks);
            superblock.s_free_inodes_count = inodes;
        })?)
    }
}
