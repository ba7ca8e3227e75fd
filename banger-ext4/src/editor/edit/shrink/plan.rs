//! Where everything moves that lies behind the new end.

use std::collections::{BTreeSet, HashMap};

use banger_tree::RootfsError;

use super::free_runs::FreeRuns;
use super::survey::{FoundFile, Survey};
use crate::editor::disk::extents::{TreeKind, tree_blocks};
use crate::editor::disk::obstacle::Obstacle;
use crate::editor::disk::runs::{Run, in_order};
use crate::editor::disk::volume::Volume;
use crate::editor::edit::journal::BLOCKS_MIN;
use crate::format::extent::ROOT_ENTRIES;
use crate::format::journal::default_blocks;
use crate::format::{Block, InodeNumber};

/// Blocks of content that move.
#[derive(Clone, Copy, Debug)]
pub(super) struct BlockCopy {
    pub(super) from: u64,
    pub(super) to: u64,
    pub(super) len: u64,
    /// Whether they hold bytes.
    pub(super) written: bool,
}

/// New places of a file's content and of its tree.
#[derive(Debug)]
pub(super) struct MappingMove {
    pub(super) kind: TreeKind,
    pub(super) copies: Vec<BlockCopy>,
    /// All blocks of the file afterwards.
    pub(super) runs: Vec<Run>,
    /// Blocks of the tree that stay, and new ones.
    pub(super) kept_tree: Vec<Block>,
    pub(super) new_tree: Vec<Block>,
    /// Blocks of the tree that it does not need any more.
    pub(super) freed_tree: Vec<Block>,
}

/// What moves of a file.
#[derive(Debug)]
pub(super) struct FileMove {
    pub(super) number: InodeNumber,
    pub(super) mapping: Option<MappingMove>,
    /// The new xattr block, and whether this file is the first that gets it.
    pub(super) xattr_block: Option<(Block, bool)>,
    /// The number of blocks that the move changes at most.
    pub(super) blocks: u64,
}

/// The new place of the journal.
#[derive(Debug)]
pub(super) struct JournalMove {
    pub(super) number: InodeNumber,
    pub(super) old_runs: Vec<Run>,
    /// In the order of the new journal, from 0.
    pub(super) new_runs: Vec<Run>,
}

/// All moves, and the file system afterwards.
#[derive(Debug)]
pub(super) struct Plan {
    pub(super) volume: Volume,
    pub(super) journal: Option<JournalMove>,
    pub(super) files: Vec<FileMove>,
    /// Old and new place of the resize inode's list, and of the block for mmp.
    pub(super) resize_list: Option<(Block, Block)>,
    pub(super) mmp_block: Option<(Block, Block)>,
    pub(super) has_resize_list: bool,
    pub(super) moves_inodes: bool,
    /// What a commit can hold, after the journal has moved.
    pub(super) room: CommitRoom,
}

/// Why a size cannot be reached.
#[derive(Debug)]
pub(super) enum NoPlan {
    /// There is not enough room.
    Room,
    /// Something cannot move.
    Refused(String),
}

/// What a commit can hold.
#[derive(Clone, Copy, Debug)]
pub(super) enum CommitRoom {
    /// So many blocks, of a journal.
    Journal(u64),
    /// As many as a journal in free blocks holds.
    Lent,
    /// Everything.
    Unlimited,
}

/// Places of the shared xattr blocks that move.
type XattrBlocks = HashMap<Block, Block>;

impl Survey {
    /// Returns all moves for a file system of `blocks` blocks, or a little less.
    pub(super) fn plan(&self, blocks: u64, room: CommitRoom) -> Result<Plan, NoPlan> {
        let volume = self.volume.shrunk(blocks, self.resize_list.is_some()).ok_or(NoPlan::Room)?;
        if volume.blocks_count <= self.too_few {
            return Err(NoPlan::Room);
        }
        self.check_metadata(&volume)?;
        let links = self.groups[volume.groups as usize..].iter().map(|facts| facts.most_links).max();
        let cost = self.last_commit_blocks(&volume).max(20 + links.unwrap_or(0));
        match self.journal.as_ref().filter(|journal| journal.reaches(volume.blocks_count)) {
            None => self.plan_with(volume, cost, room, None),
            Some(journal) => {
                let lengths = self.journal_lengths(journal, &volume, cost);
                let mut refusal = NoPlan::Room;
                for length in lengths {
                    match self.plan_with(volume.clone(), cost, room, Some(length)) {
                        Err(NoPlan::Room) => {}
                        Err(other) => refusal = other,
                        plan => return plan,
                    }
                }
                Err(refusal)
            }
        }
    }

