//! Files of the user that do not exist.

use std::io::{Error, ErrorKind};

/// Whether a file or a directory, or one above it, does not exist.
pub(crate) fn is_missing(error: &Error) -> bool {
    matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory)
}
