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

#[cfg(test)]
mod tests {
    use banger_tree::{
        Attributes, Cancellation, Failure as _, FileType, MemoryStore, NodeKind, Timestamp, Tree, TreeRootfs,
    };

    use super::*;
    use crate::rootfs::{metadata_of, read_up_to, write_over};

    #[test]
    fn one_attribute_is_set_and_removed() {
        let (mut tree, mut store) = (Tree::new(), MemoryStore::default());
        let mut rootfs = TreeRootfs::new(&mut tree, &mut store);
        let path = GuestPath::parse("/file").expect("a path");
        assert_eq!(set_xattr(&mut rootfs, &path, b"user.a", b"1").expect_err("missing").code(), 700);
        rootfs.write_file(&path, &mut &b"x"[..], &Attributes::with_mode(0o600)).expect("room");
        for (name, value) in [(&b"user.a"[..], &b"1"[..]), (b"user.b", b"2"), (b"user.a", b"3")] {
            set_xattr(&mut rootfs, &path, name, value).expect("room");
        }
        assert_eq!(xattr(&rootfs, &path, b"user.a").expect("it is set"), b"3");
        remove_xattr(&mut rootfs, &path, b"user.a").expect("it is set");
        for error in [
            xattr(&rootfs, &path, b"user.a").expect_err("it is gone"),
            remove_xattr(&mut rootfs, &path, b"user.a").expect_err("it is gone"),
        ] {
            assert_eq!((error.code(), error.context().get("name")), (727, Some("user.a")), "{error}");
        }
        assert_eq!(xattr(&rootfs, &path, b"user.b").expect("it stays"), b"2");
    }

    #[test]
    fn a_file_is_written_over_and_read_up_to_a_limit() {
        let (mut tree, mut store) = (Tree::new(), MemoryStore::default());
        let mut rootfs = TreeRootfs::new(&mut tree, &mut store);
        let (path, time) = (GuestPath::parse("/file").expect("a path"), Timestamp::from_seconds(7));
        write_over(&mut rootfs, &path, &mut &b"old"[..], time).expect("room");
        let change = AttributeChange { mode: Some(0o4711), uid: Some(5), ..AttributeChange::default() };
        rootfs.set_attributes(&path, &change).expect("it exists");
        for name in [&b"security.capability"[..], b"user.note"] {
            set_xattr(&mut rootfs, &path, name, b"1").expect("room");
        }
        write_over(&mut rootfs, &path, &mut &b"newer"[..], Timestamp::from_seconds(8)).expect("room");
        let attributes = rootfs.stat(&path).expect("no damage").expect("it exists").attributes;
        assert_eq!((attributes.mode, attributes.uid, attributes.mtime.seconds), (0o4711, 5, 8));
        assert_eq!((attributes.xattrs.len(), attributes.xattrs.value(b"user.note")), (1, Some(&b"1"[..])));
        assert_eq!(read_up_to(&rootfs, &path, 5).expect("it fits"), b"newer");
        assert_eq!(read_up_to(&rootfs, &path, 4).expect_err("too large").code(), 712);
    }

    #[test]
    fn metadata_of_a_root_file_system_is_that_of_its_tree() {
        let (mut tree, mut store) = (Tree::new(), MemoryStore::default());
        let mut rootfs = TreeRootfs::new(&mut tree, &mut store);
        let path = |text: &str| GuestPath::parse(text).expect("a path");
        let attributes = Attributes { uid: 3, ..Attributes::with_mode(0o2750) };
        for dir in ["/b", "/b/a", "/a"] {
            rootfs.create_dir(&path(dir), &attributes).expect("room");
        }
        let device = NodeKind::BlockDevice { major: 8, minor: 300 };
        rootfs.mknod(&path("/b/a/sda"), &device, &attributes).expect("room");
        rootfs.symlink(&path("/b/link"), b"a", &attributes).expect("room");
        let seen = metadata_of(&rootfs, &Cancellation::new()).expect("no damage");
        let cancelled = Cancellation::new();
        cancelled.cancel();
        assert_eq!(metadata_of(&rootfs, &cancelled).expect_err("cancelled").code(), 505);
        let paths: Vec<String> = seen.entries.iter().map(|entry| entry.path.to_string()).collect();
        assert_eq!(paths, ["/", "/a", "/b", "/b/a", "/b/a/sda", "/b/link"]);
        assert_eq!(seen.entries[4].kind.file_type(), FileType::BlockDevice);
        assert_eq!(seen, banger_tree::Metadata::of(&tree));
    }
}