    /// Checks that the metadata of the groups that stay, and all inodes, have room.
    fn check_metadata(&self, volume: &Volume) -> Result<(), NoPlan> {
        let groups = volume.groups as usize;
        let last = volume.groups - 1;
        let (kept, gone) = self.groups.split_at(groups);
        let ends = kept.iter().flat_map(|facts| facts.metadata).map(|(start, len)| start + len);
        let end = ends.chain([volume.first_block(last) + volume.base_blocks(last)]).max().unwrap_or(0);
        let free_inodes: u64 = kept.iter().map(|facts| facts.free_inodes).sum();
        let per_group = u64::from(volume.inodes_per_group);
        let used_inodes: u64 = gone.iter().map(|facts| per_group - facts.free_inodes).sum();
        match end <= volume.blocks_count && used_inodes <= free_inodes {
            true => Ok(()),
            false => Err(NoPlan::Room),
        }
    }

    /// Returns the number of blocks that the last commit changes at most.
    fn last_commit_blocks(&self, volume: &Volume) -> u64 {
        let copies = volume.groups_with_copies().count() as u64;
        let had_copies = self.volume.groups_with_copies().count() as u64;
        let gone = self.volume.descriptor_blocks() - volume.descriptor_blocks();
        let lists = match self.resize_list {
            Some(_) if copies < had_copies => self.volume.reserved_gdt_blocks + gone,
            _ => gone,
        };
        let freed = self.groups[volume.groups as usize..].iter().flat_map(|facts| facts.metadata);
        let freed: BTreeSet<u32> =
            freed.filter_map(|(start, _)| Some(volume.group_of(Block(start))?.0)).collect();
        8 + lists + 4 * (copies + 1) + 2 * freed.len() as u64
    }

    /// Checks that the bitmaps have nothing in use behind the new end but what the plan moves.
    pub(super) fn check_complete(&self, plan: &Plan) -> Result<(), RootfsError> {
        let end = plan.volume.blocks_count;
        let behind = |start: u64, len: u64| (start + len).saturating_sub(start.max(end));
        let free: u64 = self.free.iter().map(|run| behind(run.start, run.end - run.start)).sum();
        let in_use = self.volume.blocks_count - end - free;
        let groups = (0..self.volume.groups).zip(&self.groups);
        let metadata = groups.map(|(group, facts)| {
            let base = self.volume.base_blocks(group).min(self.volume.blocks_of(group));
            let own: u64 = facts.metadata.iter().map(|(start, len)| behind(*start, *len)).sum();
            behind(self.volume.first_block(group), base) + own
        });
        let mut moved: u64 = metadata.sum();
        for file in self.files.iter().chain(&self.journal) {
            moved += file.runs.iter().map(|run| behind(run.start, run.len)).sum::<u64>();
            moved += file.index_blocks.iter().map(|block| behind(block.0, 1)).sum::<u64>();
        }
        let firsts = plan.files.iter().filter(|file| file.xattr_block.is_some_and(|(_, is_first)| is_first));
        moved += firsts.count() as u64;
        moved += u64::from(plan.resize_list.is_some()) + u64::from(plan.mmp_block.is_some());
        match in_use == moved {
            true => Ok(()),
            false => Err(self.volume.unsupported(
                Obstacle::new(format!(
                    "{in_use} blocks behind the new end are marked in use, and {moved} are used"
                ))
                .with_advice("run e2fsck -f on it"),
            )),
        }
    }

