//! Errors of new files on the host.

use std::io;

use crate::failure::{ErrorKind, Failure};

/// Why a new file was not made.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum NewFileError {
    /// The place cannot have a file.
    #[error("it {reason}")]
    Kind {
        /// The reason, as the rest of a sentence: "is a directory".
        reason: &'static str,
    },
    /// A file exists and must stay.
    #[error("it exists already")]
    Exists,
    /// The host refuses.
    #[error("cannot {action} it: {source}")]
    Io {
        /// The action that failed, as a verb.
        action: &'static str,
        /// The host's error.
        source: io::Error,
    },
}

impl NewFileError {
    pub(crate) fn io<E: Into<io::Error>>(action: &'static str) -> impl Fn(E) -> Self {
        move |source| Self::Io { action, source: source.into() }
    }
}

impl From<NewFileError> for io::Error {
    fn from(error: NewFileError) -> Self {
        match error {
            NewFileError::Io { source, .. } => source,
            NewFileError::Exists => Self::new(io::ErrorKind::AlreadyExists, error),
            NewFileError::Kind { .. } => Self::new(io::ErrorKind::InvalidInput, error),
        }
    }
}

impl NewFileError {
    /// Returns a number that stays the same for this failure in all versions.
    pub fn code(&self) -> u32 {
        match self {
            Self::Exists => 503,
            Self::Io { .. } => 504,
            Self::Kind { .. } => 508,
        }
    }
}

impl Failure for NewFileError {
    fn code(&self) -> u32 {
        self.code()
    }

    fn kind(&self) -> ErrorKind {
        match self {
            Self::Exists => ErrorKind::Exists,
            Self::Kind { .. } => ErrorKind::Argument,
            Self::Io { source, .. } => ErrorKind::of_io(source),
        }
    }
}
