//! Keeps edits away from ext4 files that have a hash tree.

use std::os::unix::fs::FileExt as _;

use camino::{Utf8Path, Utf8PathBuf};

use super::error::VerityError;
use super::place::tree_beside;
use super::superblock::{BLOCK, VeritySuperblock};
use crate::host_file::open_followed;
use crate::store::{ROOTFS_FILE, VERITY_FILE};

/// Fails if the ext4 file `file`, whose file system has `size_bytes`, has a hash tree: behind the file system, or in a
/// file beside it.
pub(crate) fn check_unprotected(file: &Utf8Path, size_bytes: u64) -> Result<(), VerityError> {
    match tree_of(file, size_bytes) {
        Some(tree) => Err(VerityError::Protected { path: file.to_owned(), tree }),
        None => Ok(()),
    }
}

fn tree_of(file: &Utf8Path, size_bytes: u64) -> Option<Utf8PathBuf> {
    let managed = (file.file_name() == Some(ROOTFS_FILE)).then(|| file.with_file_name(VERITY_FILE));
    let found = managed.into_iter().chain([tree_beside(file)]).find(|tree| begins_tree(tree, 0));
    found.or_else(|| begins_tree(file, size_bytes).then(|| file.to_owned()))
}

/// Returns whether a superblock of a tree is at a byte of a file.
fn begins_tree(file: &Utf8Path, at: u64) -> bool {
    let mut block = [0; BLOCK];
    // A file that cannot be read has no tree that a guest could use.
    open_followed(file).and_then(|file| file.read_exact_at(&mut block, at)).is_ok()
        && VeritySuperblock::is_in(&block)
}
