//! Making the file system larger.

use banger_tree::RootfsError;

use super::Ext4Editor;
use crate::editor::disk::volume::{DESC_SIZE_32, Volume};
use crate::editor::edit::grow_groups;
use crate::editor::edit::journal;

/// Number of free blocks from which a short last group is worth its metadata; the same as in resize2fs.
pub(super) const LAST_GROUP_FREE_MIN: u64 = 50;

impl Volume {
    /// Returns the largest possible number of descriptor blocks.
    fn descriptor_blocks_max(&self) -> u64 {
        self.descriptor_blocks() + if self.resize_inode { self.reserved_gdt_blocks } else { 0 }
    }

    /// Returns this volume with room for `size_bytes`, less a last group that would have hardly
    /// room for its metadata.
    fn grown(&self, size_bytes: u64) -> Result<Self, RootfsError> {
        let refused = |reason: String| Err(self.refused_size(size_bytes, reason));
        let mut blocks = size_bytes / self.block_size as u64;
        let feature = match (self.first_meta_bg, self.backup_groups) {
            (Some(_), _) => Some("meta_bg"),
            (None, Some(_)) => Some("sparse_super2"),
            (None, None) => None,
        };
        if let Some(feature) = feature.filter(|_| blocks > self.blocks_count) {
            return refused(format!("it has the feature {feature}; resize2fs knows how to grow it"));
        }
        if blocks < self.blocks_count {
            return refused(format!("it has {} and cannot shrink", self.bytes()));
        }
        let numbers_end = if self.desc_size > DESC_SIZE_32 && !self.resize_inode { 1 << 48 } else { 1 << 32 };
        if blocks == numbers_end {
            // The requested size is a power of two, and the largest number is one less.
            blocks -= 1;
        }
        if blocks > numbers_end {
            let most = (numbers_end - 1) * self.block_size as u64;
            return refused(format!("its block numbers end at {most} bytes"));
        }
        loop {
            let in_groups = blocks - self.first_data_block;
            let Ok(groups) = u32::try_from(in_groups.div_ceil(self.blocks_per_group)) else {
                return refused("it would have too many block groups".to_owned());
            };
            let Some(inodes_count) = groups.checked_mul(self.inodes_per_group) else {
                let most = u64::from(u32::MAX / self.inodes_per_group) * self.blocks_per_group;
                let most = most * self.block_size as u64;
                return refused(format!("it has so many inodes a group that {most} bytes are the most"));
            };
            let mut new = Self { blocks_count: blocks, groups, inodes_count, ..self.clone() };
            let (had, needs) = (self.descriptor_blocks(), new.descriptor_blocks());
            if needs > self.descriptor_blocks_max() {
                let per_block = (self.block_size / self.desc_size) as u64;
                let groups = self.descriptor_blocks_max() * per_block;
                let most = groups * self.blocks_per_group * self.block_size as u64;
                return refused(format!("it has no room reserved for descriptors of more than {most} bytes"));
            }
            let own = 1 + needs + self.reserved_gdt_blocks + 2 + self.inode_table_blocks();
            if groups > self.groups && own + LAST_GROUP_FREE_MIN > self.blocks_per_group {
                return refused("its block groups are too small for metadata of their own".to_owned());
            }
            // Block by block, a reserved one becomes one of descriptors.
            new.reserved_gdt_blocks -= needs - had;
            let rest = in_groups % self.blocks_per_group;
            if groups > self.groups && rest > 0 && rest < new.own_blocks(groups - 1) + LAST_GROUP_FREE_MIN {
                blocks -= rest;
                continue;
            }
            return Ok(new);
        }
    }
}

impl Ext4Editor {
    /// Returns how many bytes the file system has.
    pub fn size_bytes(&self) -> u64 {
        self.disk.volume.bytes()
    }

    /// Grows the file system to `size_bytes`, or a little less if the end would hold almost only metadata;
    /// returns the new size. The file grows with it and stays sparse.
    ///
    /// This is a commit, also of all earlier changes. It is atomic: after a crash the file has the old state
    /// or the new one. To grow to the current size changes nothing.
    ///
    /// # Errors
    /// The file system is larger than that, its structures have no room for so many blocks, or a
    /// [`commit`](banger_tree::Rootfs::commit) fails. Then it is unchanged, and earlier changes still wait
    /// for a commit.
    pub fn grow(&mut self, size_bytes: u64) -> Result<u64, RootfsError> {
        let volume = self.disk.volume.grown(size_bytes)?;
        if volume.blocks_count == self.disk.volume.blocks_count {
            self.commit_changes()?;
            return Ok(self.size_bytes());
        }
        self.check_not_half_committed()?;
        self.check_editable()?;
        let locked = self.disk.blocks.storage.lock();
        locked.map_err(|error| self.cannot_lock(error))?;
        self.finish_recovery()?;
        if !self.disk.blocks.storage.is_unpublished() {
            journal::writable(&self.disk)?;
        }
        let length =
            self.disk.blocks.storage.size_bytes().map_err(|error| self.disk.blocks.io("measure", error))?;
        if volume.bytes() > length {
            let extended = self.disk.blocks.storage.set_size(volume.bytes());
            extended.map_err(|error| self.disk.blocks.io("enlarge", error))?;
        }
        self.disk.blocks.start_operation();
        self.disk.blocks.set_blocks_count(volume.blocks_count);
        let before = std::mem::replace(&mut self.disk.volume, volume);
        let outcome = grow_groups::add_groups(&mut self.disk, &before).and_then(|()| self.commit_changes());
        if let Err(error) = outcome {
            if !self.is_half_committed {
                self.disk.blocks.undo_operation();
                self.disk.blocks.set_blocks_count(before.blocks_count);
                if self.disk.volume.bytes() > length {
                    // The longer file does no harm, and the first error is the one to report.
                    let _ = self.disk.blocks.storage.set_size(length);
                }
                self.disk.volume = before;
            }
            // Without a journal, the error tells what one needs.
            let has_journal = self.disk.volume.journal.is_some();
            return Err(match error {
                other if !has_journal => other,
                RootfsError::NoSpace { .. }
                | RootfsError::Limit { .. }
                | RootfsError::TooManyChanges { .. } => {
                    let reason = "its journal is too small for so much in one step; grow to less first";
                    self.disk.volume.refused_size(size_bytes, reason)
                }
                other => other,
            });
        }
        Ok(self.size_bytes())
    }
}
