//! A directory of this host, written name by name below one that is private so far.
//!
//! Every name is made relative to its open directory, and no symlink is followed.

use std::collections::HashMap;
use std::fs::File;
use std::io;
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::os::unix::fs::FileExt as _;

use banger_tree::{Cancellation, DirEntry, FileType, GuestPath, Rootfs, Stat, escape_bytes};
use camino::{Utf8Path, Utf8PathBuf};
use rustix::fs::{AtFlags, Mode, OFlags, linkat, mkdirat, openat, symlinkat};
use rustix::io::Errno;

use super::failure::GetFailure;
use super::host_attributes::MadeFile;
use super::report::GetReport;
use crate::output::OutputError;
use crate::rootfs::WalkedDirs;
use crate::rootfs::tar::{join, read_full, stat};

/// Bytes that are copied at a time.
const CHUNK_BYTES: usize = 1 << 20;
const PLAIN: OFlags = OFlags::NOFOLLOW.union(OFlags::CLOEXEC);
const DIRECTORY: OFlags = PLAIN.union(OFlags::DIRECTORY);

/// Writes files of a root file system.
pub(super) struct HostTreeWriter<'a> {
    rootfs: &'a dyn Rootfs,
    /// The private directory.
    top: BorrowedFd<'a>,
    /// Where it goes, and what goes there, for errors.
    place: Utf8PathBuf,
    source: GuestPath,
    cancellation: &'a Cancellation,
    report: &'a mut GetReport,
    /// The first path of each inode that has several, relative to the private directory.
    first_paths: HashMap<u64, Vec<u8>>,
    buffer: Vec<u8>,
}

/// A directory with the names that are left.
struct OpenDirectory {
    path: GuestPath,
    stat: Stat,
    entries: std::vec::IntoIter<DirEntry>,
}

impl<'a> HostTreeWriter<'a> {
    pub(super) fn new(
        rootfs: &'a dyn Rootfs,
        top: BorrowedFd<'a>,
        (source, place): (&GuestPath, &Utf8Path),
        cancellation: &'a Cancellation,
        report: &'a mut GetReport,
    ) -> Self {
        Self {
            rootfs,
            top,
            place: place.to_owned(),
            source: source.clone(),
            cancellation,
            report,
            first_paths: HashMap::new(),
            buffer: vec![0; CHUNK_BYTES],
        }
    }

    fn failed(&self, action: &'static str, path: &GuestPath) -> impl Fn(Errno) -> GetFailure + use<> {
        let failed = self.io(action, path);
        move |error| failed(error.into())
    }

    /// Names the place that the path will have.
    fn io(&self, action: &'static str, path: &GuestPath) -> impl Fn(io::Error) -> GetFailure + use<> {
        let place = match *path == self.source {
            true => self.place.clone(),
            false => self.place.join(escape_bytes(&relative_to(&self.source, path))),
        };
        move |error| OutputError::io(action, &place)(error).into()
    }

    /// Writes the content of the directory `top` into the private directory, and gives that its attributes.
    pub(super) fn directory(&mut self, stat: Stat) -> Result<(), GetFailure> {
        let top = &self.source.clone();
        let mut walked = WalkedDirs::default();
        walked.enter(stat.inode, top)?;
        let mut current = self.top.try_clone_to_owned().map_err(self.io("open", top))?;
        let mut stack = vec![self.open_directory(top.clone(), stat)?];
        self.report.entries += 1;
        while let Some(dir) = stack.last_mut() {
            let Some(DirEntry { name, .. }) = dir.entries.next() else {
                let done = stack.pop().expect("it is the last one");
                // Afterwards, its mode may not allow it.
                let above = match stack.is_empty() {
                    true => None,
                    false => Some(self.open_below(&current, b"..", &done.path)?),
                };
                self.set_attributes(MadeFile::Open(current.as_fd()), &done.path, &done.stat)?;
                match above {
                    Some(above) => current = above,
                    None => return Ok(()),
                }
                continue;
            };
            let path = join(&dir.path, &name)?;
            let found = stat_of(self.rootfs, &path, self.cancellation)?;
            if found.file_type == FileType::Directory {
                walked.enter(found.inode, &path)?;
                mkdirat(&current, name.as_slice(), Mode::RWXU).map_err(self.failed("make", &path))?;
                current = self.open_below(&current, &name, &path)?;
                self.report.entries += 1;
                stack.push(self.open_directory(path, found)?);
            } else {
                let relative = relative_to(top, &path);
                self.file(&path, &found, current.as_fd(), &name, relative)?;
            }
        }
        Ok(())
    }

    /// Writes one file that is not a directory, as `name` in the private directory.
    pub(super) fn top_file(&mut self, stat: &Stat, name: &[u8]) -> Result<(), GetFailure> {
        let (top, path) = (self.top, &self.source.clone());
        let entries = self.report.entries;
        self.file(path, stat, top, name, name.to_vec())?;
        match self.report.entries == entries {
            // It is all that was asked for.
            true => Err(self.failed("make", path)(Errno::PERM)),
            false => Ok(()),
        }
    }

