//! Looking for damage, on a [`Disk`](super::disk::Disk) and nothing above it.

mod index_check;
mod inode_check;
mod resize_inode_check;
mod superblock_check;
mod verify;
mod verify_counts;
mod verify_walk;

pub(crate) use verify::verify;
pub use verify_walk::VerifyReport;
