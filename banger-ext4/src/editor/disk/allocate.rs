//! Taking and giving back blocks and inodes.

use banger_tree::RootfsError;

use super::Disk;
use super::blocks::View;
use super::groups::{bit, ones, set_bits};
use super::volume::GroupChecksum;
use crate::editor::disk::corruption::{CorruptionKind, InodeFault};
use crate::format::group_desc::{BLOCK_UNINIT, GroupDesc, INODE_UNINIT};
use crate::format::{Block, InodeNumber};

/// Number of groups that are searched for a run of the wanted length, before any length is accepted.
const GROUPS_SEARCHED: u32 = 16;

/// Returns the first run of zero bits in `taken[from..to]` that has `wanted` bits, else the
/// longest one.
fn free_run(taken: &[u8], from: u64, to: u64, wanted: u64) -> Option<(u64, u64)> {
    let mut longest: Option<(u64, u64)> = None;
    let mut at = from;
    while at < to {
        if at.is_multiple_of(8) && taken[(at / 8) as usize] == 0xff {
            at += 8;
            continue;
        }
        if bit(taken, at) {
            at += 1;
            continue;
        }
        let start = at;
        while at < to && at - start < wanted && !bit(taken, at) {
            at += 1;
        }
        if longest.is_none_or(|(_, len)| at - start > len) {
            longest = Some((start, at - start));
        }
        if at - start == wanted {
            break;
        }
    }
    longest
}

fn set_free_blocks(desc: &mut GroupDesc, free: u64) {
    let free = u32::try_from(free).expect("at most the blocks of a group");
    desc.set_counts(free, desc.free_inodes(), desc.used_dirs(), desc.itable_unused());
}

impl Disk {
    /// Takes up to `wanted` free blocks in a row, near `goal`; returns the first and how many.
    pub(crate) fn allocate_blocks(&mut self, goal: Block, wanted: u64) -> Result<(Block, u64), RootfsError> {
        self.allocate_blocks_before(Block(self.volume.blocks_count), goal, wanted)
    }

    /// As [`allocate_blocks`](Self::allocate_blocks), but takes only blocks before `end`.
    pub(crate) fn allocate_blocks_before(
        &mut self,
        end: Block,
        goal: Block,
        wanted: u64,
    ) -> Result<(Block, u64), RootfsError> {
        let (goal_group, goal_at) = self.volume.group_of(goal).unwrap_or((0, 0));
        let last = Block(end.0.saturating_sub(1));
        let groups = self.volume.group_of(last).map_or(self.volume.groups, |(group, _)| group + 1);
        let mut best: Option<(u32, u64, u64)> = None;
        let mut searched = 0;
        for step in 0..=groups {
            // The goal's group comes again at the end, for its blocks before the goal.
            let group = (goal_group + step) % groups;
            let from = if step == 0 { goal_at } else { 0 };
            let desc = self.group_desc(View::Now, group)?;
            if desc.free_blocks() == 0 {
                continue;
            }
            // Blocks in use at the last commit must not change until the next one.
            let mut taken = self.block_bitmap(View::Now, group, &desc)?;
            let size = self.volume.blocks_of(group);
            if ones(&taken, 0..size) == size {
                return Err(self.volume.corrupt(CorruptionKind::FewerFree { group, what: "blocks" }));
            }
            let committed = self.group_desc(View::Committed, group)?;
            let committed = self.block_bitmap(View::Committed, group, &committed)?;
            taken.iter_mut().zip(&committed).for_each(|(now, before)| *now |= before);
            let searched_end = size.min(end.0.saturating_sub(self.volume.first_block(group)));
            if let Some((at, len)) = free_run(&taken, from, searched_end, wanted)
                && best.is_none_or(|(.., best_len)| len > best_len)
            {
                best = Some((group, at, len));
            }
            searched += 1;
            if best.is_some_and(|(.., len)| len == wanted || searched >= GROUPS_SEARCHED) {
                break;
            }
        }
        let Some((group, at, len)) = best else {
            return Err(
                self.no_space("there is no free block, or none until the changes made so far are committed")
            );
        };
        let mut desc = self.group_desc(View::Now, group)?;
        let mut bitmap = self.block_bitmap(View::Now, group, &desc)?;
        set_bits(&mut bitmap, at..at + len, true);
        let free = u64::from(desc.free_blocks()).checked_sub(len);
        let free = free.ok_or_else(|| self.volume.corrupt(CorruptionKind::MoreFreeBlocks { group }))?;
        set_free_blocks(&mut desc, free);
        self.put_block_bitmap(group, desc, bitmap)?;
        self.change_free_blocks(len, false)?;
        Ok((Block(self.volume.first_block(group) + at), len))
    }

