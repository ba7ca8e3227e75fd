//! Places of edits in a root file system: checks and errors that all implementations of
//! [`Rootfs`](crate::Rootfs) share.

use crate::kind::{FileType, NodeKind};
use crate::path::GuestPath;
use crate::resolve::{Lookup, Resolved};
use crate::rootfs_error::RootfsError;

/// The old place and the new one.
pub type FromTo<N> = (Resolved<N>, Resolved<N>);

/// Returns the inode at `path` with its place. A symlink as the last component is not followed.
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

/// Returns the place for a new inode at `path`.
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

/// Returns the place for a file at `path`, which may replace an existing file.
///
/// # Errors
/// The path is a directory, or its parent is missing.
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

/// Returns the inode at `existing` and the place for a new hard link.
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

/// Returns the inode to remove, with its place.
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

/// Returns the place of the inode to move and its new place.
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
