//! An open file of the caller that an image is written to, in place.

use std::fs::{self, File, Metadata};
use std::io;
use std::os::fd::{AsFd, AsRawFd as _};
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _};

use banger_ext4::{Ext4Builder, Ext4Options, NativeBackend, device_bytes, empty_lent_file};
use camino::{Utf8Path, Utf8PathBuf};
use rustix::fs::{OFlags, fcntl_getfl, major, minor};

use crate::error::Error;
use crate::output::OutputError;

/// An open file that [`pull_to_fd`](crate::pull_to_fd) writes an image to: a regular file, or a block device. A file
/// in memory or without a name is a regular file, too.
///
/// The file must be open for reading and writing. Its position is neither used nor moved, and no lock is taken.
/// This value holds a duplicate of the file descriptor, so the caller may close its own.
#[derive(Debug)]
pub struct OutputFd {
    file: File,
    path: Utf8PathBuf,
}

impl OutputFd {
    /// Takes a file. Errors and the result of the pull call it `/dev/fd/N`, with the number of `fd`.
    ///
    /// # Errors
    /// The file is a pipe, socket, directory or character device, a mounted block device, or is not open for
    /// reading and writing at any place.
    pub fn new(fd: impl AsFd) -> Result<Self, Error> {
        let fd = fd.as_fd();
        let path = Utf8PathBuf::from(format!("/dev/fd/{}", fd.as_raw_fd()));
        let failed = OutputError::io("use", &path);
        let file = File::from(fd.try_clone_to_owned().map_err(&failed)?);
        let reason = match unfit_type(&file.metadata().map_err(&failed)?) {
            Some(reason) => Some(reason),
            None => unfit_mode(fcntl_getfl(&file).map_err(|error| failed(error.into()))?),
        };
        match reason {
            Some(reason) => Err(OutputError::OpenFile { path, reason }.into()),
            None => Ok(Self { file, path }),
        }
    }

    /// Returns `/dev/fd/N`.
    pub(crate) fn path(&self) -> &Utf8Path {
        &self.path
    }

    /// Starts an image in the file.
    pub(crate) fn begin(&self, options: &Ext4Options) -> Result<Box<dyn Ext4Builder>, Error> {
        let file = self.file.try_clone().map_err(OutputError::io("use", &self.path))?;
        let least_bytes = options.size.least_bytes();
        let device_bytes = device_bytes(&file).map_err(OutputError::io("look at", &self.path))?;
        if let Some(device_bytes) = device_bytes.filter(|bytes| *bytes < least_bytes) {
            let reason = format!("the device has {device_bytes} bytes, and the file system {least_bytes}");
            let source = io::Error::new(io::ErrorKind::StorageFull, reason);
            return Err(OutputError::io("write", &self.path)(source).into());
        }
        Ok(NativeBackend.create_in_file(file, &self.path, options)?)
    }

    /// Returns the file.
    pub(crate) fn file(&self) -> &File {
        &self.file
    }

    /// Fails if the file is `source`.
    pub(crate) fn check_not_source(&self, source: &Utf8Path) -> Result<(), OutputError> {
        let own = self.file.metadata().map_err(OutputError::io("look at", &self.path))?;
        match fs::metadata(source) {
            Ok(found) if (found.dev(), found.ino()) == (own.dev(), own.ino()) => {
                Err(OutputError::InSource { path: self.path.clone(), source_path: source.to_owned() })
            }
            // A source that cannot be opened is reported when it is opened.
            _ => Ok(()),
        }
    }

    /// Waits until the bytes are on the disk.
    pub(crate) fn flush(&self) -> Result<(), Error> {
        match self.file.sync_all() {
            // A file system that flushes nothing.
            Err(error) if error.kind() == io::ErrorKind::InvalidInput => Ok(()),
            done => Ok(done.map_err(OutputError::io("write", &self.path))?),
        }
    }

    /// Takes the image out of the file again.
    pub(crate) fn empty(&self) {
        // The caller returns the error that is the reason for this.
        let _ = empty_lent_file(&self.file);
    }
}

fn unfit_type(metadata: &Metadata) -> Option<&'static str> {
    let kind = metadata.file_type();
    if kind.is_file() || kind.is_block_device() && !is_mounted(metadata.rdev()) {
        None
    } else if kind.is_block_device() {
        Some("is mounted")
    } else if kind.is_fifo() {
        Some("is a pipe")
    } else if kind.is_socket() {
        Some("is a socket")
    } else if kind.is_dir() {
        Some("is a directory")
    } else {
        Some("is a character device")
    }
}

fn unfit_mode(flags: OFlags) -> Option<&'static str> {
    if flags & OFlags::RWMODE != OFlags::RDWR {
        Some("is not open for reading and writing")
    } else if flags.contains(OFlags::APPEND) {
        Some("is open to append")
    } else if flags.contains(OFlags::DIRECT) {
        Some("is open with O_DIRECT")
    } else {
        None
    }
}

/// Returns whether a file system on the device is mounted where this process can see it.
fn is_mounted(device: u64) -> bool {
    let number = format!("{}:{}", major(device), minor(device));
    // proc_pid_mountinfo(5): the third field is the device.
    let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
    mounts.lines().any(|mount| mount.split(' ').nth(2) == Some(number.as_str()))
}

#[cfg(test)]
mod tests {
    use std::fs::OpenOptions;
    use std::os::fd::OwnedFd;
    use std::os::unix::fs::OpenOptionsExt as _;
    use std::os::unix::net::UnixStream;

    use super::*;

    #[test]
    fn files_that_cannot_hold_an_image_are_refused_with_the_reason() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("file");
        fs::write(&path, "kept").unwrap();
        let open = |options: &mut OpenOptions| OwnedFd::from(options.open(&path).unwrap());
        let mut both = OpenOptions::new();
        both.read(true).write(true);
        let cases: [(OwnedFd, Option<&str>); 8] = [
            (open(&mut both), None),
            (open(OpenOptions::new().read(true)), Some("not open for reading and writing")),
            (open(OpenOptions::new().write(true)), Some("not open for reading and writing")),
            (open(OpenOptions::new().read(true).append(true)), Some("to append")),
            (open(both.clone().custom_flags(libc_direct())), Some("O_DIRECT")),
            (io::pipe().unwrap().1.into(), Some("is a pipe")),
            (UnixStream::pair().unwrap().0.into(), Some("is a socket")),
            (File::open(dir.path()).unwrap().into(), Some("is a directory")),
        ];
        for (fd, want) in cases {
            match (OutputFd::new(&fd), want) {
                (Ok(output), None) => assert_eq!(output.path(), format!("/dev/fd/{}", fd.as_raw_fd())),
                (Err(Error::Output(error)), Some(want)) => {
                    assert!(error.to_string().contains(want), "{error}");
                    assert_eq!(error.code(), 508);
                }
                (other, want) => panic!("{other:?}, want {want:?}"),
            }
        }
        let null = OpenOptions::new().read(true).write(true).open("/dev/null").unwrap();
        assert!(OutputFd::new(&null).unwrap_err().message().contains("is a character device"));
        assert_eq!(fs::read(&path).unwrap(), b"kept");
    }

    fn libc_direct() -> i32 {
        OFlags::DIRECT.bits().cast_signed()
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn mounted_devices_are_found() {
        let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap();
        let number = mounts.lines().next().unwrap().split(' ').nth(2).unwrap();
        let (major, minor) = number.split_once(':').unwrap();
        assert!(is_mounted(rustix::fs::makedev(major.parse().unwrap(), minor.parse().unwrap())));
        assert!(!is_mounted(rustix::fs::makedev(4000, 4000)));
    }
}
