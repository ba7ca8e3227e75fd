//! A file that is complete or absent.

use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt as _;

use banger_ext4::Ext4Error;
use banger_tree::{Existing, HostPlace, NewFile, NewFileError};
use camino::{Utf8Path, Utf8PathBuf};

use crate::error::Error;
use crate::host_file::{mode_limit, parent_of};
use crate::staging::{StagingDir, sweep};
use crate::store::{ImageId, ROOTFS_FILE};

const PREFIX: &str = ".banger-";
const SUFFIX: &str = ".staging";
/// What a new file may be, before the umask.
const MODE: u32 = 0o666;

/// A file under construction, in a staging directory beside its final place.
#[derive(Debug)]
pub(crate) struct OutputFile {
    path: Utf8PathBuf,
    existing: Existing,
    limit: u32,
    place: HostPlace,
    dir: StagingDir,
}

impl OutputFile {
    /// Starts the file `path`; what killed runs left in its directory is removed.
    pub(crate) fn create(path: &Utf8Path, replace: bool) -> Result<Self, Error> {
        let place = HostPlace::open(path.as_std_path()).map_err(Error::new_file(path))?;
        let existing = if replace { Existing::Replace } else { Existing::Keep };
        place.check(existing).map_err(Error::new_file(path))?;
        let parent = parent_of(path);
        match sweep(&parent, PREFIX, SUFFIX) {
            // A directory that can be written to, and not be listed.
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {}
            swept => swept.map_err(failed("create", path))?,
        }
        let staging = parent.join(format!("{PREFIX}{}{SUFFIX}", ImageId::random()));
        let dir = StagingDir::create(staging).map_err(failed("create", path))?;
        Ok(Self { path: path.to_owned(), existing, limit: 0o777, place, dir })
    }

    /// Gives the file no permission that others do not have on `source`, which it is made of.
    #[must_use]
    pub(crate) fn limited_to(mut self, source: &fs::Metadata) -> Self {
        self.limit &= mode_limit(source);
        self
    }

    /// Returns where the file is to be written.
    pub(crate) fn partial_path(&self) -> Utf8PathBuf {
        self.dir.path().join(ROOTFS_FILE)
    }

    /// Returns the error with the name of the file where it has that of the file under construction.
    pub(crate) fn named(&self, error: Error) -> Error {
        let partial = self.partial_path();
        let staged = [self.dir.path().file_name().unwrap_or_default(), ROOTFS_FILE].join("/");
        match error {
            // A backend may have made the path absolute.
            Error::Ext4(Ext4Error::Io { action, path, source })
                if path == partial || path.ends_with(staged) =>
            {
                Error::Ext4(Ext4Error::Io { action, path: self.path.clone(), source })
            }
            other => other,
        }
    }

    /// Flushes the file to the disk and gives it its name.
    pub(crate) fn publish(self) -> Result<(), Error> {
        let partial = self.partial_path();
        let failed = Error::new_file(&self.path);
        let file = NewFile::adopt(self.place, partial.as_std_path(), MODE).map_err(&failed)?;
        file.limited_to(self.limit).publish(self.existing).map_err(failed)
    }
}

/// Fails where the file `output` would take the place of `source`, a file or directory that it is made
/// of, or of something in it.
pub(crate) fn check_not_source(output: &Utf8Path, source: &Utf8Path) -> Result<(), Error> {
    // What cannot be opened is told when it is opened.
    let Ok(source_metadata) = fs::metadata(source) else { return Ok(()) };
    let is_source = |path: &std::path::Path| {
        fs::metadata(path)
            .is_ok_and(|found| (found.dev(), found.ino()) == (source_metadata.dev(), source_metadata.ino()))
    };
    let Ok(parent) = parent_of(output).as_std_path().canonicalize() else { return Ok(()) };
    // By what directories are, not by what they are called: the way may lead over symlinks.
    let is_inside = || parent.ancestors().any(is_source) && output.as_std_path().symlink_metadata().is_ok();
    match is_source(output.as_std_path()) || is_inside() {
        true => Err(Error::OutputInSource { path: output.to_owned(), source_path: source.to_owned() }),
        false => Ok(()),
    }
}

impl Error {
    /// Returns a function that makes the error of a run of that of a file `path` that was not made.
    pub fn new_file(path: &Utf8Path) -> impl Fn(NewFileError) -> Self + use<> {
        let path = path.to_owned();
        move |error| match error {
            NewFileError::Kind { reason } => Self::OutputKind { path: path.clone(), reason },
            NewFileError::Exists => Self::OutputExists { path: path.clone() },
            NewFileError::Io { action, source } => Self::Output { action, path: path.clone(), source },
            other => Self::Output { action: "write", path: path.clone(), source: other.into() },
        }
    }
}

fn failed(action: &'static str, path: &Utf8Path) -> impl FnOnce(io::Error) -> Error {
    let path = path.to_owned();
    move |source| Error::Output { action, path, source }
}
