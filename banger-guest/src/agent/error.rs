//! Errors of operations of the agent.

use banger_guest::protocol::ErrorCode;
use thiserror::Error;

use super::connection::ConnectionError;

/// Error of an operation.
#[derive(Debug, Error)]
pub(crate) enum OperationError {
    /// The peer gets the error, and the connection goes on.
    #[error("{message}")]
    Refused { code: ErrorCode, message: String },
    /// The connection ends.
    #[error(transparent)]
    Connection(#[from] ConnectionError),
}

impl OperationError {
    pub(crate) fn new(code: ErrorCode, message: impl Into<String>) -> Self {
        Self::Refused { code, message: message.into() }
    }

    /// An error of the guest's kernel about something.
    pub(crate) fn of_io(what: &str, error: &std::io::Error) -> Self {
        use std::io::ErrorKind;
        let code = match error.kind() {
            ErrorKind::NotFound | ErrorKind::NotADirectory => ErrorCode::NotFound,
            ErrorKind::PermissionDenied | ErrorKind::ReadOnlyFilesystem => ErrorCode::Denied,
            ErrorKind::StorageFull | ErrorKind::QuotaExceeded | ErrorKind::FileTooLarge => ErrorCode::NoSpace,
            ErrorKind::InvalidInput | ErrorKind::InvalidFilename | ErrorKind::IsADirectory => {
                ErrorCode::Invalid
            }
            ErrorKind::Unsupported => ErrorCode::Unsupported,
            _ => ErrorCode::Failed,
        };
        Self::new(code, format!("{what}: {error}"))
    }
}
