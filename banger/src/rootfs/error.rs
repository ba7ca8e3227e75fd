//! Errors of commands on a root file system.

use std::io;

use banger_tree::{Advice, ErrorContext, ErrorKind, Failure, GuestPath, ResolveError, RootfsError};

pub use super::advice::EditAdvice;

/// Error of a command on a root file system. Paths are inside it, unless they are called the host's.
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
        /// The next step.
        advice: EditAdvice,
    },
    /// Something is a directory.
    #[error("{path} is a directory")]
    Directory {
        /// The path.
        path: GuestPath,
        /// The next step.
        advice: EditAdvice,
    },
    /// Something is not a directory.
    #[error("{path} is not a directory")]
    NotADirectory {
        /// The path.
        path: GuestPath,
        /// The next step.
        advice: EditAdvice,
    },
    /// The place is taken.
    #[error("{path} exists already")]
    Exists {
        /// The path.
        path: GuestPath,
        /// The next step.
        advice: EditAdvice,
    },
    /// The last path, the destination, is missing.
    #[error("{path} is the only path, and the place that it goes to is missing")]
    NoDestination {
        /// The path, escaped.
        path: String,
    },
    /// Several sources would get one name.
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
    /// An invalid mode.
    #[error("{text:?} is not a mode")]
    Mode {
        /// The text.
        text: String,
    },
    /// An invalid owner.
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
    /// A text is no content that a file can be compared with.
    #[error("{text:?} is neither a SHA-256 digest nor \"absent\"")]
    Match {
        /// The text.
        text: String,
    },
    /// Content is to be compared with that of several files, or of a directory.
    #[error("the content of only one file can be compared before it is written")]
    MatchOfMany,
    /// A file does not have the content that it must have to be written.
    #[error("the content of {path} is {found}, not {wanted}")]
    Differs {
        /// The path.
        path: GuestPath,
        /// The digest that it must have, or "absent".
        wanted: String,
        /// The digest that it has, "absent", or its type.
        found: String,
    },
    /// A file that was written has other bytes when it is read back.
    #[error("{path} was written, and reads back as {found}, not {wanted}")]
    ReadBack {
        /// The path.
        path: GuestPath,
        /// The digest of the written bytes.
        wanted: String,
        /// The digest that it has, "absent", or its type.
        found: String,
    },
    /// A path cannot have its own name on this host.
    #[error("the name of {path} is not UTF-8")]
    HostName {
        /// The path.
        path: GuestPath,
    },
    /// Two paths would get one name on this host.
    #[error("{path} and a path before it would both become {to}")]
    TwoOfOneName {
        /// The second path.
        path: GuestPath,
        /// The name.
        to: String,
    },
    /// A text is no time.
    #[error("{text:?} is not a time")]
    Time {
        /// The text.
        text: String,
    },
    /// A pattern for names is malformed.
    #[error("the pattern {text:?} {reason}")]
    Pattern {
        /// The text.
        text: String,
        /// The fault, as the rest of a sentence.
        reason: &'static str,
    },
    /// A script of edits is malformed.
    #[error("line {line}, column {column} of the script: {reason}")]
    Script {
        /// The line, from 1 on.
        line: usize,
        /// The column, from 1 on; 0 if the fault is the whole line.
        column: usize,
        /// The fault.
        reason: String,
    },
    /// A script of edits is longer than allowed.
    #[error("the script has more than {limit_bytes} bytes")]
    LongScript {
        /// The limit.
        limit_bytes: u64,
    },
    /// A field of an operation is missing, wrong, or belongs to another operation.
    #[error("the field {field:?} {reason}")]
    ScriptField {
        /// The field.
        field: &'static str,
        /// The fault.
        reason: String,
    },
    /// An operation of a script failed.
    #[error("operation {index}, {operation} {path}: {source}")]
    Operation {
        /// Its index in the script, from 0 on.
        index: usize,
        /// Its name.
        operation: &'static str,
        /// Its path, escaped; empty if the path is the fault.
        path: String,
        /// Why it failed.
        source: Box<EditError>,
    },
    /// A file of the host could not be read.
    #[error("cannot {action} {path} of this host: {source}")]
    Host {
        /// The action that failed, as a verb.
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
            Self::ManyToOne { .. } => ResolveError::NOT_A_DIRECTORY_CODE,
            Self::NoDestination { .. } => 724,
            Self::DirectoryTwice { .. } => 713,
            Self::Partly { source } => source.code(),
            Self::NotFound { .. } => ResolveError::NOT_FOUND_CODE,
            Self::NotADirectory { .. } => ResolveError::NOT_A_DIRECTORY_CODE,
            Self::Directory { .. } => 702,
            Self::Exists { .. } => 705,
            Self::Mode { .. } => 720,
            Self::Owner { .. } => 721,
            Self::UnknownName { .. } => 722,
            Self::Host { .. } => 723,
            Self::NoXattr { .. } => 727,
            Self::Script { .. } | Self::LongScript { .. } => 1340,
            Self::ScriptField { .. } => 1341,
            Self::Differs { .. } => 1342,
            Self::ReadBack { .. } => 1343,
            Self::Match { .. } | Self::MatchOfMany => 1344,
            Self::HostName { .. } | Self::TwoOfOneName { .. } => 1345,
            Self::Pattern { .. } => 1346,
            Self::Time { .. } => 1347,
            Self::Operation { source, .. } => source.code(),
            Self::Cancelled => 505,
        }
    }

    /// Returns whether the message names the image already.
    pub(crate) fn names_image(&self) -> bool {
        if let Self::Partly { source } | Self::Operation { source, .. } = self {
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
            Self::Partly { source } | Self::Operation { source, .. } => source.kind(),
            Self::ReadBack { .. } => ErrorKind::Damaged,
            Self::LongScript { .. } => ErrorKind::Limit,
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
            | Self::Owner { .. }
            | Self::Match { .. }
            | Self::MatchOfMany
            | Self::Differs { .. }
            | Self::HostName { .. }
            | Self::Pattern { .. }
            | Self::Time { .. }
            | Self::TwoOfOneName { .. }
            | Self::Script { .. }
            | Self::ScriptField { .. } => ErrorKind::Argument,
        }
    }

    fn is_transient(&self) -> bool {
        match self {
            Self::Rootfs(error) => error.is_transient(),
            Self::Operation { source, .. } => source.is_transient(),
            // A part is done: the same call would do it again.
            _ => false,
        }
    }

    fn advice(&self) -> Option<Advice> {
        let text = match self {
            Self::Rootfs(error) => return error.advice(),
            Self::Partly { source } | Self::Operation { source, .. } => return source.advice(),
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
            Self::Match { .. } => "write sha256: and 64 hexadecimal digits, or absent",
            Self::MatchOfMany => "give one file",
            Self::Differs { .. } => "another program changed the file: read it again",
            Self::ReadBack { .. } => "check the disk of this host, and the file system in the file",
            Self::Pattern { .. } => "put a backslash before a character that means itself",
            Self::Time { .. } => "write one as 2026-01-31, 2026-01-31T12:00:00Z or @0",
            Self::HostName { .. } => "copy it alone, and give a new name",
            Self::TwoOfOneName { .. } => "copy one of them alone",
            Self::LongScript { .. } => "give large contents as files of this host",
            Self::NoXattr { .. }
            | Self::Script { .. }
            | Self::ScriptField { .. }
            | Self::Host { .. }
            | Self::Cancelled => return None,
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
            Self::Differs { path, wanted, found } | Self::ReadBack { path, wanted, found } => {
                context.with("path", path).with("wanted", wanted).with("found", found)
            }
            Self::Match { text } | Self::Time { text } | Self::Pattern { text, .. } => {
                context.with("value", text)
            }
            Self::HostName { path } => context.with("path", path),
            Self::TwoOfOneName { path, to } => context.with("path", path).with("host_path", to),
            Self::Script { line, column, .. } => context.with("line", line).with("column", column),
            Self::ScriptField { field, .. } => context.with("field", field),
            Self::Operation { index, operation, path, source } => {
                let context = source.context().with("index", index).with("operation", operation);
                if path.is_empty() { context } else { context.with("operation_path", path) }
            }
            Self::LongScript { limit_bytes } => context.with("limit_bytes", limit_bytes),
            Self::Mode { text } | Self::Owner { text } => context.with("value", text),
            Self::UnknownName { name, database } => context.with("name", name).with("database", database),
            Self::NoXattr { path, name } => context.with("path", path).with("name", name),
            Self::Host { path, .. } => context.with("host_path", path),
            Self::EmptyPath | Self::MatchOfMany | Self::Cancelled => context,
        }
    }
}
