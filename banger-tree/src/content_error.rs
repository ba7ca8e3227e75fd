//! Why a content store fails.

use crate::content_id::ContentId;
use crate::failure::{Advice, ErrorContext, ErrorKind, Failure};

/// Error of a content store.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ContentError {
    /// The file system being built, or the disk under the store, is full.
    #[error("no space left for {needed_bytes} more bytes of file content in {store}")]
    NoSpace {
        /// The full store: a path of the host or "the image".
        store: String,
        /// Bytes that did not fit.
        needed_bytes: u64,
        /// What to do, if something helps.
        advice: Option<Advice>,
    },
    /// The number of bytes differs from the announced one.
    #[error("file content of {declared_bytes} bytes got {written_bytes}")]
    WrongLength {
        /// Length given to [`ContentStore::begin`](crate::ContentStore::begin).
        declared_bytes: u64,
        /// Bytes appended.
        written_bytes: u64,
    },
    /// An id that is unknown, released, or not yet finished.
    #[error("content {} is not readable here", .id.0)]
    Unknown {
        /// The id asked for.
        id: ContentId,
    },
    /// The caller asked to stop.
    #[error("cancelled")]
    Cancelled,
    /// The extended attributes of one inode do not fit the new file system.
    #[error("{reason}")]
    Xattrs {
        /// The limit, with numbers.
        reason: String,
    },
    /// The host failed to read or write.
    #[error("cannot {action} {store}: {source}")]
    Io {
        /// The action that failed, as a verb: "write", "read".
        action: &'static str,
        /// The file it was tried on.
        store: String,
        /// The host's error.
        source: std::io::Error,
    },
}

impl ContentError {
    /// Returns a number that stays the same for this failure in all versions.
    pub fn code(&self) -> u32 {
        match self {
            Self::Cancelled => 505,
            _ => 710,
        }
    }
}

impl Failure for ContentError {
    fn code(&self) -> u32 {
        self.code()
    }

    fn kind(&self) -> ErrorKind {
        match self {
            Self::NoSpace { .. } => ErrorKind::NoSpace,
            Self::WrongLength { .. } => ErrorKind::Damaged,
            Self::Unknown { .. } => ErrorKind::Internal,
            Self::Cancelled => ErrorKind::Cancelled,
            Self::Xattrs { .. } => ErrorKind::Limit,
            Self::Io { source, .. } => ErrorKind::of_io(source),
        }
    }

    fn advice(&self) -> Option<Advice> {
        match self {
            Self::NoSpace { advice, .. } => advice.clone(),
            Self::Io { source, .. } => Advice::on_full_disk(source),
            _ => None,
        }
    }

    fn context(&self) -> ErrorContext {
        let context = ErrorContext::default();
        match self {
            Self::NoSpace { store, needed_bytes, .. } => {
                context.with("store", store).with("needed_bytes", needed_bytes)
            }
            Self::WrongLength { declared_bytes, written_bytes } => {
                context.with("declared_bytes", declared_bytes).with("written_bytes", written_bytes)
            }
            Self::Unknown { id } => context.with("content", id.0),
            Self::Cancelled | Self::Xattrs { .. } => context,
            Self::Io { store, .. } => context.with("store", store),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io;

    use super::*;

    #[test]
    fn each_failure_has_its_kind() {
        let io = |kind: io::ErrorKind| ContentError::Io {
            action: "write",
            store: "scratch".to_owned(),
            source: kind.into(),
        };
        let advice = Some(Advice::new("free some space"));
        let table = [
            (
                ContentError::NoSpace { store: "scratch".to_owned(), needed_bytes: 1, advice },
                ErrorKind::NoSpace,
            ),
            (ContentError::WrongLength { declared_bytes: 1, written_bytes: 2 }, ErrorKind::Damaged),
            (ContentError::Unknown { id: ContentId::from_index(0) }, ErrorKind::Internal),
            (ContentError::Cancelled, ErrorKind::Cancelled),
            (ContentError::Xattrs { reason: "too many".to_owned() }, ErrorKind::Limit),
            (io(io::ErrorKind::PermissionDenied), ErrorKind::Access),
            (io(io::ErrorKind::StorageFull), ErrorKind::NoSpace),
        ];
        for (error, kind) in &table {
            // A new variant does not compile until it is here, and then it needs a line above.
            match error {
                ContentError::NoSpace { .. }
                | ContentError::WrongLength { .. }
                | ContentError::Unknown { .. }
                | ContentError::Cancelled
                | ContentError::Xattrs { .. }
                | ContentError::Io { .. } => assert_eq!(error.kind(), *kind, "{error}"),
            }
            let has_advice = error.kind() == ErrorKind::NoSpace;
            assert_eq!(error.advice().is_some(), has_advice, "{error}");
        }
    }
}
