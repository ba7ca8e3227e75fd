//! Freeing an inode with everything that it has.

use banger_tree::{FileType, RootfsError};

use super::whole_inode::WholeInode;
use super::{Disk, extents, inodes, xattrs};
use crate::format::InodeNumber;

/// Frees an inode without a name, with its blocks and extended attributes.
pub(crate) fn free(disk: &mut Disk, number: InodeNumber, inode: &mut WholeInode) -> Result<(), RootfsError> {
    xattrs::free_block(disk, number, inode)?;
    if inodes::has_content(inode) {
        extents::free_content(disk, number, inode)?;
    }
    let is_dir = FileType::from_mode_bits(inode.i_mode) == Some(FileType::Directory);
    disk.known.get_mut().forget_dir(number);
    inodes::release(disk, number, is_dir)
}
