//! Why a file of the host is not made.

use std::io;

/// Why a new file was not made.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum NewFileError {
    /// The place cannot have a file.
    #[error("it {reason}")]
    Kind {
        /// What the place is, as the rest of a sentence: "is a directory".
        reason: &'static str,
    },
    /// A file is there, and was to stay.
    #[error("it exists already")]
    Exists,
    /// The host refuses.
    #[error("cannot {action} it: {source}")]
    Io {
        /// What was tried, as a verb.
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
