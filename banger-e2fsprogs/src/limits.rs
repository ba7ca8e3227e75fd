//! Checks the limits of ext4 before anything is written.

use banger_tree::{
    DEVICE_MAJOR_MAX, DEVICE_MINOR_MAX, GuestPath, InodeId, NodeKind, SYMLINK_TARGET_MAX, Tree, Xattrs,
};

use crate::xattr;
use banger_ext4::Ext4Error;
use banger_ext4::on_disk::BLOCK_BYTES;
use banger_ext4::on_disk::LINK_MAX;

/// Logical blocks of a file are numbered in 32 bits.
const FILE_SIZE_MAX: u64 = u32::MAX as u64 * BLOCK_BYTES;
/// mke2fs (1.43 to 1.47.2, `path_append`) has a fault for a path of 255 × 2ⁿ bytes, including its first
/// slash: the buffer has no room for the NUL. At this length the C library's allocation has no spare byte, so
/// the heap is damaged.
const PATH_LEN_UNFIT: usize = 2040;

/// Checks every inode of `tree`.
///
/// # Errors
/// The first path that ext4 cannot hold.
pub(crate) fn check(tree: &Tree) -> Result<(), Ext4Error> {
    let mut pending = vec![(tree.root(), 0)];
    check_inode(tree, tree.root()).map_err(|reason| Ext4Error::Limit { path: GuestPath::root(), reason })?;
    while let Some((dir, dir_len)) = pending.pop() {
        for (name, id) in tree.inode(dir).children().into_iter().flatten() {
            let mut outcome = check_inode(tree, *id);
            let len = dir_len + 1 + name.len();
            if len == PATH_LEN_UNFIT {
                outcome = Err(format!("mke2fs fails on a path of {len} bytes; use the native backend"));
            }
            if tree.inode(*id).is_dir() {
                pending.push((*id, len));
            } else if dir == tree.root() && &name[..] == b"lost+found" {
                outcome = Err("lost+found of an ext4 file system is a directory".to_owned());
            }
            outcome.map_err(|reason| Ext4Error::Limit { path: path_of(tree, dir, name), reason })?;
        }
    }
    Ok(())
}

fn check_inode(tree: &Tree, id: InodeId) -> Result<(), String> {
    let inode = tree.inode(id);
    if !inode.is_dir() && inode.names() > LINK_MAX {
        return Err(format!("it has {} names and an inode at most {LINK_MAX}", inode.names()));
    }
    check_node(&inode.kind, &inode.attributes.xattrs)
}

/// Checks that an inode can be this and have these xattrs.
///
/// # Errors
/// Why it cannot.
pub(crate) fn check_node(kind: &NodeKind, xattrs: &Xattrs) -> Result<(), String> {
    match kind {
        NodeKind::Regular { size_bytes, .. } if *size_bytes > FILE_SIZE_MAX => {
            return Err(format!("it has {size_bytes} bytes and a file at most {FILE_SIZE_MAX}"));
        }
        NodeKind::Symlink { target } if target.is_empty() || target.len() > SYMLINK_TARGET_MAX => {
            return Err(format!("its target has {} bytes, not 1 to {SYMLINK_TARGET_MAX}", target.len()));
        }
        NodeKind::Symlink { target } if target.contains(&0) => {
            return Err("its target holds a NUL byte".to_owned());
        }
        NodeKind::CharDevice { major, minor } | NodeKind::BlockDevice { major, minor }
            if *major > DEVICE_MAJOR_MAX || *minor > DEVICE_MINOR_MAX =>
        {
            return Err(format!(
                "device {major}:{minor} is beyond the largest of Linux, {DEVICE_MAJOR_MAX}:{DEVICE_MINOR_MAX}"
            ));
        }
        _ => {}
    }
    xattr::check(xattrs)
}

fn path_of(tree: &Tree, dir: InodeId, name: &[u8]) -> GuestPath {
    let dir = tree.walk().find(|(_, id)| *id == dir).map_or_else(GuestPath::root, |(path, _)| path);
    dir.join(name).unwrap_or(dir)
}
