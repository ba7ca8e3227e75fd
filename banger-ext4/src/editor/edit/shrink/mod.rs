//! Making the file system smaller.
//!
//! `survey` finds what lies behind the new end, and `plan` gives each block its new place; both only read. Then
//! content is copied to free blocks, and commits make inodes refer to the copies. Each of these commits leaves a
//! sound file system of the old size with the same content. The last commit changes the size, and the file is
//! truncated after it.

mod cut;
mod free_runs;
mod inode_moves;
mod journal_move;
mod moving;
mod plan;
mod resize_inode_reduction;
mod size;
mod survey;

use banger_tree::RootfsError;

use super::Ext4Editor;
use crate::editor::disk::Disk;
use crate::editor::disk::blocks::View;
use crate::editor::disk::obstacle::Obstacle;
use crate::editor::disk::volume::Volume;
use crate::editor::edit::journal;
use crate::format::superblock::Superblock;
use inode_moves::InodeMoves;
use plan::{CommitRoom, NoPlan, Plan};
use survey::Survey;

impl Ext4Editor {
    /// Changes the size of the file system to `size_bytes` or a little less, as [`grow`](Self::grow) or
    /// [`shrink`](Self::shrink); returns the new size.
    ///
    /// # Errors
    /// As [`grow`](Self::grow) and [`shrink`](Self::shrink).
    pub fn resize(&mut self, size_bytes: u64) -> Result<u64, RootfsError> {
        match size_bytes / (self.disk.volume.block_size as u64) < self.disk.volume.blocks_count {
            true => self.shrink(size_bytes),
            false => self.grow(size_bytes),
        }
    }

    /// Returns the smallest size in bytes that [`shrink`](Self::shrink) can give the file system now, with changes that
    /// are not committed. After that, a second call may find a smaller one: the first shrink frees metadata.
    ///
    /// # Errors
    /// The file system cannot be edited or shrunk at all, the image is damaged, or the host cannot read it.
    pub fn minimum_size_bytes(&mut self) -> Result<u64, RootfsError> {
        self.check_shrinkable()?;
        self.disk.blocks.start_operation();
        let freed = self.disk.freed.len();
        let minimum = self.minimum_size();
        self.undo_since(freed);
        minimum
    }

    fn minimum_size(&mut self) -> Result<u64, RootfsError> {
        self.cut_surplus_journal()?;
        let mut survey = Survey::of_groups(&self.disk, self.free_runs()?)?;
        survey.find_files(&self.disk, survey.too_few)?;
        self.minimum_of(&survey)
    }

    /// Shrinks the file system to `size_bytes`, or a little less if the end would hold almost only metadata; returns
    /// the new size. Then the file is truncated, but not a device, and not a file with more than the file system.
    ///
    /// Content behind the new end moves to free blocks and inodes. That takes as many commits as it needs, the first
    /// one of all earlier changes. Each leaves a sound file system with the same content; the last one changes the
    /// size. To shrink to the current size changes nothing.
    ///
    /// # Errors
    /// The file system is smaller than that. Or the content needs more: the error has the least size, and nothing
    /// changed. Or something cannot move, or a [`commit`](banger_tree::Rootfs::commit) fails. Then the size is
    /// unchanged.
    pub fn shrink(&mut self, size_bytes: u64) -> Result<u64, RootfsError> {
        let blocks = size_bytes / self.disk.volume.block_size as u64;
        if blocks > self.disk.volume.blocks_count {
            let reason = format!("it has {} and cannot shrink to more", self.size_bytes());
            return Err(self.disk.volume.refused_size(size_bytes, reason));
        }
        if blocks == self.disk.volume.blocks_count {
            self.commit_changes()?;
            return Ok(self.size_bytes());
        }
        self.check_shrinkable()?;
        self.disk.blocks.start_operation();
        let freed = self.disk.freed.len();
        let planned = self.prepare_to_shrink(size_bytes);
        if planned.is_err() {
            self.undo_since(freed);
        }
        let (survey, plan, inode_moves) = planned?;
        self.commit_changes()?;
        self.check_not_half_committed()?;
        let locked = self.disk.blocks.storage.lock();
        locked.map_err(|error| self.cannot_lock(error))?;
        self.finish_recovery()?;
        self.disk.blocks.start_operation();
        let outcome = self.carry_out_plan(&survey, &plan, inode_moves);
        self.forget_names();
        if outcome.is_err() && !self.is_half_committed {
            self.undo_since(0);
            self.read_volume_again()?;
        }
        outcome?;
        self.cut_off_file()?;
        Ok(self.size_bytes())
    }

