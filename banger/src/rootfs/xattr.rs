//! One extended attribute of one path.

use banger_tree::{AttributeChange, GuestPath, Rootfs, RootfsError, Xattrs, escape_bytes};

use super::error::EditError;

fn xattrs(rootfs: &dyn Rootfs, path: &GuestPath) -> Result<Xattrs, EditError> {
    let missing = || RootfsError::NotFound { path: path.clone() };
    Ok(rootfs.stat(path)?.ok_or_else(missing)?.attributes.xattrs)
}

fn missing(path: &GuestPath, name: &[u8]) -> EditError {
    EditError::NoXattr { path: path.clone(), name: escape_bytes(name) }
}

fn set(rootfs: &mut dyn Rootfs, path: &GuestPath, xattrs: Xattrs) -> Result<(), EditError> {
    let change = AttributeChange { xattrs: Some(xattrs), ..AttributeChange::default() };
    Ok(rootfs.set_attributes(path, &change)?)
}

/// Returns the value of the extended attribute `name` of `path`; the last component is not followed.
///
/// # Errors
/// The path does not exist or has no such attribute.
pub fn xattr(rootfs: &dyn Rootfs, path: &GuestPath, name: &[u8]) -> Result<Vec<u8>, EditError> {
    let value = xattrs(rootfs, path)?.remove(name);
    value.ok_or_else(|| missing(path, name))
}

/// Sets the extended attribute `name` of `path`, in the place of an earlier value.
///
/// # Errors
/// The path does not exist, or the file system cannot hold the attribute.
pub fn set_xattr(
    rootfs: &mut dyn Rootfs,
    path: &GuestPath,
    name: &[u8],
    value: &[u8],
) -> Result<(), EditError> {
    let mut changed = xattrs(rootfs, path)?;
    changed.insert(name, value);
    set(rootfs, path, changed)
}

/// Removes the extended attribute `name` of `path`.
///
/// # Errors
/// The path does not exist or has no such attribute.
pub fn remove_xattr(rootfs: &mut dyn Rootfs, path: &GuestPath, name: &[u8]) -> Result<(), EditError> {
    let mut changed = xattrs(rootfs, path)?;
    changed.remove(name).ok_or_else(|| missing(path, name))?;
    set(rootfs, path, changed)
}
