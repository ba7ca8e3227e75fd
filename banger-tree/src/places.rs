//! Where edits of a root file system take place: the checks that all implementations of
//! [`Rootfs`](crate::Rootfs) make, and the errors they share.

use crate::kind::{FileType, NodeKind};
use crate::path::GuestPath;
use crate::resolve::{Lookup, Resolved};
use crate::rootfs_error::RootfsError;

/// Where something is, and the place it moves to.
pub type FromTo<N> = (Resolved<N>, Resolved<N>);

/// Returns the inode at `path`, symlinks as the last component not followed, with its place.
///
/// # Errors
/// The path does not exist.
pub fn existing<L: Lookup>(fs: &L, path: &GuestPath) -> Result<(L::Node, Resolved<L::Node>), RootfsError>
where
    RootfsError: From<L::Error>,
{
    let place = fs.place(path)?;
    match place.node {
        Some(node) => Ok((node, place)),
        None => Err(RootfsError::NotFound { path: path.clone() }),
    }
}

/// Returns the place for something new at `path`.
///
/// # Errors
/// The path is taken, or its parent is missing.
pub fn vacant<L: Lookup>(fs: &L, path: &GuestPath) -> Result<Resolved<L::Node>, RootfsError>
where
    RootfsError: From<L::Error>,
{
    let place = fs.place(path)?;
    match place.node {
        Some(_) => Err(RootfsError::AlreadyExists { path: path.clone() }),
        None => Ok(place),
    }
}

/// Returns the place for a file at `path`, in the place of what may be there.
///
/// # Errors
/// There is a directory, or the parent is missing.
pub fn for_file<L: Lookup>(fs: &L, path: &GuestPath) -> Result<Resolved<L::Node>, RootfsError>
where
    RootfsError: From<L::Error>,
{
    let place = fs.place(path)?;
    if place.path.is_root() {
        return Err(RootfsError::Root);
    }
    match place.node {
        Some(node) if fs.file_type(node)? == FileType::Directory => {
            Err(RootfsError::IsADirectory { path: path.clone() })
        }
        _ => Ok(place),
    }
}

/// Returns the place for a device, FIFO or socket at `path`.
///
/// # Errors
/// The path is taken, its parent is missing, or `kind` is another one.
pub fn for_node<L: Lookup>(
    fs: &L,
    path: &GuestPath,
    kind: &NodeKind,
) -> Result<Resolved<L::Node>, RootfsError>
where
    RootfsError: From<L::Error>,
{
    let place = vacant(fs, path)?;
    match kind.file_type() {
        FileType::CharDevice | FileType::BlockDevice | FileType::Fifo | FileType::Socket => Ok(place),
        other => Err(RootfsError::Limit {
            path: path.clone(),
            reason: format!("mknod makes devices, FIFOs and sockets, not {other:?}"),
            advice: None,
        }),
    }
}

/// Returns the inode at `existing`, and the place for one more name of it.
///
/// # Errors
/// `existing` is missing or a directory, or `path` is taken.
pub fn for_link<L: Lookup>(
    fs: &L,
    existing: &GuestPath,
    path: &GuestPath,
) -> Result<(L::Node, Resolved<L::Node>), RootfsError>
where
    RootfsError: From<L::Error>,
{
    let (node, _) = self::existing(fs, existing)?;
    if fs.file_type(node)? == FileType::Directory {
        return Err(RootfsError::IsADirectory { path: existing.clone() });
    }
    Ok((node, vacant(fs, path)?))
}

/// Returns what is to be removed, with its place.
///
/// # Errors
/// The path does not exist or is the root.
pub fn for_removal<L: Lookup>(fs: &L, path: &GuestPath) -> Result<(L::Node, Resolved<L::Node>), RootfsError>
where
    RootfsError: From<L::Error>,
{
    let (node, place) = existing(fs, path)?;
    if place.path.is_root() {
        return Err(RootfsError::Root);
    }
    Ok((node, place))
}

/// Returns the place of what is to move, and the one it moves to.
///
/// # Errors
/// `from` is missing or the root, `to` is taken or lies below `from`.
pub fn for_rename<L: Lookup>(fs: &L, from: &GuestPath, to: &GuestPath) -> Result<FromTo<L::Node>, RootfsError>
where
    RootfsError: From<L::Error>,
{
    let (_, source) = for_removal(fs, from)?;
    let place = vacant(fs, to)?;
    if place.path.starts_with(&source.path) {
        return Err(RootfsError::BelowItself { path: from.clone() });
    }
    Ok((source, place))
}
