//! The module directory of a kernel, wherever it is.

use std::fs::OpenOptions;
use std::io::{self, Read as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::PathBuf;

use rustix::fs::OFlags;

/// Gives the files of a module directory: a directory of the host, a package, an image.
///
/// Every closure of the same form is a source, too.
pub trait ModuleSource {
    /// Returns the content of a file; `None` if it does not exist.
    ///
    /// `path` is relative to `/lib/modules/<release>`, for example `modules.dep` or
    /// `kernel/fs/ext4/ext4.ko.xz`. It has no empty components, no `.` and no `..`.
    ///
    /// # Errors
    ///
    /// The file cannot be read, or it is longer than `max_bytes` ([`io::ErrorKind::FileTooLarge`]).
    fn read(&self, path: &str, max_bytes: u64) -> io::Result<Option<Vec<u8>>>;
}

impl<F: Fn(&str, u64) -> io::Result<Option<Vec<u8>>>> ModuleSource for F {
    fn read(&self, path: &str, max_bytes: u64) -> io::Result<Option<Vec<u8>>> {
        self(path, max_bytes)
    }
}

/// A module directory of the host: `/lib/modules/<release>` or a copy of it. Symlinks in it are followed.
#[derive(Clone, Debug)]
pub struct ModuleDirectory {
    directory: PathBuf,
}

impl ModuleDirectory {
    /// Returns the source for a directory.
    pub fn new(directory: impl Into<PathBuf>) -> Self {
        Self { directory: directory.into() }
    }
}

impl ModuleSource for ModuleDirectory {
    fn read(&self, path: &str, max_bytes: u64) -> io::Result<Option<Vec<u8>>> {
        // `O_NONBLOCK`: opening a FIFO would wait for its writer.
        let flags = OFlags::NONBLOCK | OFlags::NOCTTY;
        let opened = OpenOptions::new()
            .read(true)
            .custom_flags(flags.bits().cast_signed())
            .open(self.directory.join(path));
        let file = match opened {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error),
        };
        if !file.metadata()?.is_file() {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "not a regular file"));
        }
        let mut bytes = Vec::new();
        file.take(max_bytes.saturating_add(1)).read_to_end(&mut bytes)?;
        if u64::try_from(bytes.len()).is_ok_and(|length| length <= max_bytes) {
            return Ok(Some(bytes));
        }
        Err(too_large(max_bytes))
    }
}

/// Returns the error for a file that is too long.
pub(super) fn too_large(max_bytes: u64) -> io::Error {
    io::Error::new(io::ErrorKind::FileTooLarge, format!("it has more than {max_bytes} bytes"))
}
