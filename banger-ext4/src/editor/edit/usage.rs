//! How much of a file system is in use.

use banger_tree::{GuestPath, RootfsError, places};
use serde::Serialize;

use super::Ext4Editor;
use super::lookup::Names;
use crate::editor::disk::inodes;
use crate::format::InodeNumber;
use crate::format::inode::HUGE_FILE_FL;

/// Space and inodes of a file system, as statfs(2) has them for root: blocks of metadata with a fixed place do not
/// count.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct FileSystemUsage {
    /// Bytes of the file system, with all metadata.
    pub file_system_bytes: u64,
    /// Size of a block in bytes.
    pub block_bytes: u64,
    /// Bytes for files and directories.
    pub size_bytes: u64,
    /// Bytes in use.
    pub used_bytes: u64,
    /// Bytes that are free, also for root only.
    pub free_bytes: u64,
    /// Bytes of those that only root may use.
    pub reserved_bytes: u64,
    /// Number of inodes.
    pub inodes: u32,
    /// Inodes in use.
    pub used_inodes: u32,
    /// Inodes that are free.
    pub free_inodes: u32,
}

impl Ext4Editor {
    /// Returns how much of the file system is in use, with changes that are not committed.
    ///
    /// # Errors
    /// The image is damaged, or the host cannot read it.
    pub fn usage(&self) -> Result<FileSystemUsage, RootfsError> {
        let disk = &self.disk;
        let volume = &disk.volume;
        let superblock = disk.superblock()?;
        let (free_blocks, free_inodes) = match volume.needs_recovery {
            // A kernel counts in memory, and writes the sums at the unmount.
            true => {
                let (blocks, inodes) = disk.count_free()?;
                (blocks, u32::try_from(inodes).unwrap_or(u32::MAX))
            }
            false => (superblock.free_blocks_count(), superblock.s_free_inodes_count),
        };
        let overhead = match superblock.s_overhead_clusters {
            0 => self.overhead_blocks()?,
            clusters => u64::from(clusters).saturating_mul(volume.cluster_blocks),
        };
        let in_bytes = |blocks: u64| blocks.saturating_mul(volume.block_size as u64);
        let blocks = volume.blocks_count.saturating_sub(overhead);
        Ok(FileSystemUsage {
            file_system_bytes: volume.bytes(),
            block_bytes: volume.block_size as u64,
            size_bytes: in_bytes(blocks),
            used_bytes: in_bytes(blocks.saturating_sub(free_blocks)),
            free_bytes: in_bytes(free_blocks),
            reserved_bytes: in_bytes(superblock.r_blocks_count().min(free_blocks)),
            inodes: volume.inodes_count,
            used_inodes: volume.inodes_count.saturating_sub(free_inodes),
            free_inodes: free_inodes.min(volume.inodes_count),
        })
    }

    /// Returns the blocks of metadata with a fixed place, as the kernel counts them.
    fn overhead_blocks(&self) -> Result<u64, RootfsError> {
        let volume = &self.disk.volume;
        let mut blocks = volume.first_block(0);
        for group in 0..volume.groups {
            self.disk.check_cancelled()?;
            blocks += volume.base_blocks(group) + 2 + volume.inode_table_blocks();
        }
        let journal = volume.journal.map(|number| inodes::read(&self.disk, number)).transpose()?;
        let journal_bytes = journal.map_or(0, |inode| inode.size());
        Ok(blocks + journal_bytes / volume.block_size as u64)
    }

    /// Returns the bytes that the inode at `path` takes on the disk, also for metadata of its own; the last component
    /// is not followed.
    ///
    /// # Errors
    /// The path does not exist, or the image is damaged.
    pub fn allocated_bytes(&self, path: &GuestPath) -> Result<u64, RootfsError> {
        let (number, _): (InodeNumber, _) = places::existing(&Names(self), path)?;
        let inode = inodes::read(&self.disk, number)?;
        let unit = match inode.i_flags & HUGE_FILE_FL {
            0 => 512,
            _ => self.disk.volume.block_size as u64,
        };
        Ok(inode.blocks().saturating_mul(unit))
    }
}
