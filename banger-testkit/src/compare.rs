//! Directory trees read back with all their attributes, and compared.

use std::collections::BTreeMap;
use std::fmt;
use std::fs::File;
use std::io::Read;
use std::os::fd::AsRawFd;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use banger_tree::FileType;
use rustix::fs::{AtFlags, Mode, OFlags};
use sha2::{Digest, Sha256};

/// A tree by path: relative, without a slash in front; the root's is empty.
pub type Snapshot = BTreeMap<Vec<u8>, Entry>;

/// All that a tree says of one path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// The file type.
    pub kind: FileType,
    /// Permission bits with setuid, setgid and sticky.
    pub mode: u32,
    /// Owner.
    pub uid: u32,
    /// Group.
    pub gid: u32,
    /// Length of a regular file or symlink; zero for the rest.
    pub size_bytes: u64,
    /// Seconds since 1970 and nanoseconds after them.
    pub mtime: (i64, u32),
    /// Every xattr the kernel lists.
    pub xattrs: BTreeMap<Vec<u8>, Vec<u8>>,
    /// Major and minor number of a device.
    pub device: Option<(u32, u32)>,
    /// A symlink's target.
    pub target: Option<Vec<u8>>,
    /// The SHA-256 of a regular file's content.
    pub sha256: Option<[u8; 32]>,
    /// Link count of anything but a directory; zero for directories.
    pub links: u64,
    /// For what has several names in the tree: the first of them in byte order.
    pub first_name: Option<Vec<u8>>,
}

/// Differences that a comparison leaves out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Ignore {
    /// The mtime of the root directory, which `mkfs -d` makes its own.
    pub root_mtime: bool,
    /// An empty `lost+found` that only one side has.
    pub lost_and_found: bool,
}

impl Ignore {
    /// What an ext4 image may add to the tree it was made from.
    pub const MKFS: Self = Self { root_mtime: true, lost_and_found: true };
}

/// Reads the tree at `root`; symlinks are not followed.
///
/// # Panics
///
/// When something below `root` cannot be read, with its path.
#[must_use]
pub fn snapshot(root: &Path) -> Snapshot {
    let mut walker = Walker::default();
    let dir = File::open(root).unwrap_or_else(|error| panic!("{}: {error}", root.display()));
    let device = rustix::fs::fstat(&dir).expect("an open directory has a status").st_dev;
    walker.device = device;
    walker.visit(&dir, Path::new("."), Vec::new());
    walker.finish()
}

#[derive(Default)]
struct Walker {
    device: u64,
    entries: Snapshot,
    names: BTreeMap<u64, Vec<Vec<u8>>>,
}

