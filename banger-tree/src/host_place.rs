//! Places for new files on the host.

use std::collections::VecDeque;
use std::ffi::{OsStr, OsString};
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Component, Path, PathBuf};

use rustix::fs::{AtFlags, FileType, Mode, OFlags, Stat, fstat, open, stat, statat};
use rustix::io::Errno;

use crate::new_file_error::NewFileError;
use crate::resolve_error::MAX_SYMLINK_HOPS;

/// Directories that hold devices and the kernel's own files, and why a path there is refused.
const SPECIAL: [(&str, &str); 3] =
    [("/dev", "leads into /dev"), ("/proc", "leads into /proc"), ("/sys", "leads into /sys")];
/// Shared memory: ordinary files, although it lies in `/dev`.
const SHARED_MEMORY: &str = "/dev/shm";
const IS_DIRECTORY: &str = "is a directory";

/// How a new file treats an existing file of the same name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Existing {
    /// The existing file stays, and the new one is an error.
    Keep,
    /// The new file replaces it.
    Replace,
}

/// The place of a new file: an open directory and a name in it.
///
/// A place that leads into `/dev`, `/proc` or `/sys`, directly or through a symlink, is refused. A rename
/// there would replace a device or `/dev/stdout` itself.
#[derive(Debug)]
pub struct HostPlace {
    directory: OwnedFd,
    name: OsString,
}

impl HostPlace {
    /// Opens the directory of `path`. Changes nothing.
    ///
    /// # Errors
    /// The path names a directory, leads into a special one, or its directory cannot be opened.
    pub fn open(path: &Path) -> Result<Self, NewFileError> {
        let bytes = path.as_os_str().as_bytes();
        if bytes.is_empty() {
            return Err(NewFileError::Kind { reason: "is an empty path" });
        }
        // `a/b/` names a directory, also one that does not exist.
        let Some(name) = path.file_name().filter(|_| !bytes.ends_with(b"/") && !bytes.ends_with(b"/."))
        else {
            return Err(NewFileError::Kind { reason: IS_DIRECTORY });
        };
        Self::check_path(path)?;
        let parent = match path.parent() {
            Some(parent) if !parent.as_os_str().is_empty() => parent,
            _ => Path::new("."),
        };
        let failed = NewFileError::io("open the directory of");
        let directory = open(parent, DIRECTORY, Mode::empty()).map_err(failed)?;
        // Also check the open directory itself: it may have been replaced or be mounted twice.
        if let Some(reason) = special_directory(&directory).map_err(NewFileError::io("look at"))? {
            return Err(NewFileError::Kind { reason });
        }
        Ok(Self { directory, name: name.to_owned() })
    }

    /// Refuses a path for a new directory that leads into `/dev`, `/proc` or `/sys`.
    ///
    /// # Errors
    /// The path leads there, or has too many symlinks.
    pub fn check_path(path: &Path) -> Result<(), NewFileError> {
        match special(path)? {
            Some(reason) => Err(NewFileError::Kind { reason }),
            None => Ok(()),
        }
    }

    /// Returns the open directory.
    pub(crate) fn directory(&self) -> &OwnedFd {
        &self.directory
    }

    /// Returns the name in it.
    pub(crate) fn name(&self) -> &OsStr {
        &self.name
    }

    /// Returns the existing file, or `None`.
    ///
    /// # Errors
    /// The file exists and must stay, or it is not a regular file.
    pub fn check(&self, existing: Existing) -> Result<Option<Stat>, NewFileError> {
        let look = |flags| match statat(&self.directory, &self.name, flags) {
            Ok(found) => Ok(Some(found)),
            Err(Errno::NOENT) => Ok(None),
            Err(error) => Err(NewFileError::io("look at")(error)),
        };
        let Some(own) = look(AtFlags::SYMLINK_NOFOLLOW)? else { return Ok(None) };
        let is_link = FileType::from_raw_mode(own.st_mode) == FileType::Symlink;
        let found = match is_link {
            // A symlink that leads nowhere or in a circle is replaced itself.
            true => match statat(&self.directory, &self.name, AtFlags::empty()) {
                Ok(target) => target,
                Err(_) => own,
            },
            false => own,
        };
        match FileType::from_raw_mode(found.st_mode) {
            FileType::Directory => return Err(NewFileError::Kind { reason: IS_DIRECTORY }),
            FileType::RegularFile | FileType::Symlink => {}
            _ => return Err(NewFileError::Kind { reason: "is a device, pipe or socket" }),
        }
        match existing {
            Existing::Keep => Err(NewFileError::Exists),
            Existing::Replace if FileType::from_raw_mode(found.st_mode) == FileType::Symlink => Ok(None),
            Existing::Replace => Ok(Some(found)),
        }
    }
}

/// Flags for a directory on the way, which needs no permission to list it.
#[cfg(target_os = "linux")]
const DIRECTORY: OFlags = OFlags::PATH.union(OFlags::DIRECTORY).union(OFlags::CLOEXEC);
#[cfg(not(target_os = "linux"))]
const DIRECTORY: OFlags = OFlags::DIRECTORY.union(OFlags::CLOEXEC);

