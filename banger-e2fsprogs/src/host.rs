//! Errors of the host, and removal of trees of any depth.

use std::ffi::OsStr;
use std::fs;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;

use camino::Utf8Path;
use rustix::fs::{AtFlags, Dir, FileType, Mode, OFlags, openat, renameat, unlinkat};
use rustix::io::Errno;

use banger_ext4::Ext4Error;

/// Returns the error that the host failed to `action` `path`.
pub(crate) fn failed(action: &'static str, path: &Utf8Path, error: impl Into<io::Error>) -> Ext4Error {
    Ext4Error::Io { action, path: path.to_owned(), source: error.into() }
}

/// Removes `root` with everything below; `root` must have no names like `removed-…`. Directories are moved up
/// to `root` before they are emptied. So path lengths and open files do not grow with the depth of the tree.
pub(crate) fn remove_tree(root: &Utf8Path) -> io::Result<()> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let top = openat(rustix::fs::CWD, root.as_std_path(), flags, Mode::empty())?;
    let mut pending = Vec::new();
    let mut moved = 0_u64;
    for name in entries(&top)? {
        match name {
            (name, true) => pending.push(name),
            (name, false) => unlinkat(&top, OsStr::from_bytes(&name), AtFlags::empty())?,
        }
    }
    while let Some(name) = pending.pop() {
        let dir = openat(&top, OsStr::from_bytes(&name), flags, Mode::empty())?;
        for (entry, is_dir) in entries(&dir)? {
            if !is_dir {
                unlinkat(&dir, OsStr::from_bytes(&entry), AtFlags::empty())?;
                continue;
            }
            let new_name = format!("removed-{moved}");
            moved += 1;
            renameat(&dir, OsStr::from_bytes(&entry), &top, &new_name)?;
            pending.push(new_name.into_bytes());
        }
        unlinkat(&top, OsStr::from_bytes(&name), AtFlags::REMOVEDIR)?;
    }
    fs::remove_dir(root)
}

/// Makes a FIFO or a socket.
#[cfg(not(target_vendor = "apple"))]
pub(crate) fn make_special(dir: &OwnedFd, name: &OsStr, file_type: FileType) -> Result<(), Errno> {
    rustix::fs::mknodat(dir, name, file_type, Mode::RUSR | Mode::WUSR, 0)
}

/// Makes a FIFO or a socket, which no call of this host does in an open directory.
#[cfg(target_vendor = "apple")]
pub(crate) fn make_special(_dir: &OwnedFd, _name: &OsStr, _file_type: FileType) -> Result<(), Errno> {
    Err(Errno::NOTSUP)
}

/// Returns the names in `dir` and whether each is a directory.
fn entries(dir: &OwnedFd) -> io::Result<Vec<(Vec<u8>, bool)>> {
    let mut names = Vec::new();
    for entry in Dir::read_from(dir)? {
        let entry = entry?;
        let name = entry.file_name().to_bytes();
        if name == b"." || name == b".." {
            continue;
        }
        let is_dir = match entry.file_type() {
            FileType::Unknown => {
                let stat = rustix::fs::statat(dir, entry.file_name(), AtFlags::SYMLINK_NOFOLLOW)?;
                FileType::from_raw_mode(stat.st_mode).is_dir()
            }
            file_type => file_type.is_dir(),
        };
        names.push((name.to_vec(), is_dir));
    }
    Ok(names)
}
