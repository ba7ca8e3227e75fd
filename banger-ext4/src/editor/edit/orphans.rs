//! Files that lost their last name while they were open, or are to be cut off: the next recovery
//! finishes that. Readers pass them over; the first edit frees them, as the next mount would.

use std::collections::BTreeSet;

use banger_tree::{FileType, RootfsError};

use crate::editor::Ext4Editor;
use crate::editor::disk::blocks::View;
use crate::editor::disk::extents::{LOGICAL_END, Run};
use crate::editor::disk::inline::is_inline;
use crate::editor::disk::whole_inode::WholeInode;
use crate::format::inode::{EXTENTS_FL, FAST_SYMLINK_MAX, VERITY_FL};
use crate::format::superblock::ro_compat;
use crate::format::{Block, InodeNumber};

/// Bytes at the end of a block of the orphan file: its magic number and a checksum.
const TAIL_SIZE: usize = 8;

impl Ext4Editor {
    /// Returns the inodes that are left over, in the order of their list, then those in the orphan
    /// file.
    pub(in crate::editor) fn orphans(&self) -> Result<Vec<InodeNumber>, RootfsError> {
        let mut seen = BTreeSet::new();
        let mut orphans = Vec::new();
        let mut next = self.volume.last_orphan;
        while next != 0 && seen.insert(next) {
            orphans.push(InodeNumber(next));
            // `i_dtime` is the next one's number.
            next = self.unlinked_inode(InodeNumber(next))?.i_dtime;
        }
        for block in self.orphan_blocks()? {
            let bytes = self.blocks.read(View::Now, block)?;
            let (words, _) = bytes[..bytes.len() - TAIL_SIZE].as_chunks::<4>();
            let numbers = words.iter().map(|word| u32::from_le_bytes(*word));
            orphans.extend(numbers.filter(|number| *number != 0 && seen.insert(*number)).map(InodeNumber));
        }
        Ok(orphans)
    }

    /// Returns the blocks of the orphan file.
    fn orphan_blocks(&self) -> Result<Vec<Block>, RootfsError> {
        let Some(number) = self.volume.orphan_file else { return Ok(Vec::new()) };
        let inode = self.inode(number)?;
        let runs = self.mapping(number, &inode, 0..LOGICAL_END)?.runs;
        let written = runs.into_iter().filter(|run| run.written);
        Ok(written.flat_map(|run| (run.start..run.start + run.len).map(Block)).collect())
    }

    /// Frees what has no name any more, and cuts off what is to be cut off. All of it is a change
    /// like any other, until the next commit in memory only.
    pub(in crate::editor) fn settle_orphans(&mut self) -> Result<(), RootfsError> {
        if !self.volume.has_orphans() {
            return Ok(());
        }
        for number in self.orphans()? {
            if number.0 < self.volume.first_inode {
                return Err(self.volume.corrupt(format!("inode {} is among the unlinked files", number.0)));
            }
            let mut inode = self.unlinked_inode(number)?;
            inode.i_dtime = 0;
            match inode.i_links_count {
                0 => self.free_orphan(number, &mut inode)?,
                _ => self.cut_off(number, &mut inode)?,
            }
        }
        self.empty_orphan_file()?;
        self.update_superblock(|superblock| {
            superblock.s_last_orphan = 0;
            superblock.s_feature_ro_compat &= !ro_compat::ORPHAN_PRESENT;
        })?;
        (self.volume.last_orphan, self.volume.orphan_present) = (0, false);
        Ok(())
    }

    fn free_orphan(&mut self, number: InodeNumber, inode: &mut WholeInode) -> Result<(), RootfsError> {
        let file_type = FileType::from_mode_bits(inode.i_mode);
        self.free_xattr_block(number, inode)?;
        let has_blocks = match file_type {
            Some(FileType::Regular | FileType::Directory) => true,
            Some(FileType::Symlink) => {
                inode.i_flags & EXTENTS_FL != 0 || inode.size() > FAST_SYMLINK_MAX as u64
            }
            _ => false,
        };
        if has_blocks {
            self.free_content(number, inode)?;
        }
        self.free_inode(number, file_type == Some(FileType::Directory))
    }

    /// Frees the blocks behind the end of a file that is shorter than it was.
    fn cut_off(&mut self, number: InodeNumber, inode: &mut WholeInode) -> Result<(), RootfsError> {
        let is_file = FileType::from_mode_bits(inode.i_mode) == Some(FileType::Regular);
        if is_file && !is_inline(inode) && inode.i_flags & VERITY_FL == 0 {
            let mapping = self.mapping(number, inode, 0..LOGICAL_END)?;
            let end = inode.size().div_ceil(self.volume.block_size as u64);
            let mut kept: Vec<Run> = Vec::new();
            for run in mapping.runs {
                let len = end.saturating_sub(run.logical).min(run.len);
                if len > 0 {
                    kept.push(Run { len, ..run });
                }
                if len < run.len {
                    self.free_blocks(Block(run.start + len), run.len - len)?;
                }
            }
            self.set_mapping(number, inode, &kept, &mapping.index_blocks)?;
        }
        self.put_inode(number, inode)
    }

    fn empty_orphan_file(&mut self) -> Result<(), RootfsError> {
        let Some(number) = self.volume.orphan_file else { return Ok(()) };
        let generation = self.inode(number)?.i_generation;
        let seed = self.volume.seed_of(number, generation);
        for block in self.orphan_blocks()? {
            let mut bytes = self.blocks.read(View::Now, block)?.to_vec();
            let (entries, tail) = bytes.split_at_mut(self.volume.block_size - TAIL_SIZE);
            if entries.iter().all(|byte| *byte == 0) {
                continue;
            }
            entries.fill(0);
            if let Some(seed) = seed {
                let csum = seed.of_block(block).with(entries).value();
                tail[4..].copy_from_slice(&csum.to_le_bytes());
            }
            self.blocks.write(block, bytes)?;
        }
        Ok(())
    }
}