/// Returns the reason to refuse `path`, if it or a symlink on its way leads into a special directory.
///
/// # Errors
/// The current directory is not known, or there are too many symlinks.
fn special(path: &Path) -> Result<Option<&'static str>, NewFileError> {
    let mut at = match path.is_absolute() {
        true => PathBuf::from("/"),
        false => std::env::current_dir().map_err(NewFileError::io("find the current directory of"))?,
    };
    let mut pending: VecDeque<OsString> = components(path);
    let mut symlinks = 0;
    loop {
        if let Some(reason) = special_path(&at) {
            return Ok(Some(reason));
        }
        let Some(component) = pending.pop_front() else { return Ok(None) };
        if component == ".." {
            at.pop();
            continue;
        }
        let next = at.join(&component);
        // A missing or unreadable component leads nowhere.
        let Ok(target) = std::fs::read_link(&next) else {
            at = next;
            continue;
        };
        if special_path(&next).is_some() {
            at = next;
            continue;
        }
        symlinks += 1;
        if symlinks > MAX_SYMLINK_HOPS {
            return Err(NewFileError::io("follow the symlinks of")(Errno::LOOP));
        }
        if target.is_absolute() {
            at = PathBuf::from("/");
        }
        for component in components(&target).into_iter().rev() {
            pending.push_front(component);
        }
    }
}

fn components(path: &Path) -> VecDeque<OsString> {
    let owned = |component: Component<'_>| match component {
        Component::Normal(name) => Some(name.to_owned()),
        Component::ParentDir => Some(OsString::from("..")),
        Component::RootDir | Component::CurDir | Component::Prefix(_) => None,
    };
    path.components().filter_map(owned).collect()
}

/// Returns the reason to refuse a path without symlinks.
fn special_path(path: &Path) -> Option<&'static str> {
    if path.starts_with(SHARED_MEMORY) {
        return None;
    }
    // A path to shared memory may pass these directories, but a file cannot be in their place.
    SPECIAL
        .iter()
        .find(|(root, _)| path != Path::new(root) && path.starts_with(root))
        .map(|(_, reason)| *reason)
}

/// Returns the reason to refuse an open directory.
fn special_directory(directory: &OwnedFd) -> io::Result<Option<&'static str>> {
    let found = fstat(directory)?;
    let is_same =
        |root: &str| stat(root).is_ok_and(|root| (root.st_dev, root.st_ino) == (found.st_dev, found.st_ino));
    let named = SPECIAL.iter().find(|(root, _)| is_same(root)).map(|(_, reason)| *reason);
    Ok(named.or(special_file_system(directory)?))
}

#[cfg(target_os = "linux")]
fn special_file_system(directory: &OwnedFd) -> io::Result<Option<&'static str>> {
    const SYSFS_MAGIC: i128 = 0x6265_6572;
    let kind = i128::from(rustix::fs::fstatfs(directory)?.f_type);
    Ok(match kind {
        _ if kind == i128::from(rustix::fs::PROC_SUPER_MAGIC) => Some(SPECIAL[1].1),
        SYSFS_MAGIC => Some(SPECIAL[2].1),
        _ => None,
    })
}

#[cfg(not(target_os = "linux"))]
fn special_file_system(_directory: &OwnedFd) -> io::Result<Option<&'static str>> {
    Ok(None)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn places_in_special_directories_are_refused_whatever_leads_there() {
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().join(name);
        symlink("/dev", at("devices")).unwrap();
        symlink("devices/stdout", at("stream")).unwrap();
        symlink("/dev/nothing-there", at("dangling")).unwrap();
        symlink("/proc/self/cwd", at("cwd")).unwrap();
        symlink(dir.path(), at("self")).unwrap();
        symlink("circle", at("circle")).unwrap();
        let up = format!("{}/../../../../../../../../dev/x", dir.path().display());
        let cases = [
            (PathBuf::from("/dev/stdout"), Some("/dev")),
            (PathBuf::from("/dev/new"), Some("/dev")),
            (PathBuf::from("/dev/fd/1"), Some("/dev")),
            (PathBuf::from("/dev/./fd/../new"), Some("/dev")),
            (PathBuf::from("/proc/self/fd/1"), Some("/proc")),
            (PathBuf::from("/sys/new"), Some("/sys")),
            (PathBuf::from(up), Some("/dev")),
            (at("devices/new"), Some("/dev")),
            (at("self/devices/new"), Some("/dev")),
            (at("stream"), Some("/dev")),
            (at("dangling"), Some("/dev")),
            (at("cwd/new"), Some("/proc")),
            (at("self/self/new"), None),
            (at("new"), None),
        ];
        for (path, want) in cases {
            let found = match HostPlace::open(&path) {
                Ok(_) => None,
                Err(NewFileError::Kind { reason }) => reason.strip_prefix("leads into "),
                Err(other) => panic!("{path:?}: {other}"),
            };
            assert_eq!(found, want, "{path:?}");
        }
        assert!(matches!(HostPlace::open(&at("circle/new")), Err(NewFileError::Io { .. })));
        for path in ["", "/", "a/", "a/.", ".."] {
            assert!(matches!(HostPlace::open(Path::new(path)), Err(NewFileError::Kind { .. })), "{path:?}");
        }
    }
}
