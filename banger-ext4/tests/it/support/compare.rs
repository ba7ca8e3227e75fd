//! A mounted root against the tree it was built of.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::Read;
use std::os::fd::{AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::rc::Rc;

use banger_tree::{ContentStore, FileType, GuestPath, InodeId, NodeKind, Tree, Xattrs};
use rustix::fs::{AtFlags, CWD, Dir, Mode, OFlags, Stat, openat, readlinkat, statat};

/// Returns every difference between what the kernel shows at `root` and `tree`: names, types,
/// modes, owners, times, link identity and counts, devices, targets, xattrs and bytes. Only a
/// `lost+found` that the tree does not have may be there besides.
pub(crate) fn compare_root(root: &Path, tree: &Tree, store: &dyn ContentStore) -> Vec<String> {
    let mut comparison = Comparison { tree, store, inodes: BTreeMap::new(), differences: Vec::new() };
    let dir = open_dir(CWD, root.as_os_str().as_bytes());
    comparison.attributes(&dir, b".", tree.root(), &GuestPath::root());
    // A directory is opened from its parent's descriptor when its turn comes: paths may be longer
    // than the kernel takes.
    let mut pending = vec![(Rc::new(dir), b".".to_vec(), tree.root(), GuestPath::root())];
    while let Some((parent, name, id, path)) = pending.pop() {
        let dir = Rc::new(open_dir(&*parent, &name));
        for (name, child) in comparison.directory(&dir, id, &path) {
            let path = path.join(&name).unwrap();
            pending.push((Rc::clone(&dir), name, child, path));
        }
    }
    comparison.differences
}

struct Comparison<'a> {
    tree: &'a Tree,
    store: &'a dyn ContentStore,
    /// Inode number of the image by inode of the tree.
    inodes: BTreeMap<InodeId, u64>,
    differences: Vec<String>,
}

