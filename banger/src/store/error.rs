//! Why the image store could not do what was asked.

use std::io;

use camino::{Utf8Path, Utf8PathBuf};

use super::name::ImageName;

/// Why the image store could not do what was asked.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StoreError {
    /// No image has this name or id.
    #[error("no image is called {wanted:?}; `banger image list` shows those there are")]
    NotFound {
        /// What was asked for.
        wanted: String,
    },
    /// Several ids begin like this.
    #[error("several images have an id that begins with {wanted:?}; give more of it")]
    Ambiguous {
        /// What was asked for.
        wanted: String,
    },
    /// Another image has the name.
    #[error("an image called {name} exists already; remove it or choose another name")]
    NameTaken {
        /// The name.
        name: ImageName,
    },
    /// An image's record cannot be read.
    #[error("image {id} is damaged: {reason}; remove it with `banger image rm {id}`")]
    Damaged {
        /// Its id.
        id: String,
        /// What is wrong.
        reason: String,
    },
    /// Images are another user's.
    #[error("{reason}; run as the user who pulled it, or set --state-dir to a directory of your own")]
    Denied {
        /// Which, and what the host says.
        reason: String,
    },
    /// Others could have changed what is in the state directory.
    #[error(
        "the directory {path} is not trusted: {reason}; set --state-dir to a directory of your own that \
             only you can write to"
    )]
    Untrusted {
        /// The directory.
        path: Utf8PathBuf,
        /// Who can write to it.
        reason: String,
    },
    /// An image's file is being edited, or a virtual machine has locked it.
    #[error(
        "another program holds a lock on {path}, such as a running virtual machine or an edit; try again \
             when that has ended"
    )]
    InUse {
        /// The file.
        path: Utf8PathBuf,
    },
    /// The disk is full.
    #[error("no space left on the disk of {path}; free some, or set another directory")]
    DiskFull {
        /// What was being written.
        path: Utf8PathBuf,
    },
    /// The directory cannot be written.
    #[error("{path} cannot be written: {source}; set XDG_STATE_HOME or --state-dir to a directory that can")]
    NotWritable {
        /// What was being written.
        path: Utf8PathBuf,
        /// The host's error.
        source: io::Error,
    },
    /// The host failed otherwise.
    #[error("cannot {action} {path}: {source}")]
    Io {
        /// What was tried, as a verb.
        action: &'static str,
        /// The file or directory.
        path: Utf8PathBuf,
        /// The host's error.
        source: io::Error,
    },
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
}
