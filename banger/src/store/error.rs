//! Error of the image store.

use std::io;

use banger_tree::{Advice, ErrorContext, ErrorKind, Failure, Setting};
use camino::{Utf8Path, Utf8PathBuf};

use super::name::ImageName;
use super::stored_kind::StoredKind;
use crate::lock::LockError;
use crate::output::OutputError;

/// The option that sets the state directory.
const STATE_DIR: Setting = Setting("state_dir");

/// Error of the image store.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StoreError {
    /// No image or kernel has this name or id.
    #[error("no {what} is called {wanted:?}")]
    NotFound {
        /// The kind of the missing thing.
        what: StoredKind,
        /// The value asked for.
        wanted: String,
    },
    /// Several ids begin like this.
    #[error("several {what}s have an id that begins with {wanted:?}")]
    Ambiguous {
        /// The kind of the things.
        what: StoredKind,
        /// The value asked for.
        wanted: String,
    },
    /// Another image or kernel has the name.
    #[error("{} called {name} exists already", .what.with_article())]
    NameTaken {
        /// The kind of the thing.
        what: StoredKind,
        /// The name.
        name: ImageName,
    },
    /// The record of an image or kernel cannot be read.
    #[error("{what} {id} is damaged: {reason}")]
    Damaged {
        /// The kind of the thing.
        what: StoredKind,
        /// Its id.
        id: String,
        /// The reason.
        reason: String,
    },
    /// Images are another user's.
    #[error("{reason}")]
    Denied {
        /// The directory, and the host's error.
        reason: String,
    },
    /// Other users may have changed files in the state directory.
    #[error("the directory {path} is not trusted: {reason}")]
    Untrusted {
        /// The directory.
        path: Utf8PathBuf,
        /// Who can write to it.
        reason: String,
    },
    /// A lease on the image is held, its file is being edited or copied, or a virtual machine has locked it.
    #[error("{path} is in use: another program or thread holds a lock on it")]
    InUse {
        /// The image's directory or file.
        path: Utf8PathBuf,
    },
    /// The disk is full.
    #[error("no space left on the disk of {path}")]
    DiskFull {
        /// The file being written.
        path: Utf8PathBuf,
    },
    /// The directory cannot be written.
    #[error("{path} cannot be written: {source}")]
    NotWritable {
        /// The file being written.
        path: Utf8PathBuf,
        /// The host's error.
        source: io::Error,
    },
    /// The host failed otherwise.
    #[error("cannot {action} {path}: {source}")]
    Io {
        /// The action that failed, as a verb.
        action: &'static str,
        /// The file or directory.
        path: Utf8PathBuf,
        /// The host's error.
        source: io::Error,
    },
    /// The target file of a copy could not be made.
    #[error(transparent)]
    Output(#[from] OutputError),
    /// The caller asked to stop; the store is as it was.
    #[error("cancelled")]
    Cancelled,
}

impl StoreError {
    /// Returns a number that stays the same for this kind of failure in all versions.
    pub fn code(&self) -> u32 {
        match self {
            Self::NotFound { .. } => 400,
            Self::Ambiguous { .. } => 401,
            Self::NameTaken { .. } => 402,
            Self::Damaged { .. } => 403,
            Self::DiskFull { .. } => 404,
            Self::NotWritable { .. } => 405,
            Self::Io { .. } => 406,
            Self::InUse { .. } => 407,
            Self::Denied { .. } => 408,
            Self::Untrusted { .. } => 409,
            Self::Cancelled => 410,
            Self::Output(error) => error.code(),
        }
    }

    pub(crate) fn io(action: &'static str, path: &Utf8Path, source: io::Error) -> Self {
        let path = path.to_owned();
        match source.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => Self::DiskFull { path },
            io::ErrorKind::ReadOnlyFilesystem | io::ErrorKind::PermissionDenied if action != "read" => {
                Self::NotWritable { path, source }
            }
            io::ErrorKind::ResourceBusy => Self::InUse { path },
            _ => Self::Io { action, path, source },
        }
    }

    pub(crate) fn lock(path: &Utf8Path, error: LockError) -> Self {
        match error {
            LockError::Cancelled => Self::Cancelled,
            LockError::Io(source) => Self::io("lock", path, source),
        }
    }
}

impl Failure for StoreError {
    fn code(&self) -> u32 {
        self.code()
    }

    fn kind(&self) -> ErrorKind {
        match self {
            Self::NotFound { .. } => ErrorKind::NotFound,
            Self::Ambiguous { .. } => ErrorKind::Argument,
            Self::NameTaken { .. } => ErrorKind::Exists,
            Self::Damaged { .. } => ErrorKind::Damaged,
            Self::Denied { .. } | Self::Untrusted { .. } | Self::NotWritable { .. } => ErrorKind::Access,
            Self::InUse { .. } => ErrorKind::InUse,
            Self::DiskFull { .. } => ErrorKind::NoSpace,
            Self::Io { source, .. } => ErrorKind::of_io(source),
            Self::Output(error) => error.kind(),
            Self::Cancelled => ErrorKind::Cancelled,
        }
    }

    fn is_transient(&self) -> bool {
        matches!(self, Self::InUse { .. })
    }

    fn advice(&self) -> Option<Advice> {
        Some(match self {
            Self::NotFound { what, .. } => Advice::new(format!("list the {what}s to see which ones exist")),
            Self::Ambiguous { .. } => Advice::new("give more of the id"),
            Self::NameTaken { .. } => Advice::new("remove it or choose another name"),
            Self::Damaged { .. } => Advice::new("remove it by its id"),
            Self::Denied { .. } => Advice::with_setting(
                "run as the user who pulled it, or set {setting} to a directory of your own",
                STATE_DIR,
            ),
            Self::Untrusted { .. } => Advice::with_setting(
                "set {setting} to a directory of your own that only you can write to",
                STATE_DIR,
            ),
            Self::InUse { .. } => {
                Advice::new("try again when the virtual machine, edit, copy or pull that uses it has ended")
            }
            Self::DiskFull { .. } => {
                Advice::with_setting("free some, or set {setting} to a directory on another disk", STATE_DIR)
            }
            Self::NotWritable { .. } => {
                Advice::with_setting("set {setting} to a directory that can be written", STATE_DIR)
            }
            Self::Output(error) => return error.advice(),
            Self::Io { .. } | Self::Cancelled => return None,
        })
    }

    fn context(&self) -> ErrorContext {
        let context = ErrorContext::default();
        match self {
            Self::NotFound { wanted, .. } | Self::Ambiguous { wanted, .. } => context.with("wanted", wanted),
            Self::NameTaken { name, .. } => context.with("name", name),
            Self::Damaged { id, .. } => context.with("id", id),
            Self::Untrusted { path, .. }
            | Self::InUse { path }
            | Self::DiskFull { path }
            | Self::NotWritable { path, .. }
            | Self::Io { path, .. } => context.with("path", path),
            Self::Output(error) => error.context(),
            Self::Denied { .. } | Self::Cancelled => context,
        }
    }

    fn os_error(&self) -> Option<i32> {
        match self {
            Self::NotWritable { source, .. } | Self::Io { source, .. } => source.raw_os_error(),
            Self::Output(error) => error.os_error(),
            _ => None,
        }
    }
}