impl Comparison<'_> {
    fn differ(
        &mut self,
        path: &GuestPath,
        what: &str,
        found: impl std::fmt::Debug,
        want: impl std::fmt::Debug,
    ) {
        self.differences.push(format!("{path}: {what} is {found:?}, want {want:?}"));
    }

    /// Compares the names in a directory and what they lead to; returns those of directories.
    fn directory(&mut self, dir: &OwnedFd, id: InodeId, path: &GuestPath) -> Vec<(Vec<u8>, InodeId)> {
        let children = self.tree.inode(id).children().unwrap();
        let mut found: BTreeSet<Vec<u8>> = Dir::read_from(dir)
            .unwrap()
            .map(|entry| entry.unwrap().file_name().to_bytes().to_vec())
            .filter(|name| name != b"." && name != b"..")
            .collect();
        if path.is_root() && !children.contains_key(&b"lost+found"[..]) {
            let stat = statat(dir, "lost+found", AtFlags::SYMLINK_NOFOLLOW).unwrap();
            let owner_and_mode = (stat.st_uid, stat.st_gid, stat.st_mode);
            if owner_and_mode != (0, 0, 0o40700) {
                self.differ(path, "owner and mode of lost+found", owner_and_mode, (0, 0, 0o40700));
            }
            found.remove(&b"lost+found"[..]);
        }
        let want: BTreeSet<Vec<u8>> = children.keys().map(|name| name.to_vec()).collect();
        if found != want {
            let text = |names: &BTreeSet<Vec<u8>>, without: &BTreeSet<Vec<u8>>| {
                let names = names.difference(without).take(5);
                names.map(|name| banger_tree::escape_bytes(name)).collect::<Vec<_>>()
            };
            self.differ(path, "set of names", text(&found, &want), text(&want, &found));
        }
        let mut directories = Vec::new();
        for (name, child) in children.iter().filter(|(name, _)| found.contains(&name[..])) {
            self.attributes(dir, name, *child, &path.join(name).unwrap());
            if self.tree.inode(*child).is_dir() {
                directories.push((name.to_vec(), *child));
            }
        }
        directories
    }

    fn attributes(&mut self, dir: &OwnedFd, name: &[u8], id: InodeId, path: &GuestPath) {
        let (tree, inode) = (self.tree, self.tree.inode(id));
        let stat = statat(dir, name, AtFlags::SYMLINK_NOFOLLOW).unwrap();
        let first = *self.inodes.entry(id).or_insert(stat.st_ino);
        if first != stat.st_ino {
            self.differ(path, "inode number", stat.st_ino, first);
        }
        let nlink = match inode.children() {
            None => u64::from(inode.names()),
            Some(children) => {
                let mut below = children.values().filter(|child| tree.inode(**child).is_dir()).count() as u64;
                below += u64::from(path.is_root() && !children.contains_key(&b"lost+found"[..]));
                if below + 2 > 65_000 { 1 } else { below + 2 }
            }
        };
        let mode = u32::from(inode.kind.file_type().mode_bits() | inode.attributes.mode);
        let mtime = inode.attributes.mtime;
        let nanoseconds = stat.st_mtime_nsec;
        for (what, found, want) in [
            ("mode", i128::from(stat.st_mode), i128::from(mode)),
            ("uid", stat.st_uid.into(), inode.attributes.uid.into()),
            ("gid", stat.st_gid.into(), inode.attributes.gid.into()),
            ("mtime", i128::from(stat.st_mtime), mtime.seconds.into()),
            ("nanoseconds of mtime", nanoseconds.into(), mtime.nanoseconds.into()),
            ("link count", i128::from(stat.st_nlink), nlink.into()),
        ] {
            if found != want {
                self.differ(path, what, found, want);
            }
        }
        self.kind(dir, name, &stat, &inode.kind, path);
        let found = xattrs(dir, name);
        if found != inode.attributes.xattrs {
            self.differ(path, "set of xattrs", found, &inode.attributes.xattrs);
        }
    }

    fn kind(&mut self, dir: &OwnedFd, name: &[u8], stat: &Stat, kind: &NodeKind, path: &GuestPath) {
        let found_type = FileType::from_mode_bits(u16::try_from(stat.st_mode).unwrap());
        if found_type != Some(kind.file_type()) {
            return;
        }
        match kind {
            NodeKind::CharDevice { major, minor } | NodeKind::BlockDevice { major, minor } => {
                let found = (rustix::fs::major(stat.st_rdev), rustix::fs::minor(stat.st_rdev));
                if found != (*major, *minor) {
                    self.differ(path, "device", found, (major, minor));
                }
            }
            NodeKind::Symlink { target } => {
                let found = readlinkat(dir, name, Vec::new()).unwrap();
                if found.as_bytes() != &target[..] {
                    self.differ(path, "target", found, String::from_utf8_lossy(target));
                }
            }
            NodeKind::Regular { size_bytes, content } => {
                if u64::try_from(stat.st_size).unwrap() != *size_bytes {
                    return self.differ(path, "size", stat.st_size, size_bytes);
                }
                let mut file =
                    File::from(openat(dir, name, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty()).unwrap());
                let (mut found, mut want, mut offset) = (vec![0; 1 << 16], vec![0; 1 << 16], 0);
                loop {
                    let length = file.read(&mut found).unwrap();
                    let filled = content.map_or(0, |id| {
                        let mut filled = 0;
                        while filled < length {
                            let at = offset + filled as u64;
                            filled += self.store.read_at(id, at, &mut want[filled..length]).unwrap();
                        }
                        filled
                    });
                    if found[..length] != want[..filled] {
                        return self.differ(
                            path,
                            "content",
                            format!("different from byte {offset} on"),
                            "equal",
                        );
                    }
                    offset += length as u64;
                    if length == 0 {
                        break;
                    }
                }
            }
            NodeKind::Directory { .. } | NodeKind::Fifo | NodeKind::Socket => {}
        }
    }
}

fn open_dir<Fd: std::os::fd::AsFd>(dir: Fd, name: &[u8]) -> OwnedFd {
    openat(dir, name, OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC, Mode::empty())
        .unwrap()
}

/// Returns the xattrs of `name` in `dir`, itself when it is a symlink, without the label that the
/// host's security module may add.
fn xattrs(dir: &OwnedFd, name: &[u8]) -> Xattrs {
    let dir: BorrowedFd<'_> = std::os::fd::AsFd::as_fd(dir);
    let mut path = format!("/proc/self/fd/{}/", dir.as_raw_fd()).into_bytes();
    path.extend_from_slice(name);
    let mut names = vec![0; 1 << 16];
    let length = rustix::fs::llistxattr(&path[..], &mut names[..]).unwrap();
    let names = names[..length].split(|byte| *byte == 0).filter(|name| !name.is_empty());
    let mut xattrs = Xattrs::default();
    for name in names.filter(|name| *name != b"security.selinux") {
        let mut value = vec![0; 1 << 16];
        let length = rustix::fs::lgetxattr(&path[..], name, &mut value[..])
            .unwrap_or_else(|error| panic!("{} of {}: {error}", name.escape_ascii(), path.escape_ascii()));
        value.truncate(length);
        xattrs.insert(name, value);
    }
    xattrs
}