    /// Allocates one block near `goal`.
    pub(crate) fn allocate_block(&mut self, goal: Block) -> Result<Block, RootfsError> {
        Ok(self.allocate_blocks(goal, 1)?.0)
    }

    /// Gives back `count` blocks from `first` on.
    pub(crate) fn free_blocks(&mut self, first: Block, count: u64) -> Result<(), RootfsError> {
        self.mark_blocks(first, count, false)?;
        for block in first.0..first.0 + count {
            self.blocks.forget(Block(block));
        }
        self.freed.push(first.0..first.0 + count);
        Ok(())
    }

    /// Takes the `count` free blocks from `first` on.
    pub(crate) fn take_blocks(&mut self, first: Block, count: u64) -> Result<(), RootfsError> {
        self.mark_blocks(first, count, true)
    }

    /// Marks blocks as in use or as free, which they must not be yet, and counts them.
    fn mark_blocks(&mut self, first: Block, count: u64, in_use: bool) -> Result<(), RootfsError> {
        let mut next = first.0;
        let end = first.0 + count;
        while next < end {
            let place = self.volume.group_of(Block(next));
            let (group, at) =
                place.ok_or_else(|| self.volume.corrupt(CorruptionKind::NoBlock(Block(next))))?;
            let len = (end - next).min(self.volume.blocks_of(group) - at);
            let mut desc = self.group_desc(View::Now, group)?;
            let mut bitmap = self.block_bitmap(View::Now, group, &desc)?;
            if let Some(wrong) = (at..at + len).find(|at| bit(&bitmap, *at) == in_use) {
                let block = Block(self.volume.first_block(group) + wrong);
                return Err(match in_use {
                    true => self.no_space(format!("block {} is in use", block.0)),
                    false => self.volume.corrupt(CorruptionKind::BlockCountsAsFree(block)),
                });
            }
            set_bits(&mut bitmap, at..at + len, in_use);
            let free = u64::from(desc.free_blocks());
            let free = if in_use { free.checked_sub(len) } else { Some(free + len) };
            let free = free.ok_or_else(|| self.volume.corrupt(CorruptionKind::MoreFreeBlocks { group }))?;
            set_free_blocks(&mut desc, free);
            self.put_block_bitmap(group, desc, bitmap)?;
            next += len;
        }
        self.change_free_blocks(count, !in_use)
    }

    pub(crate) fn change_free_blocks(&mut self, count: u64, more: bool) -> Result<(), RootfsError> {
        self.update_superblock(|superblock| {
            let free = superblock.free_blocks_count();
            let free = if more { free.saturating_add(count) } else { free.saturating_sub(count) };
            superblock.set_free_blocks_count(free);
        })
    }

    /// Returns how many blocks and inodes are free, as the descriptors of the groups count them. A
    /// mounted kernel keeps the superblock's counts in memory, and counts again with the next mount.
    pub(crate) fn count_free(&self) -> Result<(u64, u64), RootfsError> {
        let (mut blocks, mut inodes) = (0, 0);
        for group in 0..self.volume.groups {
            let desc = self.group_desc(View::Now, group)?;
            blocks += u64::from(desc.free_blocks());
            inodes += u64::from(desc.free_inodes());
        }
        Ok((blocks, inodes))
    }

    /// Allocates an inode, in the group of `near` if possible.
    pub(crate) fn allocate_inode(
        &mut self,
        near: InodeNumber,
        is_dir: bool,
    ) -> Result<InodeNumber, RootfsError> {
        self.allocate_inode_within(self.volume.groups, near, is_dir)
    }

