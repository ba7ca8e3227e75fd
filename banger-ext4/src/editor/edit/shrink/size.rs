//! The geometry of a file system that becomes smaller.

use crate::editor::disk::volume::Volume;
use crate::editor::edit::grow::LAST_GROUP_FREE_MIN;

impl Volume {
    /// Returns this volume with `blocks` blocks, less a last group that would hold almost only metadata; `None` if
    /// there is no file system so small. If `has_resize_list`, descriptor blocks that are not needed are kept in
    /// reserve.
    pub(super) fn shrunk(&self, blocks: u64, has_resize_list: bool) -> Option<Self> {
        let mut blocks = blocks.min(self.blocks_count);
        loop {
            let in_groups = blocks.checked_sub(self.first_data_block).filter(|blocks| *blocks > 0)?;
            let groups = u32::try_from(in_groups.div_ceil(self.blocks_per_group)).ok()?;
            let inodes_count = groups.checked_mul(self.inodes_per_group)?;
            if inodes_count < self.first_inode {
                return None;
            }
            let mut new = Self { blocks_count: blocks, groups, inodes_count, ..self.clone() };
            if has_resize_list {
                let gone = self.descriptor_blocks() - new.descriptor_blocks();
                let most = (self.block_size / 4) as u64;
                new.reserved_gdt_blocks = (self.reserved_gdt_blocks + gone).min(most);
            }
            new.backup_groups =
                self.backup_groups.map(|backups| backups.map(|group| if group < groups { group } else { 0 }));
            let rest = in_groups % self.blocks_per_group;
            if groups > 1 && rest > 0 && rest < new.own_blocks(groups - 1) + LAST_GROUP_FREE_MIN {
                blocks -= rest;
                continue;
            }
            return Some(new);
        }
    }

    /// Returns the blocks that stay in use at the start of a group with copies.
    pub(super) fn copy_blocks(&self) -> u64 {
        1 + self.descriptor_blocks() + self.reserved_gdt_blocks
    }
}
