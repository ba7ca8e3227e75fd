//! Errors of a push.

use banger_tree::{Advice, ErrorContext, ErrorKind, Failure, NewFileError, Setting};
use camino::Utf8PathBuf;

use crate::digest::Digest;
use crate::registry::error::PullError;

/// Error of a push. Blobs that arrived before it stay, and the next push does not send them again.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PushError {
    /// The registry or its token server does not allow the push.
    #[error("{host} refuses a push to {repository}: {detail}")]
    Denied {
        /// The host that refused.
        host: String,
        /// The repository.
        repository: String,
        /// Its message.
        detail: String,
    },
    /// The manifest of the caller contradicts itself.
    #[error("the artifact cannot be pushed: {reason}")]
    Artifact {
        /// The contradiction.
        reason: String,
    },
    /// No artifact can be pushed there.
    #[error("cannot push to {target}: {reason}")]
    Target {
        /// The reference.
        target: String,
        /// The reason.
        reason: String,
    },
    /// The registry has no such repository, or takes no pushes at all.
    #[error("{host} takes no push to {repository}: it answered {status}, and says: {detail}")]
    NoPushes {
        /// The host.
        host: String,
        /// The repository.
        repository: String,
        /// The HTTP status.
        status: u16,
        /// Its message.
        detail: String,
    },
    /// The registry does not take this many bytes.
    #[error("{host} does not take {what} of {size_bytes} bytes: {detail}")]
    TooLarge {
        /// The host.
        host: String,
        /// The blob or the manifest.
        what: String,
        /// Its size.
        size_bytes: u64,
        /// The message of the registry.
        detail: String,
    },
    /// The registry has no space left.
    #[error("{host} has no space left: {detail}")]
    Full {
        /// The host.
        host: String,
        /// Its message.
        detail: String,
    },
    /// The registry took a blob, and does not have it.
    #[error("{host} does not have blob {digest}, although it took it: {detail}")]
    BlobLost {
        /// The host.
        host: String,
        /// The blob.
        digest: Digest,
        /// Its message about the manifest.
        detail: String,
    },
    /// The registry gives the content another digest.
    #[error("{host} stored {what} under the digest {stated} where {expected} was sent")]
    WrongDigest {
        /// The host.
        host: String,
        /// The blob or the manifest.
        what: String,
        /// The digest of the bytes.
        expected: Digest,
        /// The digest in the answer.
        stated: Digest,
    },
    /// A file of a layout or an archive cannot be written.
    #[error("cannot write {path}: {source}")]
    File {
        /// The file.
        path: Utf8PathBuf,
        /// The cause.
        source: NewFileError,
    },
    /// The caller's [`Cancellation`](banger_tree::Cancellation) stopped the push.
    #[error("the push was cancelled")]
    Cancelled,
    /// A failure that pulls have, too.
    #[error(transparent)]
    Pull(PullError),
}

impl From<PullError> for PushError {
    fn from(error: PullError) -> Self {
        match error {
            PullError::Cancelled => Self::Cancelled,
            error => Self::Pull(error),
        }
    }
}

impl PushError {
    /// A number that stays the same for this kind of failure in all versions.
    #[must_use]
    pub fn code(&self) -> u32 {
        match self {
            Self::Denied { .. } => 1260,
            Self::Artifact { .. } => 1261,
            Self::Target { .. } => 1262,
            Self::NoPushes { .. } => 1263,
            Self::TooLarge { .. } => 1264,
            Self::Full { .. } => 1265,
            Self::BlobLost { .. } => 1266,
            Self::WrongDigest { .. } => 1267,
            Self::File { .. } => 1268,
            Self::Cancelled => 1269,
            Self::Pull(error) => error.code(),
        }
    }

    pub(crate) fn file(path: impl Into<Utf8PathBuf>) -> impl FnOnce(NewFileError) -> Self {
        let path = path.into();
        move |source| Self::File { path, source }
    }

    /// Returns the texts in this error that may be foreign.
    pub(crate) fn foreign_texts(&mut self) -> Vec<&mut String> {
        match self {
            Self::Denied { host, detail, .. }
            | Self::NoPushes { host, detail, .. }
            | Self::TooLarge { host, detail, .. }
            | Self::Full { host, detail }
            | Self::BlobLost { host, detail, .. } => vec![host, detail],
            Self::WrongDigest { host, .. } => vec![host],
            Self::Pull(error) => error.foreign_texts(),
            Self::Artifact { .. } | Self::Target { .. } | Self::File { .. } | Self::Cancelled => Vec::new(),
        }
    }
}

impl Failure for PushError {
    fn code(&self) -> u32 {
        self.code()
    }

    fn kind(&self) -> ErrorKind {
        match self {
            Self::Denied { .. } => ErrorKind::Access,
            Self::Artifact { .. } | Self::Target { .. } => ErrorKind::Argument,
            Self::NoPushes { .. } => ErrorKind::Unsupported,
            Self::TooLarge { .. } => ErrorKind::Limit,
            Self::Full { .. } => ErrorKind::NoSpace,
            Self::BlobLost { .. } => ErrorKind::Network,
            Self::WrongDigest { .. } => ErrorKind::Damaged,
            Self::File { source, .. } => source.kind(),
            Self::Cancelled => ErrorKind::Cancelled,
            Self::Pull(error) => error.kind(),
        }
    }

    fn is_transient(&self) -> bool {
        match self {
            Self::BlobLost { .. } => true,
            Self::Pull(error) => error.is_transient(),
            _ => false,
        }
    }

    fn advice(&self) -> Option<Advice> {
        match self {
            Self::Denied { .. } => Some(Advice::with_setting(
                "log in as a user that may push there, or give credentials by {setting}",
                Setting("credentials"),
            )),
            Self::NoPushes { .. } => Some(Advice::new(
                "check the name; some registries want the repository to be made before the first push",
            )),
            Self::Full { .. } => {
                Some(Advice::new("remove what is no longer needed from the registry, or raise its quota"))
            }
            Self::BlobLost { .. } => Some(Advice::new("push again; the registry may be removing old blobs")),
            Self::TooLarge { .. } => {
                Some(Advice::new("raise the limit of the registry, or of the proxy before it"))
            }
            Self::File { source, .. } => source.advice(),
            Self::Pull(error) => error.advice(),
            Self::Artifact { .. } | Self::Target { .. } | Self::WrongDigest { .. } | Self::Cancelled => None,
        }
    }

    fn context(&self) -> ErrorContext {
        let context = ErrorContext::default();
        match self {
            Self::Denied { host, repository, .. } => {
                context.with("host", host).with("repository", repository)
            }
            Self::NoPushes { host, repository, status, .. } => {
                context.with("host", host).with("repository", repository).with("status", status)
            }
            Self::TooLarge { host, what, size_bytes, .. } => {
                context.with("host", host).with("what", what).with("size_bytes", size_bytes)
            }
            Self::Full { host, .. } => context.with("host", host),
            Self::BlobLost { host, digest, .. } => context.with("host", host).with("digest", digest),
            Self::WrongDigest { host, expected, stated, .. } => {
                context.with("host", host).with("expected", expected).with("actual", stated)
            }
            Self::Target { target, .. } => context.with("reference", target),
            Self::File { path, .. } => context.with("path", path),
            Self::Artifact { .. } | Self::Cancelled => context,
            Self::Pull(error) => error.context(),
        }
    }

    fn os_error(&self) -> Option<i32> {
        match self {
            Self::File { source, .. } => source.os_error(),
            Self::Pull(error) => error.os_error(),
            _ => None,
        }
    }
}
