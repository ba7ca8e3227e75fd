//! Disk space of a tree besides the contents of its files.

use banger_tree::{Budget, Cancellation, Cost, InodeId, NodeKind, Tree};

use crate::error::Ext4Error;
use crate::format::dirent::entry_size;
use crate::format::inode::FAST_SYMLINK_MAX;
use crate::format::{BLOCK_BYTES, BLOCK_SIZE, INODE_SIZE};
use crate::write::xattrs;

/// Inodes between two looks at whether to stop.
const CANCEL_INTERVAL: u64 = 4096;

/// Returns the approximate number of blocks of an inode besides those of a file's content and its extended
/// attributes.
pub(crate) fn inode_blocks(tree: &Tree, id: InodeId) -> u64 {
    match &tree.inode(id).kind {
        NodeKind::Directory { children } => {
            let bytes: usize = children.keys().map(|name| entry_size(name.len())).sum();
            // Leaves are left an eighth free, and there is an index.
            if bytes < BLOCK_SIZE - 64 { 1 } else { (bytes * 6 / 5).div_ceil(BLOCK_SIZE) as u64 + 1 }
        }
        NodeKind::Symlink { target } if target.len() > FAST_SYMLINK_MAX => 1,
        _ => 0,
    }
}

/// Charges `budget` for directories, symlinks, extended attributes and inodes of `tree`.
///
/// # Errors
/// It is more than is left, or the caller stopped.
pub(crate) fn charge(tree: &Tree, budget: &Budget, cancellation: &Cancellation) -> Result<(), Ext4Error> {
    let mut seen = vec![false; tree.inode_bound()];
    let mut pending = vec![tree.root()];
    let (mut inodes, mut blocks) = (0_u64, 0_u64);
    while let Some(id) = pending.pop() {
        if std::mem::replace(&mut seen[id.index()], true) {
            continue;
        }
        inodes += 1;
        if inodes.is_multiple_of(CANCEL_INTERVAL) && cancellation.is_cancelled() {
            return Err(Ext4Error::Cancelled);
        }
        let inode = tree.inode(id);
        blocks += inode_blocks(tree, id);
        let given = &inode.attributes.xattrs;
        // The writer refuses attributes that do not fit.
        blocks += u64::from(
            !given.is_empty() && xattrs::place(given).is_ok_and(|placed| !placed.in_block.is_empty()),
        );
        pending.extend(inode.children().into_iter().flat_map(|children| children.values()));
    }
    let bytes = blocks * BLOCK_BYTES + inodes * INODE_SIZE as u64;
    budget.charge(Cost::ImageBytes, bytes).map_err(Ext4Error::OverBudget)
}
