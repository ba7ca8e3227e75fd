//! Looks into finished images and edits them: ext2, ext3 and ext4 file systems in a file of the host,
//! without root or mount. `docs/ext4.md` lists which features are read, edited and refused.
//!
//! Changes to metadata stay in memory, block by block, until a commit writes them through the file
//! system's own journal. Bytes of new files go to free blocks at once.

mod check;
mod disk;
mod edit;

use banger_tree::RootfsError;

pub use check::{RepairReport, VerifyReport};
pub use disk::storage::Storage;
pub use edit::{EditorEffort, Ext4Editor, FileSystemUsage};
pub(crate) use edit::{FileStorage, WHOLE};

impl Ext4Editor {
    /// Reads the whole file system but the bytes of its files, and checks all checksums: superblock,
    /// descriptors, bitmaps, inodes, extents, directories with their indexes, xattrs. Compares used blocks
    /// and inodes with the bitmaps, and names with link counts.
    ///
    /// # Errors
    /// The host cannot read the image, or the caller asked to stop. Damage of the image is in the
    /// report.
    pub fn verify(&self) -> Result<VerifyReport, RootfsError> {
        check::verify(self.disk())
    }

    /// Repairs what is unambiguous, in one commit: counters of free blocks, free inodes and directories, bitmaps that
    /// disagree with the inodes, and the checksums of bitmaps and group descriptors. Everything is checked again before
    /// the commit. If there is other damage, nothing changes. Changes that are not committed are forgotten.
    ///
    /// # Errors
    /// The host refuses, the image cannot be edited, or the caller asked to stop. Damage that stays is in the report.
    pub fn repair(&mut self) -> Result<RepairReport, RootfsError> {
        self.reopen()?;
        let report = check::repair(self.disk_mut());
        match &report {
            Ok(report) if report.problem_count == 0 => self.commit_changes()?,
            // The first error says more.
            _ => drop(self.reopen()),
        }
        report
    }
}
