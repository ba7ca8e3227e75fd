//! Attributes of files of this host, set as far as the user of this process may.

use std::ffi::OsStr;
use std::io;
use std::os::fd::BorrowedFd;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

use banger_tree::{Attributes, GuestPath, Timestamp, escape_bytes};
use rustix::fs::{
    AtFlags, Gid, Mode, Timespec, Timestamps, Uid, XattrFlags, chownat, fchmod, fchown, fsetxattr, futimens,
    lsetxattr, utimensat,
};
use rustix::io::Errno;

use super::report::GetReport;

const SET_IDS: u16 = 0o6000;

/// A file that was made.
#[derive(Clone, Copy)]
pub(super) enum MadeFile<'a> {
    /// It is open.
    Open(BorrowedFd<'a>),
    /// It must not be opened: a symlink, device, FIFO or socket.
    Named {
        /// The open directory that it is in.
        dir: BorrowedFd<'a>,
        /// Its name there.
        name: &'a [u8],
        /// Whether it is a symlink, which has no mode.
        is_symlink: bool,
    },
}

impl MadeFile<'_> {
    /// Sets owner, extended attributes, mode and time, in the order that keeps each of them.
    pub(super) fn set_attributes(
        self,
        path: &GuestPath,
        attributes: &Attributes,
        report: &mut GetReport,
    ) -> io::Result<()> {
        let (uid, gid) = (Uid::from_raw(attributes.uid), Gid::from_raw(attributes.gid));
        let has_owner = match self.chown(uid, gid) {
            Ok(()) => true,
            // Not allowed, or not known in this user namespace.
            Err(Errno::PERM | Errno::INVAL) => {
                report.without_owner += 1;
                false
            }
            Err(error) => return Err(error.into()),
        };
        for (name, value) in attributes.xattrs.iter() {
            if let Err(error) = self.set_xattr(name, value) {
                report.without_xattrs += 1;
                let name = escape_bytes(name);
                report.warn(path, &format!("does not have the extended attribute {name}: {error}"));
            }
        }
        // With another owner these bits would give other rights.
        let kept = if has_owner { 0o7777 } else { 0o7777 & !SET_IDS };
        self.chmod(Mode::from_bits_truncate((attributes.mode & kept).into()))?;
        Ok(self.set_time(attributes.mtime)?)
    }

    fn chown(self, uid: Uid, gid: Gid) -> rustix::io::Result<()> {
        match self {
            Self::Open(file) => fchown(file, Some(uid), Some(gid)),
            Self::Named { dir, name, .. } => {
                chownat(dir, name, Some(uid), Some(gid), AtFlags::SYMLINK_NOFOLLOW)
            }
        }
    }

    fn set_xattr(self, name: &[u8], value: &[u8]) -> rustix::io::Result<()> {
        match self {
            Self::Open(file) => fsetxattr(file, name, value, XattrFlags::empty()),
            Self::Named { dir, name: file, .. } => {
                lsetxattr(named(dir, file).ok_or(Errno::OPNOTSUPP)?, name, value, XattrFlags::empty())
            }
        }
    }

    fn chmod(self, mode: Mode) -> rustix::io::Result<()> {
        match self {
            Self::Open(file) => fchmod(file, mode),
            Self::Named { is_symlink: true, .. } => Ok(()),
            // Nobody else can replace it by a symlink: the directory is private so far.
            Self::Named { dir, name, .. } => rustix::fs::chmodat(dir, name, mode, AtFlags::empty()),
        }
    }

    fn set_time(self, time: Timestamp) -> rustix::io::Result<()> {
        let time = Timespec { tv_sec: time.seconds, tv_nsec: time.nanoseconds.into() };
        let times = Timestamps { last_access: time, last_modification: time };
        match self {
            Self::Open(file) => futimens(file, &times),
            Self::Named { dir, name, .. } => utimensat(dir, name, &times, AtFlags::SYMLINK_NOFOLLOW),
        }
    }
}

/// Returns a short path of `name` in `dir`: no call takes a directory and a name. Only the last part is not the host's.
#[cfg(target_os = "linux")]
fn named(dir: BorrowedFd<'_>, name: &[u8]) -> Option<PathBuf> {
    use std::os::fd::AsRawFd as _;
    let dir = format!("/proc/self/fd/{}", dir.as_raw_fd());
    Some(Path::new(&dir).join(OsStr::from_bytes(name)))
}

/// Returns no path.
#[cfg(not(target_os = "linux"))]
fn named(_dir: BorrowedFd<'_>, _name: &[u8]) -> Option<PathBuf> {
    None
}
