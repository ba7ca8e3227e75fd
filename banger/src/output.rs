//! A file that is complete or absent.

use std::fs;
use std::io;

use camino::{Utf8Path, Utf8PathBuf};
use rustix::fs::{CWD, RenameFlags, renameat_with};

use crate::error::Error;
use crate::staging::{StagingDir, sweep, sync};
use crate::store::{ImageId, ROOTFS_FILE};

const PREFIX: &str = ".banger-";
const SUFFIX: &str = ".staging";

/// A file under construction, in a staging directory beside its final place.
#[derive(Debug)]
pub(crate) struct OutputFile {
    path: Utf8PathBuf,
    replace: bool,
    dir: StagingDir,
}

impl OutputFile {
    /// Starts the file `path`; what killed runs left in its directory is removed.
    pub(crate) fn create(path: &Utf8Path, replace: bool) -> Result<Self, Error> {
        let no_file = |reason| Error::OutputKind { path: path.to_owned(), reason };
        if path.as_str().is_empty() {
            return Err(no_file("is no path"));
        }
        // `a/b/` names a directory, also one that is not there.
        if path.is_dir() || path.file_name().is_none() || path.as_str().ends_with('/') {
            return Err(no_file("is a directory"));
        }
        // A device, pipe or socket would be gone after the rename, and a symlink to one is how
        // `/dev/stdout` is spelt.
        if fs::metadata(path).is_ok_and(|metadata| !metadata.is_file()) {
            return Err(no_file("is a device, pipe or socket"));
        }
        if !replace && path.as_std_path().symlink_metadata().is_ok() {
            return Err(Error::OutputExists { path: path.to_owned() });
        }
        let parent = match path.parent() {
            Some(parent) if parent.as_str().is_empty() => Utf8Path::new("."),
            Some(parent) => parent,
            None => Utf8Path::new("/"),
        };
        sweep(parent, PREFIX, SUFFIX).map_err(failed("create", path))?;
        let staging = parent.join(format!("{PREFIX}{}{SUFFIX}", ImageId::random()));
        let dir = StagingDir::create(staging).map_err(failed("create", path))?;
        Ok(Self { path: path.to_owned(), replace, dir })
    }

    /// Returns where the file is to be written.
    pub(crate) fn partial_path(&self) -> Utf8PathBuf {
        self.dir.path().join(ROOTFS_FILE)
    }

    /// Flushes the file to the disk and gives it its name.
    pub(crate) fn publish(self) -> Result<(), Error> {
        let partial = self.partial_path();
        sync(&partial).map_err(failed("flush", &self.path))?;
        let renamed = match self.replace {
            true => fs::rename(&partial, &self.path),
            false => renameat_with(
                CWD,
                partial.as_std_path(),
                CWD,
                self.path.as_std_path(),
                RenameFlags::NOREPLACE,
            )
            .map_err(io::Error::from),
        };
        match renamed {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                return Err(Error::OutputExists { path: self.path });
            }
            other => other.map_err(failed("write", &self.path))?,
        }
        let parent = self.dir.path().parent().expect("a staging directory is made in a directory");
        sync(parent).map_err(failed("flush", &self.path))
    }
}

fn failed(action: &'static str, path: &Utf8Path) -> impl FnOnce(io::Error) -> Error {
    let path = path.to_owned();
    move |source| Error::Output { action, path, source }
}
