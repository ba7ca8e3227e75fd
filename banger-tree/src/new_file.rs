//! A new file on the host: it lies beside its place until it is complete, and one rename publishes it.

use std::ffi::{CStr, OsStr, OsString};
use std::fs::File;
use std::hash::{BuildHasher as _, RandomState};
use std::io::{self, Write};
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

use rustix::fs::{
    AtFlags, Dir, FileType, FlockOperation, Gid, Mode, OFlags, RenameFlags, Stat, fchmod, fchown, flock,
    fstat, linkat, open, openat, renameat, renameat_with, statat, unlinkat,
};
use rustix::io::Errno;
use rustix::process::geteuid;

use crate::host_place::{Existing, HostPlace};
use crate::locked_file::LockedFile;
use crate::new_file_error::NewFileError;

/// Start of the name of a file under construction.
const PREFIX: &[u8] = b".banger-";
const SUFFIX: &[u8] = b".new";
const DIGITS: usize = 16;
/// The mode of a file under construction.
const PRIVATE: u32 = 0o600;
/// Permission bits of a new file: no set-user-id, set-group-id or sticky bit.
const PERMISSIONS: u32 = 0o777;

/// A file that appears at its place when it is complete, or not at all; removed on drop.
///
/// Until then it lies in the same directory under a random name, and only its owner can read it. It is made
/// with `O_EXCL` and `O_NOFOLLOW`, so that no other process can put a file or a symlink in its place. Files
/// that killed processes of this user left beside the place are removed first.
///
/// ```
/// use std::io::Write as _;
///
/// use banger_tree::{Existing, NewFile};
///
/// let dir = tempfile::tempdir()?;
/// let path = dir.path().join("hosts");
/// let mut file = NewFile::create(&path, 0o666)?;
/// file.write_all(b"127.0.0.1 vm\n")?;
/// assert!(!path.exists());
/// file.publish(Existing::Keep)?;
/// assert_eq!(std::fs::read(&path)?, b"127.0.0.1 vm\n");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct NewFile {
    place: HostPlace,
    /// The directory that has the file until it is published.
    from: OwnedFd,
    /// The path of the file until then.
    path: PathBuf,
    temporary: OsString,
    file: LockedFile,
    /// The mode of the caller without the bits of the umask.
    granted: u32,
    /// The permissions of the file's source.
    limit: u32,
    wait_for_disk: bool,
    is_published: bool,
}

impl NewFile {
    /// Makes a file for the place `path`. Its mode will be `mode` without the bits of the umask.
    ///
    /// # Errors
    /// The place leads into `/dev`, `/proc` or `/sys`, or the host refuses.
    pub fn create(path: &Path, mode: u32) -> Result<Self, NewFileError> {
        let place = HostPlace::open(path)?;
        sweep(place.directory());
        // An empty file shows the umask: a file with bytes must never have a wider mode than in the end.
        let (probe, file) = make(place.directory(), mode & PERMISSIONS)?;
        let granted = fstat(&file).map(|found| permissions(&found));
        // If this fails, the next new file removes it.
        let _ = unlinkat(place.directory(), &probe, AtFlags::empty());
        let granted = granted.map_err(NewFileError::io("look at"))? & mode;
        let (temporary, file) = make(place.directory(), PRIVATE)?;
        let from = place.directory().try_clone().map_err(NewFileError::io("open the directory of"))?;
        let path = path.with_file_name(&temporary);
        let (limit, wait_for_disk, is_published) = (PERMISSIONS, true, false);
        Ok(Self { place, from, path, temporary, file, granted, limit, wait_for_disk, is_published })
    }