impl Walker {
    /// Reads `name` in the open directory `parent` and what is below it.
    ///
    /// Names are resolved one at a time, so that the tree's depth is not bound
    /// by the kernel's limit on a path.
    fn visit(&mut self, parent: &File, name: &Path, path: Vec<u8>) {
        let fail = |what: &str, error: &dyn fmt::Display| -> ! { panic!("{what} {}: {error}", show(&path)) };
        let stat = rustix::fs::statat(parent, name, AtFlags::SYMLINK_NOFOLLOW)
            .unwrap_or_else(|error| fail("stat", &error));
        let kind = u16::try_from(stat.st_mode)
            .ok()
            .and_then(FileType::from_mode_bits)
            .unwrap_or_else(|| fail("stat", &"a file type the kernel does not have"));
        let has_size = matches!(kind, FileType::Regular | FileType::Symlink);
        let is_device = matches!(kind, FileType::CharDevice | FileType::BlockDevice);
        let open =
            |flags| rustix::fs::openat(parent, name, flags | OFlags::CLOEXEC, Mode::empty()).map(File::from);
        // The xattr calls take paths only; this one is short, and names the entry itself.
        let by_fd = PathBuf::from(format!("/proc/self/fd/{}", parent.as_raw_fd())).join(name);
        let mut entry = Entry {
            kind,
            mode: stat.st_mode & 0o7777,
            uid: stat.st_uid,
            gid: stat.st_gid,
            size_bytes: if has_size {
                u64::try_from(stat.st_size).expect("sizes are not negative")
            } else {
                0
            },
            mtime: (stat.st_mtime, u32::try_from(stat.st_mtime_nsec).expect("less than a second")),
            xattrs: xattrs(&by_fd).unwrap_or_else(|error| fail("xattrs of", &error)),
            device: is_device.then(|| (rustix::fs::major(stat.st_rdev), rustix::fs::minor(stat.st_rdev))),
            target: None,
            sha256: None,
            links: 0,
            first_name: None,
        };
        match kind {
            FileType::Symlink => {
                let target = rustix::fs::readlinkat(parent, name, Vec::new())
                    .unwrap_or_else(|error| fail("readlink", &error));
                entry.target = Some(target.into_bytes());
            }
            FileType::Regular => {
                let file =
                    open(OFlags::RDONLY | OFlags::NOFOLLOW).unwrap_or_else(|error| fail("open", &error));
                entry.sha256 = Some(hash(file).unwrap_or_else(|error| fail("read", &error)));
            }
            FileType::Directory => {
                let dir = open(OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::DIRECTORY)
                    .unwrap_or_else(|error| fail("open", &error));
                for child in children(&dir).unwrap_or_else(|error| fail("list", &error)) {
                    let mut below = path.clone();
                    if !below.is_empty() {
                        below.push(b'/');
                    }
                    below.extend(child.as_os_str().as_bytes());
                    self.visit(&dir, &child, below);
                }
            }
            _ => {}
        }
        if kind != FileType::Directory {
            entry.links = stat.st_nlink;
            if stat.st_dev == self.device && stat.st_nlink > 1 {
                self.names.entry(stat.st_ino).or_default().push(path.clone());
            }
        }
        self.entries.insert(path, entry);
    }

    fn finish(mut self) -> Snapshot {
        for names in self.names.values().filter(|names| names.len() > 1) {
            let first = names.iter().min().expect("there are several");
            for name in names {
                if let Some(entry) = self.entries.get_mut(name) {
                    entry.first_name = Some(first.clone());
                }
            }
        }
        self.entries
    }
}

fn children(dir: &File) -> rustix::io::Result<Vec<PathBuf>> {
    let mut names = Vec::new();
    for child in rustix::fs::Dir::read_from(dir)? {
        let child = child?;
        let name = child.file_name().to_bytes();
        if name != b"." && name != b".." {
            names.push(PathBuf::from(std::ffi::OsStr::from_bytes(name)));
        }
    }
    Ok(names)
}

fn xattrs(path: &Path) -> rustix::io::Result<BTreeMap<Vec<u8>, Vec<u8>>> {
    // The kernel's limits on the list and on one value.
    let mut list = vec![0_u8; 65536];
    let length = rustix::fs::llistxattr(path, &mut list[..])?;
    let mut found = BTreeMap::new();
    for name in list[..length].split(|&byte| byte == 0) {
        if name.is_empty() {
            continue;
        }
        let mut value = vec![0_u8; 65536];
        let length = rustix::fs::lgetxattr(path, name, &mut value[..])?;
        value.truncate(length);
        found.insert(name.to_vec(), value);
    }
    Ok(found)
}

fn hash(mut file: File) -> std::io::Result<[u8; 32]> {
    let mut hasher = Sha256::new();
    let mut buffer = vec![0; 256 * 1024];
    loop {
        match file.read(&mut buffer)? {
            0 => return Ok(hasher.finalize().into()),
            length => hasher.update(&buffer[..length]),
        }
    }
}

/// Every difference between two trees, one line each, in path order; empty when equal.
#[must_use]
pub fn diff(left: &Snapshot, right: &Snapshot) -> Vec<String> {
    diff_ignoring(left, right, Ignore::default())
}

