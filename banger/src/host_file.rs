//! Files and directories of banger, opened without trust in their place.

use std::fs::{File, Metadata};
use std::io::{self, Read as _};
use std::os::fd::AsFd;
use std::os::unix::fs::MetadataExt as _;

use banger_tree::Distrust;
use camino::{Utf8Path, Utf8PathBuf};
use rustix::fs::{CWD, Mode, OFlags, openat};
use rustix::process::geteuid;

const PLAIN: OFlags = OFlags::NOFOLLOW.union(OFlags::NONBLOCK).union(OFlags::NOCTTY).union(OFlags::CLOEXEC);

/// Opens the regular file `name`, which must be no symlink, to be read.
pub(crate) fn open_plain(directory: impl AsFd, name: &str) -> io::Result<File> {
    open_regular(directory, name, OFlags::RDONLY)
}

/// Opens the regular file `path` for a lock; makes a missing file.
pub(crate) fn open_lock(path: &Utf8Path) -> io::Result<File> {
    open_regular(CWD, path.as_str(), OFlags::RDWR | OFlags::CREATE)
}

/// Opens the regular file `path`, whose last component must be no symlink.
pub(crate) fn open_plain_path(path: &Utf8Path) -> io::Result<File> {
    open_plain(CWD, path.as_str())
}

/// Opens the regular file `path`, which may be a symlink, to be read.
pub(crate) fn open_followed(path: &Utf8Path) -> io::Result<File> {
    open_with(CWD, path.as_str(), OFlags::RDONLY | PLAIN.difference(OFlags::NOFOLLOW))
}

fn open_regular(directory: impl AsFd, name: &str, flags: OFlags) -> io::Result<File> {
    open_with(directory, name, flags | PLAIN)
}

fn open_with(directory: impl AsFd, name: &str, flags: OFlags) -> io::Result<File> {
    let opened = openat(directory, name, flags, Mode::RUSR | Mode::WUSR);
    let file = File::from(opened.map_err(|error| no_symlink(error, "is a symlink, not a file"))?);
    match file.metadata()?.is_file() {
        true => Ok(file),
        false => Err(io::Error::other("is not a regular file")),
    }
}

/// Opens the directory `path`, whose last component must be no symlink.
pub(crate) fn open_directory(path: &Utf8Path) -> io::Result<File> {
    let opened = openat(CWD, path.as_str(), OFlags::RDONLY | OFlags::DIRECTORY | PLAIN, Mode::empty());
    // Linux says the same of a symlink and of a file.
    opened.map(File::from).map_err(|error| match error {
        rustix::io::Errno::NOTDIR => io::Error::other("is not a directory"),
        error => no_symlink(error, "is a symlink, not a directory"),
    })
}

fn no_symlink(error: rustix::io::Errno, reason: &'static str) -> io::Error {
    match error {
        rustix::io::Errno::LOOP => io::Error::other(reason),
        error => error.into(),
    }
}

/// Returns the content of a file of at most `limit_bytes`.
pub(crate) fn read_at_most(file: &File, limit_bytes: u64) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    file.take(limit_bytes + 1).read_to_end(&mut bytes)?;
    match bytes.len() as u64 > limit_bytes {
        true => Err(io::Error::other(format!("has more than {limit_bytes} bytes"))),
        false => Ok(bytes),
    }
}

/// Returns the reason to distrust a directory of banger: other users may have put files into it.
pub(crate) fn distrust(metadata: &Metadata, with_sticky: bool) -> Option<String> {
    let (own, owner) = (geteuid().as_raw(), metadata.uid());
    // The mode of a symlink means nothing.
    let mode = if metadata.is_symlink() { 0 } else { metadata.mode() };
    Distrust::of(owner, mode, own, with_sticky).map(|distrust| match distrust {
        Distrust::AnotherUser => format!("it belongs to the user with id {owner}, and you have id {own}"),
        Distrust::Everybody => format!("every user can write to it: its mode is {:04o}", mode & 0o7777),
    })
}

/// Returns the widest mode of a file made from `source`. Other users get at most their permissions on the
/// source. The owner may always read and write.
pub(crate) fn mode_limit(source: &Metadata) -> u32 {
    const OWNER: u32 = 0o600;
    match source.is_file() || source.is_dir() {
        true => source.mode() & 0o777 | OWNER,
        // The mode of a pipe says nothing about its bytes.
        false => 0o777,
    }
}

/// Returns the directory that has the file `path`.
pub(crate) fn parent_of(path: &Utf8Path) -> Utf8PathBuf {
    match path.parent() {
        Some(parent) if !parent.as_str().is_empty() => parent.to_owned(),
        Some(_) => ".".into(),
        None => "/".into(),
    }
}
