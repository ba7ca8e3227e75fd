//! Why a root file system could not be looked into or edited.

use std::io;

use banger_tree::{Advice, ErrorContext, ErrorKind, Failure, GuestPath, RootfsError, Setting};

/// Why a command on a root file system failed. Paths are those inside it, unless they are called
/// the host's.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum EditError {
    /// The root file system refuses.
    #[error(transparent)]
    Rootfs(#[from] RootfsError),
    /// A path is empty, as that of a variable of a script that is not set.
    #[error("an empty path names nothing")]
    EmptyPath,
    /// Something is missing.
    #[error("{path} does not exist in the image")]
    NotFound {
        /// The path.
        path: GuestPath,
        /// What to do.
        advice: EditAdvice,
    },
    /// Something is a directory.
    #[error("{path} is a directory")]
    Directory {
        /// The path.
        path: GuestPath,
        /// What to do.
        advice: EditAdvice,
    },
    /// Something is no directory.
    #[error("{path} is not a directory")]
    NotADirectory {
        /// The path.
        path: GuestPath,
        /// What to do.
        advice: EditAdvice,
    },
    /// Something is in the way.
    #[error("{path} exists already")]
    Exists {
        /// The path.
        path: GuestPath,
        /// What to do.
        advice: EditAdvice,
    },
    /// The last path is missing, which says where the others go.
    #[error("{path} is the only path, and the place that it goes to is missing")]
    NoDestination {
        /// The path, escaped.
        path: String,
    },
    /// Several things were to get one name.
    #[error("only one path can get the name {path}")]
    ManyToOne {
        /// The name.
        path: GuestPath,
    },
    /// A directory is in two places, which would make a walk endless.
    #[error("{path} is a directory that is in another place, too: the file system is damaged")]
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
    #[error("{text:?} is not a mode")]
    Mode {
        /// The text.
        text: String,
    },
    /// An owner that is none.
    #[error("{text:?} is not an owner")]
    Owner {
        /// The text.
        text: String,
    },
    /// A name that the image does not know.
    #[error("{name} is not in the image's {database}")]
    UnknownName {
        /// The name, or the number of a user whose group was asked for.
        name: String,
        /// The file in the image.
        database: String,
    },
    /// A path has no extended attribute of this name.
    #[error("{path} has no extended attribute {name}")]
    NoXattr {
        /// The path.
        path: GuestPath,
        /// The name, escaped.
        name: String,
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

/// What the caller can do about an edit that is refused. A program with commands of its own words the
/// first three by their names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum EditAdvice {
    /// List the directory above, which shows what exists.
    ListAround,
    /// List the directory instead of reading it as a file.
    ListIt,
    /// Make the directory first.
    MakeDirectory,
    /// Set an option: the text has `{setting}` in the place of its name.
    Set(&'static str, Setting),
    /// Do what the text says.
    Do(&'static str),
}

impl EditAdvice {
    pub(super) const DIRECTORY_NEEDED: Self = Self::Do("a directory is needed there");
    pub(super) const DIRECTORY_FIRST: Self =
        Self::Set("make its directory first, or with {setting}", Setting("parents"));
    pub(super) const NO_DIRECTORY_REPLACES: Self =
        Self::Do("a directory does not replace it; remove it first");
    pub(super) const ONLY_DIRECTORY_REPLACES: Self =
        Self::Do("only a directory replaces it; remove it first");
}

impl From<EditAdvice> for Advice {
    fn from(advice: EditAdvice) -> Self {
        match advice {
            EditAdvice::ListAround => Self::new("list its directory, which shows what does"),
            EditAdvice::ListIt => Self::new("list it"),
            EditAdvice::MakeDirectory => Self::new("make the directory first"),
            EditAdvice::Set(text, setting) => Self::with_setting(text, setting),
            EditAdvice::Do(text) => Self::new(text),
        }
    }
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
            Self::NoXattr { .. } => 727,
            Self::Cancelled => 505,
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

impl Failure for EditError {
    fn code(&self) -> u32 {
        Self::code(self)
    }

    fn kind(&self) -> ErrorKind {
        match self {
            Self::Rootfs(error) => error.kind(),
            Self::Partly { source } => source.kind(),
            Self::NotFound { .. } | Self::UnknownName { .. } | Self::NoXattr { .. } => ErrorKind::NotFound,
            Self::Exists { .. } => ErrorKind::Exists,
            Self::DirectoryTwice { .. } => ErrorKind::Damaged,
            Self::Host { source, .. } => ErrorKind::of_io(source),
            Self::Cancelled => ErrorKind::Cancelled,
            Self::EmptyPath
            | Self::ManyToOne { .. }
            | Self::NoDestination { .. }
            | Self::NotADirectory { .. }
            | Self::Directory { .. }
            | Self::Mode { .. }
            | Self::Owner { .. } => ErrorKind::Argument,
        }
    }

    fn is_transient(&self) -> bool {
        match self {
            Self::Rootfs(error) => error.is_transient(),
            // A part is done: the same call would do it again.
            _ => false,
        }
    }

    fn advice(&self) -> Option<Advice> {
        let text = match self {
            Self::Rootfs(error) => return error.advice(),
            Self::Partly { source } => return source.advice(),
            Self::NotFound { advice, .. }
            | Self::NotADirectory { advice, .. }
            | Self::Directory { advice, .. }
            | Self::Exists { advice, .. } => return Some((*advice).into()),
            Self::EmptyPath => "write / for the root directory",
            Self::ManyToOne { .. } => "give a directory, or one path",
            Self::NoDestination { .. } => "give it behind the others",
            Self::DirectoryTwice { .. } => "run e2fsck on it",
            Self::Mode { .. } => "write one as 644, u+x or go=rX",
            Self::Owner { .. } => "write one as 1000, 1000:50, user:group or :group",
            Self::UnknownName { .. } => "give a number",
            Self::NoXattr { .. } | Self::Host { .. } | Self::Cancelled => return None,
        };
        Some(Advice::new(text))
    }

    fn context(&self) -> ErrorContext {
        let context = ErrorContext::default();
        match self {
            Self::Rootfs(error) => error.context(),
            Self::Partly { source } => source.context(),
            Self::NotFound { path, .. }
            | Self::NotADirectory { path, .. }
            | Self::Directory { path, .. }
            | Self::Exists { path, .. }
            | Self::ManyToOne { path }
            | Self::DirectoryTwice { path } => context.with("path", path),
            Self::NoDestination { path } => context.with("path", path),
            Self::Mode { text } | Self::Owner { text } => context.with("value", text),
            Self::UnknownName { name, database } => context.with("name", name).with("database", database),
            Self::NoXattr { path, name } => context.with("path", path).with("name", name),
            Self::Host { path, .. } => context.with("host_path", path),
            Self::EmptyPath | Self::Cancelled => context,
        }
    }
}
