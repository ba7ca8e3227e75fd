//! Extended attributes of files of the host.

use std::ffi::OsStr;
use std::os::fd::BorrowedFd;
use std::os::unix::ffi::OsStrExt as _;

use rustix::fs::{fgetxattr, flistxattr};
use rustix::io::{Errno, Result};

/// Linux's `XATTR_LIST_MAX` and `XATTR_SIZE_MAX`.
const MAX_LEN: usize = 65_536;

/// Reads extended attributes; keeps its buffers from file to file.
#[derive(Debug)]
pub(super) struct XattrReader {
    list: Vec<u8>,
    value: Vec<u8>,
}

/// The object with the attributes.
#[derive(Clone, Copy, Debug)]
pub(super) enum Owner<'a> {
    /// An open file or directory.
    Open(BorrowedFd<'a>),
    /// An object that must not be opened: a symlink, a device, a FIFO, a socket.
    Named {
        /// The open directory it is in.
        dir: BorrowedFd<'a>,
        /// Its name there.
        name: &'a [u8],
    },
}

impl XattrReader {
    pub(super) fn new() -> Self {
        Self { list: vec![0; MAX_LEN], value: vec![0; MAX_LEN] }
    }

    /// Calls `take` with every name and value, in the order the host lists them.
    pub(super) fn read(&mut self, owner: Owner<'_>, mut take: impl FnMut(&[u8], &[u8])) -> Result<()> {
        let owner = Place::of(owner);
        let length = match owner.list(&mut self.list) {
            // The file system has no extended attributes.
            Err(Errno::OPNOTSUPP) => return Ok(()),
            other => other?,
        };
        for name in self.list[..length].split(|byte| *byte == 0).filter(|name| !name.is_empty()) {
            match owner.value(name, &mut self.value) {
                Ok(length) => take(name, &self.value[..length]),
                // Listed, and removed since.
                Err(Errno::NODATA) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }
}

/// How the system calls reach an [`Owner`].
enum Place<'a> {
    Open(BorrowedFd<'a>),
    #[cfg(target_os = "linux")]
    Path(std::path::PathBuf),
    #[cfg(not(target_os = "linux"))]
    Nowhere,
}

impl<'a> Place<'a> {
    #[cfg(target_os = "linux")]
    fn of(owner: Owner<'a>) -> Self {
        use std::os::fd::AsRawFd as _;
        match owner {
            Owner::Open(file) => Self::Open(file),
            // No call takes a directory and a name; this path is short however deep the name is,
            // and only its last part is the tree's.
            Owner::Named { dir, name } => {
                let dir = format!("/proc/self/fd/{}", dir.as_raw_fd());
                Self::Path(std::path::Path::new(&dir).join(OsStr::from_bytes(name)))
            }
        }
    }

    #[cfg(not(target_os = "linux"))]
    fn of(owner: Owner<'a>) -> Self {
        match owner {
            Owner::Open(file) => Self::Open(file),
            // Only under Linux these files have attributes that ext4 keeps.
            Owner::Named { .. } => Self::Nowhere,
        }
    }

    fn list(&self, list: &mut [u8]) -> Result<usize> {
        match self {
            Self::Open(file) => flistxattr(file, list),
            #[cfg(target_os = "linux")]
            Self::Path(path) => rustix::fs::llistxattr(path, list),
            #[cfg(not(target_os = "linux"))]
            Self::Nowhere => Ok(0),
        }
    }

    fn value(&self, name: &[u8], value: &mut [u8]) -> Result<usize> {
        let name = OsStr::from_bytes(name);
        match self {
            Self::Open(file) => fgetxattr(file, name, value),
            #[cfg(target_os = "linux")]
            Self::Path(path) => rustix::fs::lgetxattr(path, name, value),
            #[cfg(not(target_os = "linux"))]
            Self::Nowhere => Err(Errno::NODATA),
        }
    }
}
