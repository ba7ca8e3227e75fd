//! What a file system has behind a block, and how much is free before it.

use std::ops::Range;

use banger_tree::RootfsError;

use crate::editor::disk::Disk;
use crate::editor::disk::blocks::View;
use crate::editor::disk::extents::{self, TreeKind};
use crate::editor::disk::inodes;
use crate::editor::disk::obstacle::Obstacle;
use crate::editor::disk::runs::{LOGICAL_END, Run};
use crate::editor::disk::volume::Volume;
use crate::editor::disk::whole_inode::WholeInode;
use crate::editor::edit::journal;
use crate::format::block_map::{DIND_PLACE, number_at};
use crate::format::inode::EXTENTS_FL;
use crate::format::{Block, InodeNumber};

/// Places and counts of a group.
#[derive(Clone, Debug)]
pub(super) struct GroupFacts {
    /// First block and length of its block bitmap, inode bitmap and inode table.
    pub(super) metadata: [(u64, u64); 3],
    pub(super) free_blocks: u64,
    pub(super) free_inodes: u64,
    /// The largest number of names or subdirectories that an inode of the group has, as far as it counts them.
    pub(super) most_links: u64,
}

/// A file with blocks behind the block that the survey starts from.
#[derive(Clone, Debug)]
pub(super) struct FoundFile {
    pub(super) number: InodeNumber,
    pub(super) kind: TreeKind,
    pub(super) runs: Vec<Run>,
    pub(super) index_blocks: Vec<Block>,
    pub(super) xattr_block: Block,
}

impl FoundFile {
    /// Returns whether its content or its tree has a block from `end` on.
    pub(super) fn reaches(&self, end: u64) -> bool {
        self.runs.iter().any(|run| run.start + run.len > end)
            || self.index_blocks.iter().any(|block| block.0 >= end)
    }
}

/// Facts of the whole file system, and files that may have to move.
#[derive(Debug)]
pub(super) struct Survey {
    pub(super) volume: Volume,
    pub(super) groups: Vec<GroupFacts>,
    /// Free blocks, in order.
    pub(super) free: Vec<Range<u64>>,
    /// Files but the journal.
    pub(super) files: Vec<FoundFile>,
    pub(super) journal: Option<FoundFile>,
    /// The fewest blocks that the journal can have.
    pub(super) journal_least: u64,
    /// The resize inode's list of lists.
    pub(super) resize_list: Option<Block>,
    /// A number of blocks that is not enough for what is in use.
    pub(super) too_few: u64,
}

impl Survey {
    /// Looks at groups and free blocks; finds no files yet.
    pub(super) fn of_groups(disk: &Disk, free: Vec<Range<u64>>) -> Result<Self, RootfsError> {
        let volume = disk.volume.clone();
        let mut groups = Vec::new();
        for group in 0..volume.groups {
            disk.check_cancelled()?;
            let desc = disk.group_desc(View::Now, group)?;
            groups.push(GroupFacts {
                metadata: [
                    (desc.block_bitmap().0, 1),
                    (desc.inode_bitmap().0, 1),
                    (desc.inode_table().0, volume.inode_table_blocks()),
                ],
                free_blocks: desc.free_blocks().into(),
                free_inodes: desc.free_inodes().into(),
                most_links: 0,
            });
        }
        let journal = match volume.journal {
            Some(number) => Some(found(disk, number, &inodes::read(disk, number)?)?),
            None => None,
        };
        let has_fast_commits = volume.features.iter().any(|feature| feature == "fast_commit");
        let least = |journal: journal::Journal| u64::from(journal.least_blocks(has_fast_commits));
        let journal_least = journal::read(disk)?.map_or(0, least);
        let mut resize_list = None;
        if volume.resize_inode {
            let inode = inodes::read(disk, InodeNumber::RESIZE)?;
            let block = Block(number_at(&inode.i_block, DIND_PLACE).into());
            resize_list = (block.0 != 0).then_some(block);
        }
        let mut survey =
            Self { volume, groups, free, files: Vec::new(), journal, journal_least, resize_list, too_few: 0 };
        survey.too_few = survey.too_few_blocks();
        Ok(survey)
    }