    /// Takes back what was done since the start of the operation, when there were `freed` runs of freed blocks.
    fn undo_since(&mut self, freed: usize) {
        self.disk.blocks.undo_operation();
        self.disk.freed.truncate(freed);
        self.commit_capacity.set(None);
    }

    /// Plans everything, and writes nothing.
    fn prepare_to_shrink(
        &mut self,
        size_bytes: u64,
    ) -> Result<(Survey, Plan, Option<InodeMoves>), RootfsError> {
        self.cut_surplus_journal()?;
        let mut survey = Survey::of_groups(&self.disk, self.free_runs()?)?;
        let plan = self.plan_for(&mut survey, size_bytes)?;
        let inode_moves = self.inode_moves_for(&plan, size_bytes)?;
        Ok((survey, plan, inode_moves))
    }

    fn check_shrinkable(&self) -> Result<(), RootfsError> {
        self.check_not_half_committed()?;
        self.check_editable()?;
        match self.disk.volume.first_meta_bg {
            Some(_) => Err(self.disk.volume.unsupported(
                Obstacle::new("it has the feature meta_bg and cannot shrink here")
                    .with_advice("use resize2fs"),
            )),
            None => Ok(()),
        }
    }

    /// Returns what one commit can hold.
    fn commit_room(&self) -> Result<CommitRoom, RootfsError> {
        if self.disk.blocks.storage.is_unpublished() {
            return Ok(CommitRoom::Unlimited);
        }
        // Changes that only the journal has are put in place before.
        let journal = if self.unfinished.is_some() {
            journal::read(&self.disk)?
        } else {
            journal::writable(&self.disk)?
        };
        Ok(journal.map_or(CommitRoom::Lent, |journal| CommitRoom::Journal(journal.capacity() as u64)))
    }

    /// Returns the moves for a new size.
    fn plan_for(&self, survey: &mut Survey, size_bytes: u64) -> Result<Plan, RootfsError> {
        let volume = &self.disk.volume;
        let blocks = size_bytes / volume.block_size as u64;
        let room = self.commit_room()?;
        let end = volume.shrunk(blocks, survey.resize_list.is_some()).map_or(0, |volume| volume.blocks_count);
        let from = end.max(survey.too_few);
        survey.find_files(&self.disk, from)?;
        let refused = match survey.plan(blocks, room) {
            Ok(plan) => {
                survey.check_complete(&plan)?;
                return Ok(plan);
            }
            Err(refused) => refused,
        };
        if from > survey.too_few {
            survey.files.clear();
            survey.find_files(&self.disk, survey.too_few)?;
        }
        let least = self.minimum_of(survey)?;
        if least <= size_bytes {
            // Room is not a matter of size alone: a group more brings metadata of its own.
            if let Ok(plan) = survey.plan(least / volume.block_size as u64, room) {
                survey.check_complete(&plan)?;
                return Ok(plan);
            }
        }
        let reason = match refused {
            NoPlan::Room => format!("its content needs at least {least} bytes"),
            NoPlan::Refused(reason) => format!("{reason}; {least} bytes are possible"),
        };
        Err(volume.refused_size(size_bytes, reason))
    }

    /// Returns the smallest size for which there is a plan.
    fn minimum_of(&self, survey: &Survey) -> Result<u64, RootfsError> {
        let volume = &self.disk.volume;
        let room = self.commit_room()?;
        let (mut too_few, mut enough) = (survey.too_few, volume.blocks_count);
        while enough > too_few + 1 {
            self.disk.check_cancelled()?;
            let blocks = too_few + (enough - too_few) / 2;
            match survey.plan(blocks, room) {
                Ok(plan) => enough = plan.volume.blocks_count,
                Err(_) => too_few = blocks,
            }
        }
        Ok(enough * volume.block_size as u64)
    }