    /// Takes over the file `path`, which lies in a directory that only its user can write to. Its mode will
    /// be `mode`, but never wider than its mode now.
    ///
    /// # Errors
    /// The file is not a regular file of this user with one name, or the host refuses.
    pub fn adopt(place: HostPlace, path: &Path, mode: u32) -> Result<Self, NewFileError> {
        let no_file = NewFileError::Kind { reason: "was replaced while it was written" };
        let (Some(parent), Some(name)) = (path.parent(), path.file_name()) else { return Err(no_file) };
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let from = open(parent, flags | OFlags::DIRECTORY, Mode::empty());
        let from = from.map_err(NewFileError::io("open the directory of"))?;
        let file = openat(&from, name, flags | OFlags::NONBLOCK, Mode::empty());
        let file = File::from(file.map_err(NewFileError::io("open"))?);
        let found = fstat(&file).map_err(NewFileError::io("look at"))?;
        let is_regular = FileType::from_raw_mode(found.st_mode) == FileType::RegularFile;
        if !is_regular || found.st_uid != geteuid().as_raw() || found.st_nlink != 1 {
            return Err(no_file);
        }
        Ok(Self {
            place,
            from,
            path: path.to_owned(),
            temporary: name.to_owned(),
            file: LockedFile::of(file),
            granted: permissions(&found) & mode,
            limit: PERMISSIONS,
            wait_for_disk: true,
            is_published: false,
        })
    }

    /// Removes every permission that `mode`, the mode of the file's source, does not have.
    #[must_use]
    pub fn limited_to(mut self, mode: u32) -> Self {
        self.limit &= mode;
        self
    }

    /// Does not wait until the file is on the disk. Use it for files that can be made again.
    #[must_use]
    pub fn without_flush(mut self) -> Self {
        self.wait_for_disk = false;
        self
    }

    /// Appends `bytes`.
    ///
    /// # Errors
    /// The host refuses.
    pub fn write_bytes(&mut self, bytes: &[u8]) -> Result<(), NewFileError> {
        (&*self.file).write_all(bytes).map_err(NewFileError::io("write"))
    }

    /// Returns the open file.
    pub fn file(&self) -> &File {
        &self.file
    }

    /// Returns the path of the file before it is published, for a signal handler that removes it.
    pub fn temporary_path(&self) -> &Path {
        &self.path
    }

    /// Gives the file its mode and its name. Both are on the disk when this returns.
    ///
    /// A file that replaces another one keeps the mode of the replaced file. The limit of
    /// [`limited_to`](Self::limited_to) holds in both cases.
    ///
    /// # Errors
    /// A file exists and must stay, or the host refuses. Then nothing has changed, unless only the flush of
    /// the directory failed.
    pub fn publish(mut self, existing: Existing) -> Result<(), NewFileError> {
        let replaced = self.place.check(existing)?;
        self.set_mode(replaced.as_ref()).map_err(NewFileError::io("set the mode of"))?;
        if self.wait_for_disk {
            self.file.sync_all().map_err(NewFileError::io("flush"))?;
        }
        self.rename(existing).map_err(|error| match error {
            Errno::EXIST if existing == Existing::Keep => NewFileError::Exists,
            Errno::ISDIR => NewFileError::Kind { reason: "is a directory" },
            error => NewFileError::io("write")(error),
        })?;
        self.is_published = true;
        match self.wait_for_disk {
            true => sync_directory(self.place.directory()).map_err(NewFileError::io("flush")),
            false => Ok(()),
        }
    }

    fn set_mode(&self, replaced: Option<&Stat>) -> rustix::io::Result<()> {
        let own = fstat(&self.file)?;
        let mut mode = self.granted;
        if let Some(replaced) = replaced {
            mode = permissions(replaced);
            let gives_group = || {
                let is_ours = replaced.st_uid == geteuid().as_raw();
                is_ours && fchown(&self.file, None, Some(Gid::from_raw(replaced.st_gid))).is_ok()
            };
            if replaced.st_gid != own.st_gid && !gives_group() {
                // The members of another group get what everybody gets.
                mode = (mode & !0o070) | ((mode & 0o007) << 3);
            }
        }
        mode &= self.limit;
        if permissions(&own) != mode {
            fchmod(&self.file, Mode::from_raw_mode(mode as _))?;
        }
        Ok(())
    }

    fn rename(&self, existing: Existing) -> rustix::io::Result<()> {
        let (from, to) = (&self.from, self.place.directory());
        let (old, new) = (self.temporary.as_os_str(), self.place.name());
        if existing == Existing::Replace {
            return renameat(from, old, to, new);
        }
        match renameat_with(from, old, to, new, RenameFlags::NOREPLACE) {
            // The file system or the kernel does not know the flag.
            Err(Errno::INVAL | Errno::NOSYS | Errno::NOTSUP) => {
                linkat(from, old, to, new, AtFlags::empty())?;
                unlinkat(from, old, AtFlags::empty())
            }
            done => done,
        }
    }
}

