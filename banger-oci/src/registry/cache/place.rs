//! Opens files of the cache: only regular files of this user, and nothing through a link.
//!
//! Every program that can write to the cache can put a symlink, a FIFO or a directory in the place of a blob.
//! So opening follows no symlink and never waits, and the type is checked before and after it.

use std::fs::{self, DirBuilder, File, Metadata, OpenOptions};
use std::io;
use std::os::unix::fs::{DirBuilderExt as _, FileTypeExt as _, MetadataExt as _, OpenOptionsExt as _};

use banger_tree::{Advice, Distrust, Setting};
use camino::{Utf8Path, Utf8PathBuf};
use rustix::fs::OFlags;

use crate::registry::error::PullError;

/// The permissions of directories that are made for the cache.
const DIR_MODE: u32 = 0o700;

/// The state of a path of the cache.
#[derive(Debug)]
pub(super) enum Place {
    /// A regular file, opened.
    File(File),
    Nothing,
    /// Something else, which has been removed.
    Removed,
}

/// The purpose of an open.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Purpose {
    Read,
    /// To read and write; a missing file is made.
    Write,
}

/// Opens the regular file at `path`. Anything else there is removed, except a directory that is not empty.
pub(super) fn open(path: &Utf8Path, purpose: Purpose) -> Result<Place, PullError> {
    let failed = |error| PullError::io("open", path)(error);
    match fs::symlink_metadata(path) {
        Ok(metadata) if is_usable(&metadata, purpose) => {}
        Ok(metadata) => return remove(path, &metadata).map(|()| Place::Removed),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            if purpose == Purpose::Read {
                return Ok(Place::Nothing);
            }
        }
        Err(error) => return Err(failed(error)),
    }
    // `NONBLOCK` has no effect on regular files. Another file may be there by now.
    let flags = OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::NOCTTY;
    let mut options = OpenOptions::new();
    options.read(true).custom_flags(flags.bits().cast_signed());
    if purpose == Purpose::Write {
        options.write(true).create(true).truncate(false);
    }
    let file = match options.open(path) {
        Ok(file) => file,
        Err(error) if purpose == Purpose::Write => return Err(PullError::io("create", path)(error)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Place::Nothing),
        Err(error) => return Err(failed(error)),
    };
    let metadata = file.metadata().map_err(failed)?;
    match is_usable(&metadata, purpose) {
        true => Ok(Place::File(file)),
        false => remove(path, &metadata).map(|()| Place::Removed),
    }
}

/// Whether this is a file of the cache. One that is written to must not have another name
/// somewhere else, whose content would change with it.
fn is_usable(metadata: &Metadata, purpose: Purpose) -> bool {
    metadata.is_file() && (purpose == Purpose::Read || metadata.nlink() <= 1)
}

/// Removes an object that is not a file of the cache.
fn remove(path: &Utf8Path, metadata: &Metadata) -> Result<(), PullError> {
    let removed = if metadata.is_dir() { fs::remove_dir(path) } else { fs::remove_file(path) };
    match removed {
        Ok(()) => Ok(()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(PullError::CachePlace {
            path: path.to_owned(),
            reason: format!("it is {}, not a file, and cannot be removed ({error})", kind(metadata)),
            advice: Advice::new("remove it"),
        }),
    }
}

fn kind(metadata: &Metadata) -> &'static str {
    let kind = metadata.file_type();
    if kind.is_dir() {
        "a directory"
    } else if kind.is_symlink() {
        "a symlink"
    } else if kind.is_fifo() {
        "a FIFO"
    } else if kind.is_socket() {
        "a socket"
    } else if kind.is_file() {
        "a file with another name"
    } else {
        "a device"
    }
}

/// Makes the directory `path` and its parents, for its owner only, and checks it.
///
/// # Errors
///
/// [`PullError::Io`], and the errors of [`check_own_directory`].
pub(super) fn make_directory(path: &Utf8Path) -> Result<(), PullError> {
    DirBuilder::new()
        .recursive(true)
        .mode(DIR_MODE)
        .create(path)
        .map_err(PullError::io("create the cache directory", path))?;
    check_own_directory(path)
}

/// Checks that only the owner can change files in a directory, and that the owner is the current user or
/// root. A missing directory passes.
///
/// # Errors
///
/// [`PullError::CachePlace`] if another user can change files, and [`PullError::Io`].
pub fn check_own_directory(path: &Utf8Path) -> Result<(), PullError> {
    let metadata = match fs::metadata(path) {
        Ok(metadata) => metadata,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(PullError::io("read", path)(error)),
    };
    let own = rustix::process::geteuid().as_raw();
    match complaint(metadata.uid(), metadata.mode(), own, path) {
        None => Ok(()),
        Some((reason, advice)) => Err(PullError::CachePlace { path: path.to_owned(), reason, advice }),
    }
}

/// Returns the fault in owner or mode of a directory, and the next step.
fn complaint(owner: u32, mode: u32, own: u32, path: &Utf8Path) -> Option<(String, Advice)> {
    Distrust::of(owner, mode, own, true).map(|distrust| match distrust {
        Distrust::AnotherUser => (
            format!("it belongs to user {owner}, and you are user {own}"),
            Advice::with_setting("set {setting} to a directory of your own", Setting("cache_dir")),
        ),
        Distrust::Everybody => (
            format!("every user can write to it (mode {:o})", mode & 0o7777),
            Advice::new(format!("run `chmod o-w {}`", quoted(path))),
        ),
    })
}

/// Returns a path quoted for a shell.
fn quoted(path: &Utf8Path) -> Utf8PathBuf {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "/._-+:@%,=".contains(c);
    match path.as_str().chars().all(is_plain) {
        true => path.to_owned(),
        false => format!("'{}'", path.as_str().replace('\'', r"'\''")).into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn directories_of_others_are_refused() {
        for (owner, mode, own, text) in [
            (1000, 0o700, 1000, None),
            (1000, 0o755, 1000, None),
            (0, 0o755, 1000, None),
            (0, 0o1777, 1000, None),
            (1001, 0o755, 1000, Some("belongs to user 1001")),
            (1001, 0o755, 0, Some("belongs to user 1001")),
            (1000, 0o775, 1000, None),
            (1000, 0o777, 1000, Some("chmod o-w '/a b'")),
            (1000, 0o2772, 1000, Some("(mode 2772)")),
            (0, 0o777, 0, Some("every user can write")),
        ] {
            let found = complaint(owner, mode, own, Utf8Path::new("/a b"));
            match text {
                None => assert_eq!(found, None, "{owner} {mode:o} {own}"),
                Some(text) => {
                    let (reason, advice) = found.expect("somebody else can change it");
                    assert!(format!("{reason}; {advice}").contains(text), "{reason}; {advice}");
                }
            }
        }
    }
}
