//! A file that is complete or absent.

use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt as _;

use banger_tree::{
    Advice, ErrorContext, ErrorKind, Existing, Failure, HostPlace, NewFile, NewFileError, Setting,
};
use camino::{Utf8Path, Utf8PathBuf};

use crate::host_file::{mode_limit, parent_of};
use crate::id::ImageId;
use crate::staging::{StagingDir, sweep};

const PREFIX: &str = ".banger-";
const SUFFIX: &str = ".staging";
/// Name of the file in its staging directory.
const PARTIAL_FILE: &str = "rootfs.ext4";
/// The mode of a new file, before the umask.
pub(crate) const MODE: u32 = 0o666;

/// Why a file could not be made.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OutputError {
    /// The file exists.
    #[error("{path} exists already")]
    Exists {
        /// The file.
        path: Utf8PathBuf,
    },
    /// The place of a copy is taken, and copies replace nothing.
    #[error("{path} exists already")]
    Taken {
        /// The place.
        path: Utf8PathBuf,
    },
    /// The place has something else than a file.
    #[error("{path:?} {reason}, not a file that can be written or replaced")]
    Kind {
        /// The named path.
        path: Utf8PathBuf,
        /// The reason, as the rest of a sentence: "is a directory".
        reason: &'static str,
    },
    /// The caller's open file cannot hold an image.
    #[error("cannot write an image to {path}: it {reason}")]
    OpenFile {
        /// `/dev/fd/N`.
        path: Utf8PathBuf,
        /// The reason, as a part of a sentence: "is a pipe".
        reason: &'static str,
    },
    /// The file would be part of its source.
    #[error("{path} would become part of {source_path}, which it is to be built from")]
    InSource {
        /// The file.
        path: Utf8PathBuf,
        /// Its source.
        source_path: Utf8PathBuf,
    },
    /// The host refuses.
    #[error("cannot {action} {path}: {source}")]
    Io {
        /// The action that failed, as a verb.
        action: &'static str,
        /// The file.
        path: Utf8PathBuf,
        /// The host's error.
        source: io::Error,
    },
}

impl OutputError {
    /// Code of a failure to write a file.
    pub const IO_CODE: u32 = 504;

    /// Returns a number that stays the same for this failure in all versions.
    pub fn code(&self) -> u32 {
        match self {
            Self::Exists { .. } | Self::Taken { .. } => 503,
            Self::Io { .. } => Self::IO_CODE,
            Self::InSource { .. } => 507,
            Self::Kind { .. } | Self::OpenFile { .. } => 508,
        }
    }

    /// Returns a function that makes the error of a host that refuses to `action` the file `path`.
    pub fn io(action: &'static str, path: &Utf8Path) -> impl Fn(io::Error) -> Self + use<> {
        let path = path.to_owned();
        move |source| Self::Io { action, path: path.clone(), source }
    }

    /// Returns a function that makes the error of a new file `path` that was not made.
    pub fn new_file(path: &Utf8Path) -> impl Fn(NewFileError) -> Self + use<> {
        let path = path.to_owned();
        move |error| match error {
            NewFileError::Kind { reason } => Self::Kind { path: path.clone(), reason },
            NewFileError::Exists => Self::Exists { path: path.clone() },
            NewFileError::Io { action, source } => Self::Io { action, path: path.clone(), source },
            other => Self::Io { action: "write", path: path.clone(), source: other.into() },
        }
    }
}

impl Failure for OutputError {
    fn code(&self) -> u32 {
        self.code()
    }

    fn kind(&self) -> ErrorKind {
        match self {
            Self::Exists { .. } | Self::Taken { .. } => ErrorKind::Exists,
            Self::Kind { .. } | Self::OpenFile { .. } | Self::InSource { .. } => ErrorKind::Argument,
            Self::Io { source, .. } => ErrorKind::of_io(source),
        }
    }

    fn advice(&self) -> Option<Advice> {
        Some(match self {
            Self::Exists { .. } => {
                Advice::with_setting("choose another file, or replace it with {setting}", Setting("force"))
            }
            Self::Taken { .. } => Advice::new("choose another name, or remove it first"),
            Self::Kind { .. } => Advice::new("give the path of a file"),
            Self::OpenFile { .. } => {
                Advice::new("open a regular file for reading and writing, without O_APPEND and O_DIRECT")
            }
            Self::InSource { .. } => Advice::new("write it somewhere else"),
            Self::Io { source, .. } => match source.kind() {
                io::ErrorKind::NotFound => Advice::new("make its directory first"),
                io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => {
                    Advice::new("choose a directory that can be written")
                }
                _ => return Advice::on_full_disk(source),
            },
        })
    }