    /// As [`allocate_inode`](Self::allocate_inode), in one of the first `groups` groups.
    pub(crate) fn allocate_inode_within(
        &mut self,
        groups: u32,
        near: InodeNumber,
        is_dir: bool,
    ) -> Result<InodeNumber, RootfsError> {
        let per_group = self.volume.inodes_per_group;
        let start = near.0.saturating_sub(1) / per_group;
        for step in 0..groups {
            let group = (start + step) % groups;
            let mut desc = self.group_desc(View::Now, group)?;
            if desc.free_inodes() == 0 {
                continue;
            }
            let mut bitmap = self.inode_bitmap(group, &desc)?;
            // The reserved ones at the start are in use by definition.
            let from = if group == 0 { self.volume.first_inode.saturating_sub(1) } else { 0 };
            let Some((at, _)) = free_run(&bitmap, u64::from(from), u64::from(per_group), 1) else {
                return Err(self.volume.corrupt(CorruptionKind::FewerFree { group, what: "inodes" }));
            };
            set_bits(&mut bitmap, at..at + 1, true);
            let at = u32::try_from(at).expect("below the inodes of a group");
            let unused = if desc.bg_flags & INODE_UNINIT != 0 { per_group } else { desc.itable_unused() };
            let unused = unused.min(per_group - at - 1);
            desc.set_counts(
                desc.free_blocks(),
                desc.free_inodes() - 1,
                desc.used_dirs() + u32::from(is_dir),
                if self.volume.group_checksum == GroupChecksum::None { 0 } else { unused },
            );
            // The kernel takes a group whose inodes are in use for one whose blocks are, too.
            if desc.bg_flags & BLOCK_UNINIT != 0 {
                let blocks = self.block_bitmap(View::Now, group, &desc)?;
                self.put_block_bitmap(group, desc, blocks)?;
                desc = self.group_desc(View::Now, group)?;
            }
            self.put_inode_bitmap(group, desc, bitmap)?;
            self.update_superblock(|superblock| {
                superblock.s_free_inodes_count = superblock.s_free_inodes_count.saturating_sub(1);
            })?;
            return Ok(InodeNumber(group * per_group + at + 1));
        }
        Err(self.no_space(format!("all {} inodes are in use", u64::from(groups) * u64::from(per_group))))
    }

    /// Marks an inode as free.
    pub(crate) fn free_inode(&mut self, number: InodeNumber, is_dir: bool) -> Result<(), RootfsError> {
        let index = number.0.saturating_sub(1);
        let (group, at) = (index / self.volume.inodes_per_group, index % self.volume.inodes_per_group);
        let mut desc = self.group_desc(View::Now, group)?;
        let mut bitmap = self.inode_bitmap(group, &desc)?;
        if !bit(&bitmap, at.into()) || number.0 < self.volume.first_inode {
            return Err(self
                .volume
                .corrupt(CorruptionKind::Inode { inode: number, fault: InodeFault::CountsAsFree }));
        }
        set_bits(&mut bitmap, at.into()..u64::from(at) + 1, false);
        let used_dirs = desc.used_dirs().saturating_sub(u32::from(is_dir));
        let free_inodes = (desc.free_inodes() + 1).min(self.volume.inodes_per_group);
        desc.set_counts(desc.free_blocks(), free_inodes, used_dirs, desc.itable_unused());
        self.put_inode_bitmap(group, desc, bitmap)?;
        self.update_superblock(|superblock| {
            superblock.s_free_inodes_count = superblock.s_free_inodes_count.saturating_add(1);
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_the_first_run_that_fits_or_the_longest() {
        let mut taken = vec![0xff; 8];
        set_bits(&mut taken, 5..7, false);
        set_bits(&mut taken, 20..29, false);
        set_bits(&mut taken, 40..44, false);
        for (from, wanted, want) in [
            (0, 1, Some((5, 1))),
            (0, 3, Some((20, 3))),
            (0, 30, Some((20, 9))),
            (25, 4, Some((25, 4))),
            (30, 9, Some((40, 4))),
            (50, 1, None),
        ] {
            assert_eq!(free_run(&taken, from, 64, wanted), want, "{from} {wanted}");
        }
    }
}
