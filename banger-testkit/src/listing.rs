//! What is in a root file system, whoever reads it.

use std::collections::BTreeMap;

use banger_tree::{Attributes, FileType, GuestPath, Rootfs, RootfsError, Stat};

/// What is at a path: its status, the first path of the same inode, and its bytes or target.
pub type Listed = (Stat, GuestPath, Vec<u8>);
/// All that [`listing`] finds, by path.
pub type Listing = BTreeMap<GuestPath, Listed>;

/// Returns all that can be read, but what a tree and an image cannot have in common: inode
/// numbers, `lost+found` and what it changes of the root. Of files over 256 MiB it is the first
/// 64 KiB.
///
/// # Errors
///
/// What `rootfs` cannot read.
pub fn listing(rootfs: &dyn Rootfs) -> Result<Listing, RootfsError> {
    let mut listing = BTreeMap::new();
    let mut firsts = BTreeMap::new();
    let mut pending = vec![GuestPath::root()];
    while let Some(at) = pending.pop() {
        let mut stat = rootfs.stat(&at)?.ok_or_else(|| RootfsError::NotFound { path: at.clone() })?;
        let first = firsts.entry(stat.inode).or_insert_with(|| at.clone()).clone();
        stat.inode = 0;
        if stat.nlink > 65_000 {
            stat.nlink = 1;
        }
        if at.is_root() {
            (stat.nlink, stat.attributes) = (0, Attributes::default());
        }
        let bytes = match stat.file_type {
            FileType::Regular if stat.size_bytes > 256 << 20 => {
                let mut start = vec![0; 1 << 16];
                let length = rootfs.read_at(&at, 0, &mut start)?;
                start.truncate(length);
                start
            }
            FileType::Regular => rootfs.read(&at)?,
            FileType::Symlink => rootfs.read_link(&at)?,
            FileType::Directory => {
                for entry in rootfs.read_dir(&at)? {
                    if !at.is_root() || entry.name != b"lost+found" {
                        pending.push(at.join(&entry.name).map_err(RootfsError::Path)?);
                    }
                }
                Vec::new()
            }
            _ => Vec::new(),
        };
        listing.insert(at, (stat, first, bytes));
    }
    Ok(listing)
}

/// Fails unless both have the same names, with the same of everything.
///
/// # Panics
///
/// With the first path in which they differ.
#[track_caller]
pub fn assert_equal(want: &dyn Rootfs, found: &dyn Rootfs) {
    let [want, found] = [want, found].map(|rootfs| listing(rootfs).unwrap_or_else(|error| panic!("{error}")));
    for (path, listed) in &want {
        assert!(found.get(path) == Some(listed), "{path}: {:?}, want {listed:?}", found.get(path));
    }
    assert_eq!(found.len(), want.len());
}