    fn context(&self) -> ErrorContext {
        let context = ErrorContext::default();
        match self {
            Self::Exists { path }
            | Self::Taken { path }
            | Self::Kind { path, .. }
            | Self::OpenFile { path, .. }
            | Self::Io { path, .. } => context.with("path", path),
            Self::InSource { path, source_path } => {
                context.with("path", path).with("source_path", source_path)
            }
        }
    }

    fn os_error(&self) -> Option<i32> {
        match self {
            Self::Io { source, .. } => source.raw_os_error(),
            _ => None,
        }
    }
}

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
    /// Starts the file `path`; removes files of killed runs in its directory.
    pub(crate) fn create(path: &Utf8Path, replace: bool) -> Result<Self, OutputError> {
        let place = HostPlace::open(path.as_std_path()).map_err(OutputError::new_file(path))?;
        let existing = if replace { Existing::Replace } else { Existing::Keep };
        place.check(existing).map_err(OutputError::new_file(path))?;
        let dir = staging_beside(path)?;
        Ok(Self { path: path.to_owned(), existing, limit: 0o777, place, dir })
    }

    /// Gives the file no permission that others do not have on `source`, which it is made of.
    #[must_use]
    pub(crate) fn limited_to(mut self, source: &fs::Metadata) -> Self {
        self.limit &= mode_limit(source);
        self
    }

    /// Returns the final path of the file.
    pub(crate) fn path(&self) -> &Utf8Path {
        &self.path
    }

    /// Returns the path to write to.
    pub(crate) fn partial_path(&self) -> Utf8PathBuf {
        self.dir.path().join(PARTIAL_FILE)
    }

    /// Returns whether `path` is the path to write to. `path` may have been made absolute.
    pub(crate) fn is_partial(&self, path: &Utf8Path) -> bool {
        let staged = [self.dir.path().file_name().unwrap_or_default(), PARTIAL_FILE].join("/");
        path == self.partial_path() || path.ends_with(staged)
    }

    /// Flushes the file to the disk and gives it its name.
    pub(crate) fn publish(self) -> Result<(), OutputError> {
        let partial = self.partial_path();
        let failed = OutputError::new_file(&self.path);
        let file = NewFile::adopt(self.place, partial.as_std_path(), MODE).map_err(&failed)?;
        file.limited_to(self.limit).publish(self.existing).map_err(failed)
    }
}

/// Makes a staging directory beside `path`; removes those of killed runs there.
pub(crate) fn staging_beside(path: &Utf8Path) -> Result<StagingDir, OutputError> {
    let parent = parent_of(path);
    match sweep(&parent, PREFIX, SUFFIX) {
        // A directory that can be written to, and not be listed.
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {}
        swept => swept.map_err(OutputError::io("create", path))?,
    }
    let staging = parent.join(format!("{PREFIX}{}{SUFFIX}", ImageId::random()));
    StagingDir::create(staging).map_err(OutputError::io("create", path))
}

/// Fails if `output` would replace its source, or a file in it.
pub(crate) fn check_not_source(output: &Utf8Path, source: &Utf8Path) -> Result<(), OutputError> {
    // A source that cannot be opened is reported when it is opened.
    let Ok(source_metadata) = fs::metadata(source) else { return Ok(()) };
    let is_source = |path: &std::path::Path| {
        fs::metadata(path)
            .is_ok_and(|found| (found.dev(), found.ino()) == (source_metadata.dev(), source_metadata.ino()))
    };
    let Ok(parent) = parent_of(output).as_std_path().canonicalize() else { return Ok(()) };
    // Compare the directories themselves, not their names: the path may lead through symlinks.
    let is_inside = || parent.ancestors().any(is_source) && output.as_std_path().symlink_metadata().is_ok();
    match is_source(output.as_std_path()) || is_inside() {
        true => Err(OutputError::InSource { path: output.to_owned(), source_path: source.to_owned() }),
        false => Ok(()),
    }
}
