//! Why an artifact was not signed.

use banger_tree::{Advice, ErrorContext, ErrorKind, Failure};

use crate::digest::Digest;
use crate::registry::push::error::PushError;
use crate::registry::trust::SigningKeyError;

/// Error of a signature. The artifact has no new one then.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SignError {
    /// A target of this kind cannot hold signatures.
    #[error("cannot sign {target}: {reason}")]
    Target {
        /// The reference.
        target: String,
        /// The reason.
        reason: &'static str,
    },
    /// There are as many signatures as a check reads.
    #[error("{digest} has {limit} signatures already; more are not read")]
    TooMany {
        /// The signed manifest.
        digest: Digest,
        /// The limit.
        limit: usize,
    },
    /// Something else has the tag of the signatures.
    #[error("the tag {tag} is taken, and does not lead to signatures: {reason}")]
    Occupied {
        /// The tag.
        tag: String,
        /// The reason.
        reason: String,
    },
    /// The private key cannot sign.
    #[error(transparent)]
    Key(#[from] SigningKeyError),
    /// The signature could not be read from or written to the target.
    #[error(transparent)]
    Push(#[from] PushError),
}

impl SignError {
    /// A number that stays the same for this kind of failure in all versions.
    #[must_use]
    pub fn code(&self) -> u32 {
        match self {
            Self::Target { .. } => 1312,
            Self::TooMany { .. } => 1313,
            Self::Occupied { .. } => 1314,
            Self::Key(error) => error.code(),
            Self::Push(error) => error.code(),
        }
    }
}

impl Failure for SignError {
    fn code(&self) -> u32 {
        self.code()
    }

    fn kind(&self) -> ErrorKind {
        match self {
            Self::Target { .. } => ErrorKind::Unsupported,
            Self::TooMany { .. } => ErrorKind::Limit,
            Self::Occupied { .. } => ErrorKind::Exists,
            Self::Key(error) => error.kind(),
            Self::Push(error) => error.kind(),
        }
    }

    fn is_transient(&self) -> bool {
        match self {
            Self::Push(error) => error.is_transient(),
            _ => false,
        }
    }

    fn advice(&self) -> Option<Advice> {
        Some(match self {
            Self::Target { .. } => Advice::new("push to a registry or to an OCI layout"),
            Self::TooMany { .. } => Advice::new("remove signatures that are no longer needed"),
            Self::Occupied { .. } => Advice::new("remove the tag, or push to another repository"),
            Self::Key(error) => return error.advice(),
            Self::Push(error) => return error.advice(),
        })
    }

    fn context(&self) -> ErrorContext {
        let context = ErrorContext::default();
        match self {
            Self::Target { target, .. } => context.with("reference", target),
            Self::TooMany { digest, limit } => context.with("digest", digest).with("limit", limit),
            Self::Occupied { tag, .. } => context.with("tag", tag),
            Self::Key(error) => error.context(),
            Self::Push(error) => error.context(),
        }
    }

    fn os_error(&self) -> Option<i32> {
        match self {
            Self::Push(error) => error.os_error(),
            _ => None,
        }
    }
}