    /// Moves everything, and makes the file system smaller.
    fn carry_out_plan(
        &mut self,
        survey: &Survey,
        plan: &Plan,
        inode_moves: Option<InodeMoves>,
    ) -> Result<(), RootfsError> {
        if let Some(journal) = &plan.journal {
            self.move_journal(journal)?;
        }
        if let Some((from, to)) = plan.resize_list {
            self.move_step(10, |disk| moving::move_resize_list(disk, from, to))?;
        }
        if let Some((from, to)) = plan.mmp_block {
            self.move_step(10, |disk| moving::move_mmp_block(disk, from, to))?;
        }
        for file in &plan.files {
            self.move_step(file.blocks, |disk| moving::move_file(disk, file))?;
        }
        if let Some(mut moves) = inode_moves {
            for (number, references) in std::mem::take(&mut moves.inodes) {
                self.move_step(references.blocks(), |disk| moves.carry_out(disk, number, &references))?;
            }
        }
        self.commit_moves()?;
        let before = self.disk.volume.clone();
        let mut volume = plan.volume.clone();
        (volume.mmp_block, volume.orphan_file) = (before.mmp_block, before.orphan_file);
        self.disk.blocks.set_blocks_count(volume.blocks_count);
        self.disk.volume = volume;
        cut::cut(&mut self.disk, &before, &survey.groups, plan.has_resize_list)?;
        self.commit_changes()
    }

    /// Does one step, which changes at most this many blocks, after a commit if the journal would not hold it with what
    /// waits.
    fn move_step(
        &mut self,
        blocks: u64,
        work: impl FnOnce(&mut Disk) -> Result<(), RootfsError>,
    ) -> Result<(), RootfsError> {
        self.disk.check_cancelled()?;
        let waiting = self.disk.blocks.dirty().len() as u64;
        if self.has_much_to_commit() || waiting + blocks > self.commit_capacity() as u64 {
            self.commit_moves()?;
        }
        work(&mut self.disk)
    }

    fn commit_moves(&mut self) -> Result<(), RootfsError> {
        self.commit_changes()?;
        self.disk.blocks.start_operation();
        Ok(())
    }

    /// Takes the facts of the file system as the superblock has them: those of the last commit.
    fn read_volume_again(&mut self) -> Result<(), RootfsError> {
        let (block, offset) = self.disk.volume.superblock_place();
        let bytes = self.disk.blocks.read(View::Now, block)?;
        let bytes = bytes[offset..offset + Superblock::SIZE].try_into().expect("the superblock's length");
        let length = self.disk.blocks.storage.size_bytes();
        let length = length.map_err(|error| self.disk.blocks.io("measure", error))?;
        let volume = Volume::of_superblock(bytes, length, &self.disk.volume.image)?;
        self.disk.blocks.set_blocks_count(volume.blocks_count);
        self.disk.volume = volume;
        Ok(())
    }

    /// Returns the moves of inodes, if there are some.
    fn inode_moves_for(&self, plan: &Plan, size_bytes: u64) -> Result<Option<InodeMoves>, RootfsError> {
        if !plan.moves_inodes {
            return Ok(None);
        }
        let moves = InodeMoves::find(&self.disk, plan.volume.groups)?;
        let blocks = moves.inodes.iter().map(|(_, references)| references.blocks()).max();
        if let CommitRoom::Journal(most) = plan.room
            && blocks.is_some_and(|blocks| blocks > most)
        {
            let reason = "its journal is too small to move an inode with so many names or subdirectories";
            return Err(self.disk.volume.refused_size(size_bytes, reason));
        }
        Ok(Some(moves))
    }

    fn forget_names(&mut self) {
        self.disk.known.get_mut().forget_all();
        self.known.get_mut().forget_all();
    }

    /// Truncates the file to the size of the file system.
    fn cut_off_file(&mut self) -> Result<(), RootfsError> {
        match self.disk.blocks.storage.set_size(self.disk.volume.bytes()) {
            // A device or a partition.
            Err(error) if error.kind() == std::io::ErrorKind::Unsupported => Ok(()),
            other => other.map_err(|error| self.disk.blocks.io("truncate", error)),
        }
    }
}