    fn open_directory(&self, path: GuestPath, stat: Stat) -> Result<OpenDirectory, GetFailure> {
        let entries = self.rootfs.read_dir(&path)?.into_iter();
        Ok(OpenDirectory { path, stat, entries })
    }

    fn open_below(&self, dir: &OwnedFd, name: &[u8], path: &GuestPath) -> Result<OwnedFd, GetFailure> {
        openat(dir, name, OFlags::RDONLY | DIRECTORY, Mode::empty()).map_err(self.failed("open", path))
    }

    fn set_attributes(
        &mut self,
        made: MadeFile<'_>,
        path: &GuestPath,
        stat: &Stat,
    ) -> Result<(), GetFailure> {
        let failed = self.io("set the attributes of", path);
        made.set_attributes(path, &stat.attributes, self.report).map_err(failed)
    }

    fn file(
        &mut self,
        path: &GuestPath,
        stat: &Stat,
        dir: BorrowedFd<'_>,
        name: &[u8],
        relative: Vec<u8>,
    ) -> Result<(), GetFailure> {
        if stat.nlink > 1
            && let Some(first) = self.first_paths.get(&stat.inode)
        {
            linkat(self.top, first.as_slice(), dir, name, AtFlags::empty())
                .map_err(self.failed("make", path))?;
            self.report.entries += 1;
            return Ok(());
        }
        let named = |is_symlink| MadeFile::Named { dir, name, is_symlink };
        match stat.file_type {
            FileType::Regular => {
                let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | PLAIN;
                let file = openat(dir, name, flags, Mode::RUSR | Mode::WUSR);
                let file = File::from(file.map_err(self.failed("make", path))?);
                self.content(path, stat.size_bytes, &file)?;
                self.set_attributes(MadeFile::Open(file.as_fd()), path, stat)?;
            }
            FileType::Symlink => {
                let target = self.rootfs.read_link(path)?;
                symlinkat(target.as_slice(), dir, name).map_err(self.failed("make", path))?;
                self.set_attributes(named(true), path, stat)?;
            }
            _ => match make_node(dir, name, stat) {
                Ok(()) => self.set_attributes(named(false), path, stat)?,
                Err(Errno::PERM | Errno::OPNOTSUPP) => {
                    self.report.not_made += 1;
                    let kind = stat.file_type;
                    self.report.warn(path, &format!("was not made: this user may not make a {kind} there"));
                    return Ok(());
                }
                Err(error) => return Err(self.failed("make", path)(error)),
            },
        }
        if stat.nlink > 1 {
            self.first_paths.insert(stat.inode, relative);
        }
        self.report.entries += 1;
        Ok(())
    }

    /// Writes the bytes of a file. Holes stay holes.
    fn content(&mut self, path: &GuestPath, size_bytes: u64, file: &File) -> Result<(), GetFailure> {
        let failed = self.io("write", path);
        file.set_len(size_bytes).map_err(&failed)?;
        let mut offset = 0;
        while offset < size_bytes {
            let Some((start, end)) = self.rootfs.data_from(path, offset)? else { break };
            let end = end.min(size_bytes);
            offset = start.max(offset);
            while offset < end {
                if self.cancellation.is_cancelled() {
                    return Err(crate::rootfs::EditError::Cancelled.into());
                }
                let length = usize::try_from(end - offset).unwrap_or(usize::MAX).min(CHUNK_BYTES);
                read_full(self.rootfs, path, offset, &mut self.buffer[..length])?;
                file.write_all_at(&self.buffer[..length], offset).map_err(&failed)?;
                offset += length as u64;
                self.report.content_bytes += length as u64;
            }
        }
        Ok(())
    }
}

fn stat_of(rootfs: &dyn Rootfs, path: &GuestPath, cancellation: &Cancellation) -> Result<Stat, GetFailure> {
    Ok(stat(rootfs, path, cancellation)?)
}

/// Returns `path` as it is below `top`.
fn relative_to(top: &GuestPath, path: &GuestPath) -> Vec<u8> {
    let start = if top.is_root() { 1 } else { top.as_bytes().len() + 1 };
    path.as_bytes().get(start..).unwrap_or_default().to_vec()
}

/// Makes a device, FIFO or socket that only its owner can use.
#[cfg(target_os = "linux")]
fn make_node(dir: BorrowedFd<'_>, name: &[u8], stat: &Stat) -> rustix::io::Result<()> {
    use rustix::fs::{FileType as HostType, makedev, mknodat};
    let kind = match stat.file_type {
        FileType::CharDevice => HostType::CharacterDevice,
        FileType::BlockDevice => HostType::BlockDevice,
        FileType::Fifo => HostType::Fifo,
        _ => HostType::Socket,
    };
    let device = stat.device.map_or(0, |(major, minor)| makedev(major, minor));
    mknodat(dir, name, kind, Mode::RUSR | Mode::WUSR, device)
}

/// Says that it cannot be made.
#[cfg(not(target_os = "linux"))]
fn make_node(_dir: BorrowedFd<'_>, _name: &[u8], _stat: &Stat) -> rustix::io::Result<()> {
    Err(Errno::OPNOTSUPP)
}
