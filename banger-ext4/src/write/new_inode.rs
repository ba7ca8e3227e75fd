//! Inodes that a build begins with.

use banger_tree::Timestamp;

use crate::format::inode::{EXTRA_ISIZE, Inode};
use crate::format::timestamp::EncodedTime;

/// Returns an inode with the fields that all have.
pub(crate) fn new_inode(mode: u16, time: Timestamp) -> Inode {
    let mut inode = Inode::zeroed();
    inode.i_mode = mode;
    inode.i_extra_isize = EXTRA_ISIZE;
    inode.set_times(EncodedTime::new(time));
    inode
}