/// [`diff`] without the differences that `ignore` names.
#[must_use]
pub fn diff_ignoring(left: &Snapshot, right: &Snapshot, ignore: Ignore) -> Vec<String> {
    let skipped = |path: &[u8], other: &Snapshot| {
        ignore.lost_and_found && path == b"lost+found" && !other.contains_key(path)
    };
    let has_children = |tree: &Snapshot| {
        tree.range(b"lost+found/".to_vec()..).next().is_some_and(|(path, _)| path.starts_with(b"lost+found/"))
    };
    let mut lines = Vec::new();
    let mut paths: Vec<&Vec<u8>> = left.keys().chain(right.keys()).collect();
    paths.sort_unstable();
    paths.dedup();
    for path in paths {
        match (left.get(path), right.get(path)) {
            (Some(a), Some(b)) => {
                let ignore_mtime = ignore.root_mtime && path.is_empty();
                for change in changes(a, b, ignore_mtime) {
                    lines.push(format!("{}: {change}", show(path)));
                }
            }
            (Some(a), None) if !skipped(path, right) || has_children(left) => {
                lines.push(format!("{}: only on the left ({:?})", show(path), a.kind));
            }
            (None, Some(b)) if !skipped(path, left) || has_children(right) => {
                lines.push(format!("{}: only on the right ({:?})", show(path), b.kind));
            }
            _ => {}
        }
    }
    lines
}

/// Fails the test when the trees differ, with the first differences.
///
/// # Panics
///
/// When [`diff_ignoring`] has any.
#[track_caller]
pub fn assert_same_tree(left: &Snapshot, right: &Snapshot, ignore: Ignore) {
    const SHOWN: usize = 40;
    let lines = diff_ignoring(left, right, ignore);
    assert!(
        lines.is_empty(),
        "{} differences between {} entries on the left and {} on the right:\n{}",
        lines.len(),
        left.len(),
        right.len(),
        lines[..lines.len().min(SHOWN)].join("\n")
    );
}

fn changes(a: &Entry, b: &Entry, ignore_mtime: bool) -> Vec<String> {
    let mut found = Vec::new();
    if a.kind != b.kind {
        found.push(format!("type {:?} != {:?}", a.kind, b.kind));
        return found;
    }
    let mut check = |what: &str, a: String, b: String| {
        if a != b {
            found.push(format!("{what} {a} != {b}"));
        }
    };
    check("mode", format!("{:04o}", a.mode), format!("{:04o}", b.mode));
    check("uid", a.uid.to_string(), b.uid.to_string());
    check("gid", a.gid.to_string(), b.gid.to_string());
    check("size", a.size_bytes.to_string(), b.size_bytes.to_string());
    if !ignore_mtime {
        check("mtime", show_time(a.mtime), show_time(b.mtime));
    }
    check("device", format!("{:?}", a.device), format!("{:?}", b.device));
    check("target", show_option(&a.target), show_option(&b.target));
    check("content", show_hash(a.sha256), show_hash(b.sha256));
    check("link count", a.links.to_string(), b.links.to_string());
    check("first name", show_option(&a.first_name), show_option(&b.first_name));
    let mut names: Vec<_> = a.xattrs.keys().chain(b.xattrs.keys()).collect();
    names.sort_unstable();
    names.dedup();
    for name in names {
        check(
            &format!("xattr {}", show(name)),
            show_option(&a.xattrs.get(name).cloned()),
            show_option(&b.xattrs.get(name).cloned()),
        );
    }
    found
}

fn show(bytes: &[u8]) -> String {
    if bytes.is_empty() { "(root)".to_owned() } else { bytes.escape_ascii().to_string() }
}

fn show_option(bytes: &Option<Vec<u8>>) -> String {
    bytes.as_ref().map_or_else(|| "none".to_owned(), |bytes| format!("\"{}\"", bytes.escape_ascii()))
}

fn show_time((seconds, nanoseconds): (i64, u32)) -> String {
    format!("{seconds}+{nanoseconds:09}ns")
}

fn show_hash(hash: Option<[u8; 32]>) -> String {
    hash.map_or_else(
        || "none".to_owned(),
        |hash| hash[..8].iter().map(|byte| format!("{byte:02x}")).collect(),
    )
}