    /// Finds all files with a block from `from` on.
    pub(super) fn find_files(&mut self, disk: &Disk, from: u64) -> Result<(), RootfsError> {
        for group in 0..self.volume.groups {
            for number in inodes::in_use(disk, group)? {
                disk.check_cancelled()?;
                let links = inodes::unchecked_links(disk, number)?;
                let facts = &mut self.groups[group as usize];
                facts.most_links = facts.most_links.max(links.into());
                if let Some(file) = self.file(disk, number)?
                    && (file.reaches(from) || file.xattr_block.0 >= from)
                {
                    self.files.push(file);
                }
            }
        }
        Ok(())
    }

    /// Returns the blocks of an inode in use; `None` if it has none that can move.
    fn file(&self, disk: &Disk, number: InodeNumber) -> Result<Option<FoundFile>, RootfsError> {
        let is_left_over = number == InodeNumber::JOURNAL && self.volume.journal.is_none();
        let is_apart = self.volume.journal == Some(number) || is_left_over;
        if is_apart || number == InodeNumber::RESIZE && self.volume.resize_inode {
            return Ok(None);
        }
        if number.0 < self.volume.first_inode && number != InodeNumber::ROOT {
            let inode = WholeInode::decode(&inodes::bytes_of(disk, number)?);
            if inode.i_block.iter().all(|byte| *byte == 0) && inode.file_acl().0 == 0 {
                return Ok(None);
            }
            if number == InodeNumber::BAD_BLOCKS {
                let obstacle = Obstacle::new("it has a list of bad blocks, which do not move");
                return Err(self.volume.unsupported(obstacle.with_advice("use resize2fs")));
            }
        }
        Ok(Some(found(disk, number, &inodes::read_unlinked(disk, number)?)?))
    }

    /// Returns a number of blocks that is not enough for what is in use, found by counts alone.
    fn too_few_blocks(&self) -> u64 {
        let volume = &self.volume;
        let mut metadata = vec![0; self.groups.len()];
        for (group, facts) in (0..).zip(&self.groups) {
            metadata[group as usize] += volume.base_blocks(group).min(volume.blocks_of(group));
            for (start, len) in facts.metadata {
                if let Some((of, _)) = volume.group_of(Block(start)) {
                    metadata[of as usize] += len;
                }
            }
        }
        // The journal may become smaller, and a list of the resize inode may lie anywhere.
        let apart = 1 + self.journal.iter().flat_map(|file| &file.runs).map(|run| run.len).sum::<u64>();
        let used: Vec<u64> = (0..volume.groups)
            .zip(&self.groups)
            .map(|(group, facts)| {
                volume.blocks_of(group).saturating_sub(facts.free_blocks + metadata[group as usize])
            })
            .collect();
        let mut above: u64 = used.iter().sum();
        let mut below = 0;
        let mut inodes_below = 0;
        let used_inodes = |facts: &GroupFacts| u64::from(volume.inodes_per_group) - facts.free_inodes;
        let mut inodes_above: u64 = self.groups.iter().map(used_inodes).sum();
        for (group, facts) in (0..).zip(&self.groups) {
            above -= used[group as usize];
            below += facts.free_blocks;
            inodes_above -= used_inodes(facts);
            inodes_below += facts.free_inodes;
            if above <= below + apart && inodes_above <= inodes_below {
                return volume.first_block(group);
            }
        }
        volume.first_data_block
    }
}

fn found(disk: &Disk, number: InodeNumber, inode: &WholeInode) -> Result<FoundFile, RootfsError> {
    let mapping = match inodes::has_content(inode) {
        true => extents::mapping(disk, number, inode, 0..LOGICAL_END)?,
        false => crate::editor::disk::runs::Mapping::default(),
    };
    let kind = match inode.i_flags & EXTENTS_FL != 0 {
        true => TreeKind::Extents,
        false => TreeKind::Lists { at_once: false },
    };
    let (runs, index_blocks) = (mapping.runs, mapping.index_blocks);
    Ok(FoundFile { number, kind, runs, index_blocks, xattr_block: inode.file_acl() })
}