    fn plan_with(
        &self,
        volume: Volume,
        cost: u64,
        room: CommitRoom,
        journal_length: Option<u64>,
    ) -> Result<Plan, NoPlan> {
        let end = volume.blocks_count;
        let mut free = FreeRuns::before(&self.free, end);
        let mut room = room;
        let mut journal = None;
        if let (Some(length), Some(file)) = (journal_length, &self.journal) {
            journal = Some(move_journal(file, length, end, &mut free)?);
            if let CommitRoom::Journal(before) = room {
                room = CommitRoom::Journal(before.min(length.saturating_sub(length / 8 + 4)));
            }
        }
        if let CommitRoom::Journal(most) = room
            && cost > most
        {
            return Err(NoPlan::Refused("its journal is too small for so much in one step".to_owned()));
        }
        let moved = |block: Option<Block>, free: &mut FreeRuns| match block.filter(|block| block.0 >= end) {
            Some(block) => Ok(Some((block, Block(free.take(1).ok_or(NoPlan::Room)?.0)))),
            None => Ok(None),
        };
        let resize_list = moved(self.resize_list, &mut free)?;
        let mmp_block = moved(self.volume.mmp_block, &mut free)?;
        let mut xattr_blocks = XattrBlocks::new();
        let mut files = Vec::new();
        for file in &self.files {
            let file_move = self.move_file(file, end, &mut free, &mut xattr_blocks)?;
            if let CommitRoom::Journal(most) = room
                && file_move.blocks > most
            {
                let number = file.number.0;
                return Err(NoPlan::Refused(format!("its journal is too small to move inode {number}")));
            }
            if file_move.mapping.is_some() || file_move.xattr_block.is_some() {
                files.push(file_move);
            }
        }
        if let CommitRoom::Lent = room
            && free.blocks() < u64::from(BLOCKS_MIN).max(cost + cost / 8 + 64) + 16
        {
            return Err(NoPlan::Room);
        }
        let per_group = u64::from(volume.inodes_per_group);
        let gone = &self.groups[volume.groups as usize..];
        let moves_inodes = gone.iter().any(|facts| facts.free_inodes < per_group);
        if moves_inodes {
            self.check_inodes_can_move(&volume)?;
        }
        Ok(Plan {
            volume,
            journal,
            files,
            resize_list,
            mmp_block,
            has_resize_list: self.resize_list.is_some(),
            moves_inodes,
            room,
        })
    }

    /// Returns the lengths that a new journal can have, the best first.
    fn journal_lengths(&self, journal: &FoundFile, volume: &Volume, cost: u64) -> Vec<u64> {
        let had: u64 = journal.runs.iter().map(|run| run.len).sum();
        let least = self.journal_least.max(cost + cost / 4 + 64).min(had);
        let usual = u64::from(default_blocks(volume.blocks_count)).max(least).min(had);
        if usual == least { vec![least] } else { vec![usual, least] }
    }

    /// Refuses to move inodes if their numbers are part of something that stays.
    fn check_inodes_can_move(&self, volume: &Volume) -> Result<(), NoPlan> {
        let is_last = self.volume.journal.is_some_and(|number| number.0 > volume.inodes_count);
        if is_last {
            return Err(NoPlan::Refused("the inode of its journal lies behind that".to_owned()));
        }
        match self.volume.features.iter().any(|feature| feature == "stable_inodes") {
            true => {
                Err(NoPlan::Refused("it has inodes behind that, and the feature stable_inodes".to_owned()))
            }
            false => Ok(()),
        }
    }

    fn move_file(
        &self,
        file: &FoundFile,
        end: u64,
        free: &mut FreeRuns,
        xattr_blocks: &mut XattrBlocks,
    ) -> Result<FileMove, NoPlan> {
        let mapping = match file.reaches(end) {
            true => Some(self.move_mapping(file, end, free)?),
            false => None,
        };
        let mut xattr_block = None;
        if file.xattr_block.0 >= end {
            xattr_block = Some(match xattr_blocks.get(&file.xattr_block) {
                Some(block) => (*block, false),
                None => {
                    let block = Block(free.take(1).ok_or(NoPlan::Room)?.0);
                    xattr_blocks.insert(file.xattr_block, block);
                    (block, true)
                }
            });
        }
        let blocks = mapping.as_ref().map_or(10, |mapping| self.step_blocks(mapping));
        Ok(FileMove { number: file.number, mapping, xattr_block, blocks })
    }

