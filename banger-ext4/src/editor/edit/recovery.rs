//! Opening an image that was not unmounted: its journal is looked through in memory, and put in place
//! with the first commit.

use banger_tree::RootfsError;

use super::Ext4Editor;
use crate::editor::disk::blocks::View;
use crate::editor::disk::corruption::{CorruptionKind, JournalFault};
use crate::editor::disk::obstacle::Obstacle;
use crate::editor::disk::volume::Volume;
use crate::editor::edit::journal;
use crate::editor::edit::replay;
use crate::format::superblock::Superblock;

/// `mmp_seq`: not mounted.
const MMP_CLEAN: u32 = 0xff4d_4d50;
/// Position of the host name in the block.
const MMP_NODENAME: std::ops::Range<usize> = 16..80;

impl Ext4Editor {
    /// Reads the journal. From now on, blocks that are not in place yet are read from there.
    pub(crate) fn replay_in_memory(&mut self) -> Result<(), RootfsError> {
        let Some(journal) = journal::read(&self.disk)? else { return Ok(()) };
        if !self.disk.volume.needs_recovery {
            return match journal.start() {
                None => Ok(()),
                Some(_) => Err(self.disk.volume.unreadable(
                    Obstacle::new("its journal has changes, and the superblock says that there are none")
                        .with_advice("run e2fsck -p on it"),
                )),
            };
        }
        let recovered = replay::recover(&self.disk, &journal)?;
        let copies = recovered.copies.len();
        self.disk.blocks.set_replayed(recovered.copies);
        self.unfinished = journal.start().map(|_| recovered.next_sequence);
        if copies == 0 {
            return Ok(());
        }
        let (block, offset) = self.disk.volume.superblock_place();
        let bytes = self.disk.blocks.read(View::Committed, block)?;
        let bytes = bytes[offset..offset + Superblock::SIZE].try_into().expect("the superblock's length");
        let length =
            self.disk.blocks.storage.size_bytes().map_err(|error| self.disk.blocks.io("measure", error))?;
        let mut volume = Volume::of_superblock(bytes, length, &self.disk.volume.image)?;
        if volume.block_size != self.disk.volume.block_size {
            return Err(self.disk.volume.corrupt(CorruptionKind::Journal(JournalFault::BlockSize)));
        }
        volume.needs_recovery = true;
        if recovered.has_torn_end {
            volume
                .notes
                .push("the last transaction of its journal is not complete, and does not count".to_owned());
        }
        self.disk.blocks.set_blocks_count(volume.blocks_count);
        self.disk.volume = volume;
        Ok(())
    }

    /// Puts the journal's blocks in place, and empties it. After a crash the journal is unchanged or empty.
    pub(crate) fn finish_recovery(&mut self) -> Result<(), RootfsError> {
        if let Some(next_sequence) = self.unfinished {
            let journal = journal::read(&self.disk)?;
            let emptied = journal.and_then(|journal| journal.emptied_superblock(next_sequence));
            let (block, bytes) = emptied.ok_or_else(|| {
                self.disk.volume.corrupt(CorruptionKind::Journal(JournalFault::NoFirstBlock))
            })?;
            // The superblock may say that there is nothing to recover: so it comes last.
            self.disk.blocks.put_replayed(self.disk.volume.superblock_place().0)?;
            self.disk.blocks.write_through(block, &bytes)?;
            self.disk.blocks.sync()?;
            self.unfinished = None;
        }
        self.disk.volume.needs_recovery = false;
        Ok(())
    }

    /// Updates the free counts of the superblock, if the image was not unmounted.
    pub(crate) fn recount_free(&mut self) -> Result<(), RootfsError> {
        if !self.disk.volume.needs_recovery {
            return Ok(());
        }
        let (blocks, inodes) = self.disk.count_free()?;
        self.disk.update_superblock(|superblock| {
            superblock.set_free_blocks_count(blocks);
            superblock.s_free_inodes_count = u32::try_from(inodes).unwrap_or(u32::MAX);
        })
    }

    /// Refuses to change an image with a feature that can only be read, or an image that a kernel may be
    /// changing.
    pub(crate) fn check_editable(&self) -> Result<(), RootfsError> {
        if let Some(obstacle) = &self.disk.volume.uneditable {
            return Err(self.disk.volume.unsupported(obstacle.clone()));
        }
        self.check_not_mounted()?;
        let Some(block) = self.disk.volume.mmp_block else { return Ok(()) };
        let bytes = self.disk.blocks.read(View::Committed, block)?;
        let sequence = u32::from_le_bytes(bytes[4..8].try_into().expect("four bytes"));
        if sequence == MMP_CLEAN {
            return Ok(());
        }
        let name = bytes[MMP_NODENAME].split(|byte| *byte == 0).next().unwrap_or_default();
        Err(self.disk.volume.unsupported(
            Obstacle::new(format!(
                "its mmp block says that host {:?} has it mounted, or was stopped while it had",
                banger_tree::escape_bytes(name)
            ))
            .with_advice("unmount it there, or run e2fsck -p and tune2fs -f -E clear_mmp on it"),
        ))
    }

    /// Refuses to change an image that a kernel may be changing.
    pub(crate) fn check_not_mounted(&self) -> Result<(), RootfsError> {
        let is_in_use = self.disk.volume.needs_recovery || self.disk.volume.has_orphans();
        match is_in_use && !self.is_alone {
            true => Err(self.disk.volume.unsupported(
                Obstacle::new("it is mounted, or was not unmounted")
                    .with_advice("unmount it, or mount it once or run e2fsck -fp on it"),
            )),
            false => Ok(()),
        }
    }
}
