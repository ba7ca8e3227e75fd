//! A directory of the host as a root file system. Symlinks below it are not followed.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::io;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::{FileExt as _, FileTypeExt as _};
use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};

use banger_tree::{FileType, GuestPath};
use camino::{Utf8Path, Utf8PathBuf};
use rustix::fs::{CWD, Mode, OFlags, openat};

use super::kernel_tree::KernelTree;
use crate::error::KernelError;

/// A directory of the host.
#[derive(Debug)]
pub(crate) struct HostTree {
    root: Utf8PathBuf,
    /// The path that `root` has in the tree.
    place: GuestPath,
    /// Whether symlinks are followed: in the root of the machine itself.
    follows: bool,
    /// The file that was read last.
    open: Mutex<Option<(GuestPath, File)>>,
}

impl HostTree {
    /// Returns the tree below `root`.
    pub(crate) fn new(root: &Utf8Path, follows: bool) -> Self {
        Self { root: root.to_owned(), place: GuestPath::root(), follows, open: Mutex::default() }
    }

    /// Returns a tree in which the directory `root` is at `place`, without symlinks followed.
    pub(crate) fn mounted(root: &Utf8Path, place: GuestPath) -> Self {
        Self { place, ..Self::new(root, false) }
    }

    /// Returns the components of a path below the root of the host.
    fn below<'a>(&self, path: &'a GuestPath) -> impl Iterator<Item = &'a OsStr> {
        path.components().skip(self.place.components().count()).map(OsStr::from_bytes)
    }

    fn host_path(&self, path: &GuestPath) -> PathBuf {
        self.below(path).fold(PathBuf::from(&self.root), |host, part| host.join(part))
    }

    fn failed(&self, path: &GuestPath) -> impl FnOnce(io::Error) -> KernelError {
        let path = Utf8PathBuf::from(self.host_path(path).to_string_lossy().into_owned());
        move |source| KernelError::Io { action: "read", path, source }
    }

    /// Whether a directory on the way to `path` is a symlink.
    fn leads_away(&self, path: &GuestPath) -> bool {
        let mut at = PathBuf::from(&self.root);
        !self.follows
            && self.below(path).any(|part| {
                at.push(part);
                fs::symlink_metadata(&at).is_ok_and(|found| found.is_symlink())
            })
    }

    fn open_file(&self, path: &GuestPath) -> io::Result<File> {
        let link = if self.follows { OFlags::empty() } else { OFlags::NOFOLLOW };
        let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC | link;
        let file = File::from(openat(CWD, self.host_path(path), flags, Mode::empty())?);
        match file.metadata()?.is_file() {
            true => Ok(file),
            false => Err(io::Error::other("is not a regular file")),
        }
    }
}

impl KernelTree for HostTree {
    fn read_dir(&self, path: &GuestPath) -> Result<Vec<(Vec<u8>, FileType)>, KernelError> {
        if self.leads_away(path) {
            return Ok(Vec::new());
        }
        let entries = match fs::read_dir(self.host_path(path)) {
            Ok(entries) => entries,
            Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {
                return Ok(Vec::new());
            }
            Err(error) => return Err(self.failed(path)(error)),
        };
        let mut found = Vec::new();
        for entry in entries {
            let entry = entry.map_err(self.failed(path))?;
            let mut kind = entry.file_type().map_err(self.failed(path))?;
            if kind.is_symlink() && self.follows {
                // A symlink that leads nowhere stays one.
                kind = fs::metadata(entry.path()).map_or(kind, |target| target.file_type());
            }
            let kind = match kind {
                kind if kind.is_file() => FileType::Regular,
                kind if kind.is_dir() => FileType::Directory,
                kind if kind.is_symlink() => FileType::Symlink,
                kind if kind.is_fifo() => FileType::Fifo,
                kind if kind.is_socket() => FileType::Socket,
                kind if kind.is_block_device() => FileType::BlockDevice,
                _ => FileType::CharDevice,
            };
            found.push((entry.file_name().as_bytes().to_vec(), kind));
        }
        found.sort();
        Ok(found)
    }

    fn read_at(&self, path: &GuestPath, offset: u64, buffer: &mut [u8]) -> Result<usize, KernelError> {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        if open.as_ref().is_none_or(|(opened, _)| opened != path) {
            *open = None;
        }
        let (_, file) = match open.as_ref() {
            Some(open) => open,
            None => &*open.insert((path.clone(), self.open_file(path).map_err(self.failed(path))?)),
        };
        file.read_at(buffer, offset).map_err(self.failed(path))
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use banger_tree::Cancellation;

    use super::*;
    use crate::find::{Collector, FoundFiles, read_tree};
    use crate::run::{ImportRun, KernelLimits};

    /// Of the machine itself the kernel that runs is taken, through the symlinks of its distribution.
    #[test]
    fn the_running_kernel_is_found_through_symlinks() {
        let dir = tempfile::tempdir().unwrap();
        let root = Utf8Path::from_path(dir.path()).unwrap();
        for (release, image) in [("6.1.0-old", "old"), ("6.2.0-new", "new")] {
            let modules = root.join("usr/lib/modules").join(release);
            fs::create_dir_all(modules.join("kernel")).unwrap();
            fs::write(modules.join("vmlinuz"), image).unwrap();
            fs::write(modules.join("modules.order"), release).unwrap();
            fs::write(modules.join("kernel/a.ko"), "module").unwrap();
            symlink("/", modules.join("build")).unwrap();
            fs::create_dir_all(root.join("boot")).unwrap();
            let link = format!("../usr/lib/modules/{release}/vmlinuz");
            symlink(link, root.join(format!("boot/vmlinuz-{release}"))).unwrap();
            fs::write(root.join(format!("boot/config-{release}")), release).unwrap();
        }
        symlink("usr/lib", root.join("lib")).unwrap();
        let (limits, cancellation) = (KernelLimits::default(), Cancellation::new());
        let run = ImportRun::new(&limits, &cancellation, &|_| {});
        for (wanted, image) in [("6.1.0-old", "old"), ("6.2.0-new", "new")] {
            let scratch = root.join(format!("scratch-{image}"));
            fs::create_dir(&scratch).unwrap();
            let mut collector = Collector::new(&run, &scratch, FoundFiles::default());
            read_tree(&run, &HostTree::new(root, true), Some(wanted), &mut collector).unwrap();
            let chosen = collector.into_found().choose("host").unwrap();
            assert_eq!(chosen.release.as_deref(), Some(wanted));
            assert_eq!(fs::read_to_string(&chosen.kernel).unwrap(), image);
            assert_eq!(fs::read_to_string(chosen.config_of(wanted).unwrap()).unwrap(), wanted);
            let modules = chosen.modules_of(wanted).unwrap();
            assert_eq!(fs::read_to_string(modules.join("kernel/a.ko")).unwrap(), "module");
            assert!(!modules.join("build").exists());
            assert_eq!(chosen.module_releases().count(), 1);
        }
    }
}
