//! Opening an image that was not unmounted: its journal is looked through in memory, and put in place
//! with the first commit.

use banger_tree::RootfsError;

use crate::editor::Ext4Editor;
use crate::editor::disk::blocks::View;
use crate::editor::disk::volume::Volume;
use crate::format::superblock::Superblock;

/// `mmp_seq`: nobody has it mounted.
const MMP_CLEAN: u32 = 0xff4d_4d50;
/// Where the name of the host is in the block.
const MMP_NODENAME: std::ops::Range<usize> = 16..80;

impl Ext4Editor {
    /// Looks into the journal; what it has that is not in place yet is read from there from now on.
    pub(in crate::editor) fn replay_in_memory(&mut self) -> Result<(), RootfsError> {
        let Some(journal) = self.read_journal()? else { return Ok(()) };
        if !self.volume.needs_recovery {
            return match journal.start() {
                None => Ok(()),
                Some(_) => Err(self.volume.unreadable(
                    "its journal has changes, and the superblock says that there are none; run e2fsck -p on it",
                )),
            };
        }
        let recovered = self.recover(&journal)?;
        let copies = recovered.copies.len();
        self.blocks.set_replayed(recovered.copies);
        self.unfinished = journal.start().map(|_| recovered.next_sequence);
        if copies == 0 {
            return Ok(());
        }
        let (block, offset) = self.volume.superblock_place();
        let bytes = self.blocks.read(View::Committed, block)?;
        let bytes = bytes[offset..offset + Superblock::SIZE].try_into().expect("the superblock's length");
        let length = self.blocks.storage.size_bytes().map_err(|error| self.blocks.io("measure", error))?;
        let mut volume = Volume::of_superblock(bytes, length, &self.volume.image)?;
        if volume.block_size != self.volume.block_size {
            return Err(self.volume.corrupt("the journal has a superblock with another size of blocks"));
        }
        volume.needs_recovery = true;
        if recovered.has_torn_end {
            volume
                .notes
                .push("the last transaction of its journal is not complete, and does not count".to_owned());
        }
        self.blocks.set_blocks_count(volume.blocks_count);
        self.volume = volume;
        Ok(())
    }

    /// Puts what the journal has in place, and empties it. A crash leaves the journal as it was, or
    /// nothing in it.
    pub(in crate::editor) fn finish_recovery(&mut self) -> Result<(), RootfsError> {
        if let Some(next_sequence) = self.unfinished {
            let journal = self.read_journal()?;
            let emptied = journal.and_then(|journal| journal.emptied_superblock(next_sequence));
            let (block, bytes) =
                emptied.ok_or_else(|| self.volume.corrupt("the journal has no first block"))?;
            // The superblock may say that there is nothing to recover: so it comes last.
            self.blocks.put_replayed(self.volume.superblock_place().0)?;
            self.blocks.write_through(block, &bytes)?;
            self.blocks.sync()?;
            self.unfinished = None;
        }
        self.volume.needs_recovery = false;
        Ok(())
    }

    /// Returns how many blocks and inodes are free, as the descriptors of the groups count them. A
    /// mounted kernel keeps the superblock's counts in memory, and counts again with the next mount.
    pub(in crate::editor) fn count_free(&self) -> Result<(u64, u64), RootfsError> {
        let (mut blocks, mut inodes) = (0, 0);
        for group in 0..self.volume.groups {
            let desc = self.group_desc(View::Now, group)?;
            blocks += u64::from(desc.free_blocks());
            inodes += u64::from(desc.free_inodes());
        }
        Ok((blocks, inodes))
    }

    /// Makes the superblock count what is free, where the image was not unmounted.
    pub(in crate::editor) fn recount_free(&mut self) -> Result<(), RootfsError> {
        if !self.volume.needs_recovery {
            return Ok(());
        }
        let (blocks, inodes) = self.count_free()?;
        self.update_superblock(|superblock| {
            superblock.set_free_blocks_count(blocks);
            superblock.s_free_inodes_count = u32::try_from(inodes).unwrap_or(u32::MAX);
        })
    }

    /// Refuses to change what has a feature that is only read here, or what a kernel may be changing.
    pub(in crate::editor) fn check_editable(&self) -> Result<(), RootfsError> {
        if let Some(reason) = &self.volume.uneditable {
            return Err(self.volume.unsupported(reason.clone()));
        }
        self.check_not_mounted()?;
        let Some(block) = self.volume.mmp_block else { return Ok(()) };
        let bytes = self.blocks.read(View::Committed, block)?;
        let sequence = u32::from_le_bytes(bytes[4..8].try_into().expect("four bytes"));
        if sequence == MMP_CLEAN {
            return Ok(());
        }
        let name = bytes[MMP_NODENAME].split(|byte| *byte == 0).next().unwrap_or_default();
        Err(self.volume.unsupported(format!(
            "its mmp block says that host {:?} has it mounted, or was stopped while it had; \
             unmount it there, or run e2fsck -p and tune2fs -f -E clear_mmp on it",
            banger_tree::escape_bytes(name)
        )))
    }

    /// Refuses to change what a kernel may be changing.
    pub(crate) fn check_not_mounted(&self) -> Result<(), RootfsError> {
        let is_in_use = self.volume.needs_recovery || self.volume.has_orphans();
        match is_in_use && !self.is_alone {
            true => Err(self.volume.unsupported(
                "it is mounted, or was not unmounted; unmount it, or mount it once or run e2fsck -fp on it",
            )),
            false => Ok(()),
        }
    }
}