impl Write for NewFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        (&*self.file).write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        (&*self.file).flush()
    }
}

impl Drop for NewFile {
    fn drop(&mut self) {
        if !self.is_published {
            // If this fails, the next new file removes it.
            let _ = unlinkat(&self.from, &self.temporary, AtFlags::empty());
        }
    }
}

/// Writes `bytes` to the file `path` as a [`NewFile`] that replaces an existing file.
///
/// # Errors
/// Those of [`NewFile::create`] and [`NewFile::publish`].
pub fn write_new_file(path: &Path, mode: u32, bytes: &[u8]) -> Result<(), NewFileError> {
    let mut file = NewFile::create(path, mode)?;
    file.write_bytes(bytes)?;
    file.publish(Existing::Replace)
}

#[allow(clippy::useless_conversion, reason = "macOS has modes of 16 bits")]
fn permissions(found: &Stat) -> u32 {
    u32::from(Mode::from_raw_mode(found.st_mode).bits()) & PERMISSIONS
}

/// Makes an empty file under a random name, and locks it against [`sweep`].
fn make(directory: &OwnedFd, mode: u32) -> Result<(OsString, LockedFile), NewFileError> {
    let flags = OFlags::RDWR | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    loop {
        let name = random_name();
        let file = match openat(directory, &name, flags, Mode::from_raw_mode(mode as _)) {
            Err(Errno::EXIST) => continue,
            made => File::from(made.map_err(NewFileError::io("create"))?),
        };
        // Where there are no locks, nothing is swept.
        let is_swept = flock(&file, FlockOperation::NonBlockingLockExclusive) == Err(Errno::WOULDBLOCK)
            || fstat(&file).map_err(NewFileError::io("look at"))?.st_nlink == 0;
        if !is_swept {
            return Ok((name, LockedFile::of(file)));
        }
    }
}

fn random_name() -> OsString {
    let bits = RandomState::new().hash_one(std::process::id());
    OsStr::from_bytes(&[PREFIX, format!("{bits:0DIGITS$x}").as_bytes(), SUFFIX].concat()).to_owned()
}

fn is_random_name(name: &[u8]) -> bool {
    let digits = name.strip_prefix(PREFIX).and_then(|rest| rest.strip_suffix(SUFFIX));
    digits.is_some_and(|digits| digits.len() == DIGITS && digits.iter().all(u8::is_ascii_hexdigit))
}

/// Removes files that killed processes of this user left in a directory, as far as possible.
fn sweep(directory: &OwnedFd) {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let listed = openat(directory, ".", flags, Mode::empty());
    let Ok(entries) = listed.and_then(Dir::new) else { return };
    for entry in entries.flatten().filter(|entry| is_random_name(entry.file_name().to_bytes())) {
        // Another process may remove it too; leaving it does no harm.
        let _ = remove_if_stale(directory, entry.file_name());
    }
}

fn remove_if_stale(directory: &OwnedFd, name: &CStr) -> rustix::io::Result<()> {
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let file = openat(directory, name, flags, Mode::empty())?;
    let found = fstat(&file)?;
    let is_regular = FileType::from_raw_mode(found.st_mode) == FileType::RegularFile;
    if !is_regular || found.st_uid != geteuid().as_raw() {
        return Ok(());
    }
    flock(&file, FlockOperation::NonBlockingLockExclusive)?;
    let there = statat(directory, name, AtFlags::SYMLINK_NOFOLLOW)?;
    match (there.st_dev, there.st_ino) == (found.st_dev, found.st_ino) {
        true => unlinkat(directory, name, AtFlags::empty()),
        false => Ok(()),
    }
}

/// Waits until the names of a directory are on the disk.
fn sync_directory(directory: &OwnedFd) -> io::Result<()> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    match openat(directory, ".", flags, Mode::empty()) {
        Ok(directory) => match File::from(directory).sync_all() {
            // A file system that does not flush directories.
            Err(error) if error.kind() == io::ErrorKind::InvalidInput => Ok(()),
            done => done,
        },
        // A directory that allows writes but no listing.
        Err(Errno::ACCESS) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

#[cfg(test)]
mod tests;
