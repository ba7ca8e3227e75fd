//! Why a root file system could not be looked into or edited.

use std::io;

use banger_tree::{GuestPath, RootfsError};

/// Why a command on a root file system failed. Paths are those inside it, unless they are called
/// the host's.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum EditError {
    /// The root file system refuses.
    #[error(transparent)]
    Rootfs(#[from] RootfsError),
    /// A path is empty, as that of a variable of a script that is not set.
    #[error("an empty path names nothing; write / for the root directory")]
    EmptyPath,
    /// Something is missing.
    #[error("{path} does not exist in the image; {advice}")]
    NotFound {
        /// The path.
        path: GuestPath,
        /// What to do.
        advice: &'static str,
    },
    /// Something is a directory.
    #[error("{path} is a directory; {advice}")]
    Directory {
        /// The path.
        path: GuestPath,
        /// What to do.
        advice: &'static str,
    },
    /// Something is no directory.
    #[error("{path} is not a directory; {advice}")]
    NotADirectory {
        /// The path.
        path: GuestPath,
        /// What to do.
        advice: &'static str,
    },
    /// Something is in the way.
    #[error("{path} exists already; {advice}")]
    Exists {
        /// The path.
        path: GuestPath,
        /// What to do.
        advice: &'static str,
    },
    /// The last path is missing, which says where the others go.
    #[error("{path} is the only path; give the place that it goes to behind it")]
    NoDestination {
        /// The path, escaped.
        path: String,
    },
    /// Several things were to get one name.
    #[error("only one path can get the name {path}; give a directory, or one path")]
    ManyToOne {
        /// The name.
        path: GuestPath,
    },
    /// A directory is in two places, which would make a walk endless.
    #[error(
        "{path} is a directory that is in another place, too: the file system is damaged; run e2fsck on it"
    )]
    DirectoryTwice {
        /// One of the places.
        path: GuestPath,
    },
    /// A command failed after the first of several commits.
    #[error(
        "{source}; some of the changes are in the image already, since its journal could not hold all of them"
    )]
    Partly {
        /// Why it failed.
        source: Box<EditError>,
    },
    /// A mode that is none.
    #[error("{text:?} is not a mode; write one as 644, u+x or go=rX")]
    Mode {
        /// The text.
        text: String,
    },
    /// An owner that is none.
    #[error("{text:?} is not an owner; write one as 1000, 1000:50, user:group or :group")]
    Owner {
        /// The text.
        text: String,
    },
    /// A name that the image does not know.
    #[error("{name} is not in the image's {database}; give a number")]
    UnknownName {
        /// The name, or the number of a user whose group was asked for.
        name: String,
        /// The file in the image.
        database: String,
    },
    /// A file of the host could not be read.
    #[error("cannot {action} {path} of this host: {source}")]
    Host {
        /// What was tried, as a verb.
        action: &'static str,
        /// The file, escaped.
        path: String,
        /// The host's error.
        source: io::Error,
    },
    /// The caller asked to stop.
    #[error("interrupted")]
    Cancelled,
}

impl EditError {
    /// Returns a number that stays the same for this kind of failure in all versions.
    pub fn code(&self) -> u32 {
        match self {
            Self::Rootfs(error) => error.code(),
            Self::EmptyPath => 724,
            Self::ManyToOne { .. } => 701,
            Self::NoDestination { .. } => 724,
            Self::DirectoryTwice { .. } => 713,
            Self::Partly { source } => source.code(),
            Self::NotFound { .. } => 700,
            Self::NotADirectory { .. } => 701,
            Self::Directory { .. } => 702,
            Self::Exists { .. } => 705,
            Self::Mode { .. } => 720,
            Self::Owner { .. } => 721,
            Self::UnknownName { .. } => 722,
            Self::Host { .. } => 723,
            Self::Cancelled => 505,
        }
    }

    /// Returns whether the caller asked to stop.
    pub fn is_cancelled(&self) -> bool {
        match self {
            Self::Partly { source } => source.is_cancelled(),
            Self::Cancelled | Self::Rootfs(RootfsError::Cancelled) => true,
            _ => false,
        }
    }

    /// Returns whether the message names the image already.
    pub(crate) fn names_image(&self) -> bool {
        if let Self::Partly { source } = self {
            return source.names_image();
        }
        matches!(
            self,
            Self::Rootfs(
                RootfsError::Corrupt { .. }
                    | RootfsError::InUse { .. }
                    | RootfsError::Unsupported { .. }
                    | RootfsError::Unreadable { .. }
                    | RootfsError::Tool { .. }
                    | RootfsError::Io { .. }
                    | RootfsError::Size { .. }
            )
        )
    }
}