    fn move_mapping(&self, file: &FoundFile, end: u64, free: &mut FreeRuns) -> Result<MappingMove, NoPlan> {
        let (mut runs, mut copies) = (Vec::new(), Vec::new());
        for run in &file.runs {
            let kept = end.saturating_sub(run.start).min(run.len);
            if kept > 0 {
                runs.push(Run { len: kept, ..*run });
            }
            let mut at = kept;
            while at < run.len {
                let (to, len) = free.take(run.len - at).ok_or(NoPlan::Room)?;
                copies.push(BlockCopy { from: run.start + at, to, len, written: run.written });
                runs.push(Run { logical: run.logical + at, len, start: to, written: run.written });
                at += len;
            }
        }
        let needed = match file.kind {
            TreeKind::Extents => tree_blocks(self.volume.block_size, &runs),
            TreeKind::Lists { .. } => file.index_blocks.len() as u64,
        };
        let (mut kept_tree, mut freed_tree): (Vec<Block>, Vec<Block>) =
            file.index_blocks.iter().partition(|block| block.0 < end);
        if kept_tree.len() as u64 > needed {
            freed_tree.extend(kept_tree.drain(needed as usize..));
        }
        let mut new_tree = Vec::new();
        while ((kept_tree.len() + new_tree.len()) as u64) < needed {
            new_tree.push(Block(free.take(1).ok_or(NoPlan::Room)?.0));
        }
        Ok(MappingMove { kind: file.kind, copies, runs, kept_tree, new_tree, freed_tree })
    }

    /// Returns the number of blocks that the move of a file changes at most.
    fn step_blocks(&self, mapping: &MappingMove) -> u64 {
        let copies = mapping.copies.iter().flat_map(|copy| [(copy.from, copy.len), (copy.to, copy.len)]);
        let tree = mapping.new_tree.iter().chain(&mapping.freed_tree).map(|block| (block.0, 1));
        let group = |block: u64| (block - self.volume.first_data_block) / self.volume.blocks_per_group;
        let groups: BTreeSet<u64> =
            copies.chain(tree).flat_map(|(start, len)| group(start)..=group(start + len - 1)).collect();
        10 + 2 * groups.len() as u64 + (mapping.kept_tree.len() + mapping.new_tree.len()) as u64
    }
}

/// Takes new blocks for the journal; the old ones before `end` become free.
fn move_journal(
    journal: &FoundFile,
    length: u64,
    end: u64,
    free: &mut FreeRuns,
) -> Result<JournalMove, NoPlan> {
    let refused = |reason: &str| Err(NoPlan::Refused(reason.to_owned()));
    if journal.kind != TreeKind::Extents {
        return refused("its journal lies behind that, and has lists of blocks, which cannot move");
    }
    let taken = free.take_all(length).ok_or(NoPlan::Room)?;
    let extents = |lens: &mut dyn Iterator<Item = u64>| lens.map(|len| len.div_ceil(32768)).sum::<u64>();
    let had = extents(&mut journal.runs.iter().map(|run| run.len));
    if !journal.index_blocks.is_empty() || had >= ROOT_ENTRIES as u64 {
        return refused("its journal lies behind that, in too many parts to move");
    }
    if extents(&mut taken.iter().map(|(_, len)| *len)) + had > ROOT_ENTRIES as u64 {
        return Err(NoPlan::Room);
    }
    let new_runs =
        in_order(taken.into_iter().map(|(start, len)| Run { logical: 0, len, start, written: true }));
    for run in journal.runs.iter().filter(|run| run.start < end) {
        free.add(run.start..(run.start + run.len).min(end));
    }
    Ok(JournalMove { number: journal.number, old_runs: journal.runs.clone(), new_runs })
}
