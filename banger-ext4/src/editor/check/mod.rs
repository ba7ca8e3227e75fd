//! Finds and repairs damage of a [`Disk`](super::disk::Disk). Knows nothing above it.

mod bad_blocks;
mod index_check;
mod inode_check;
mod named_inodes;
mod repair;
mod resize_inode_check;
mod superblock_check;
mod verify;
mod verify_counts;
mod verify_walk;

pub use repair::RepairReport;
pub(crate) use repair::repair;
pub(crate) use verify::verify;
pub use verify_walk::VerifyReport;
