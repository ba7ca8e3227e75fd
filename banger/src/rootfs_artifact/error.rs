//! Why a finished image was not pushed as an artifact, or not made of one.

use std::io;

use banger_oci::{PushError, SignError};
use banger_tree::{Advice, ErrorContext, ErrorKind, Failure, Setting};
use camino::{Utf8Path, Utf8PathBuf};

/// Why a finished image was not pushed as an artifact, or not made of one. Nothing is published then, unless the error
/// says that the image was pushed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RootfsArtifactError {
    /// The manifest or the configuration does not describe an image.
    #[error("the artifact {digest} is malformed: {reason}")]
    Malformed {
        /// Digest of the manifest.
        digest: String,
        /// What is wrong.
        reason: String,
    },
    /// The bytes of a window are not those of the manifest.
    #[error("the window at byte {offset} of the artifact {digest} is wrong: {reason}")]
    Window {
        /// Digest of the manifest.
        digest: String,
        /// Where the window belongs in the ext4 file.
        offset: u64,
        /// What is wrong.
        reason: String,
    },
    /// A later version of banger wrote the artifact.
    #[error("the artifact {digest} has version {version}; this banger reads versions up to {known}")]
    Version {
        /// Digest of the manifest.
        digest: String,
        /// Its version.
        version: u32,
        /// The newest version that is known.
        known: u32,
    },
    /// The reference leads to an image that would have to be converted.
    #[error("{reference} is not a finished root file system")]
    NotFinished {
        /// The reference.
        reference: String,
    },
    /// The image has more bytes, other than zeros, than an artifact can have.
    #[error(
        "{path} has {size_bytes} bytes; its data does not fit into the windows of an artifact, at most {most_bytes} bytes"
    )]
    TooLarge {
        /// The ext4 file.
        path: Utf8PathBuf,
        /// Its size.
        size_bytes: u64,
        /// Bytes of as many windows as an artifact can have.
        most_bytes: u64,
    },
    /// The image was pushed, and not signed.
    #[error("{target} was pushed as {digest}, and is not signed: {source}")]
    Unsigned {
        /// The target.
        target: String,
        /// Digest of the manifest.
        digest: String,
        /// Why it was not signed.
        source: Box<SignError>,
    },
    /// The image was pushed, and the statement where it comes from is not beside it.
    #[error("{target} was pushed as {digest}, and has no attestation: {source}")]
    Unattested {
        /// The target.
        target: String,
        /// Digest of the manifest.
        digest: String,
        /// Why the statement is not there.
        source: Box<PushError>,
    },
    /// The host failed.
    #[error("cannot {action} {path}: {source}")]
    Io {
        /// What was tried.
        action: &'static str,
        /// The file.
        path: Utf8PathBuf,
        /// The error of the host.
        source: io::Error,
    },
}

impl RootfsArtifactError {
    /// Returns a function that makes the error of a failed `action` on `path`.
    pub(super) fn io(action: &'static str, path: &Utf8Path) -> impl Fn(io::Error) -> Self + use<> {
        let path = path.to_owned();
        move |source| Self::Io { action, path: path.clone(), source }
    }

    /// Returns a number that stays the same for this kind of failure in all versions.
    pub fn code(&self) -> u32 {
        match self {
            Self::Malformed { .. } => 1270,
            Self::Window { .. } => 1271,
            Self::Version { .. } => 1272,
            Self::TooLarge { .. } => 1273,
            Self::Io { .. } => 1274,
            Self::NotFinished { .. } => 1275,
            Self::Unsigned { .. } => 1315,
            Self::Unattested { .. } => 1316,
        }
    }
}

impl Failure for RootfsArtifactError {
    fn code(&self) -> u32 {
        self.code()
    }

    fn kind(&self) -> ErrorKind {
        match self {
            Self::Malformed { .. } | Self::Window { .. } => ErrorKind::Damaged,
            Self::Version { .. } | Self::NotFinished { .. } => ErrorKind::Unsupported,
            Self::TooLarge { .. } => ErrorKind::Limit,
            Self::Unsigned { source, .. } => source.kind(),
            Self::Unattested { source, .. } => source.kind(),
            Self::Io { source, .. } => ErrorKind::of_io(source),
        }
    }

    fn is_transient(&self) -> bool {
        match self {
            Self::Unsigned { source, .. } => source.is_transient(),
            Self::Unattested { source, .. } => source.is_transient(),
            _ => false,
        }
    }

    fn advice(&self) -> Option<Advice> {
        let again = || Advice::new("push again: what arrived is not sent twice");
        match self {
            Self::Unsigned { source, .. } => source.advice().or_else(|| Some(again())),
            Self::Unattested { source, .. } => source.advice().or_else(|| Some(again())),
            Self::Malformed { .. } | Self::Window { .. } => {
                Some(Advice::new("push the image again from a machine that has it"))
            }
            Self::Version { .. } => Some(Advice::new("update banger")),
            Self::NotFinished { .. } => {
                let advice = "pull it without {setting} on one machine, and push the result from there";
                Some(Advice::with_setting(advice, Setting("rootfs_only")))
            }
            Self::TooLarge { .. } | Self::Io { .. } => None,
        }
    }

    fn context(&self) -> ErrorContext {
        let context = ErrorContext::default();
        match self {
            Self::Malformed { digest, .. } => context.with("digest", digest),
            Self::Window { digest, offset, .. } => context.with("digest", digest).with("offset", offset),
            Self::NotFinished { reference } => context.with("reference", reference),
            Self::Version { digest, version, .. } => context.with("digest", digest).with("version", version),
            Self::TooLarge { path, size_bytes, .. } => {
                context.with("path", path).with("size_bytes", size_bytes)
            }
            Self::Unsigned { target, digest, .. } | Self::Unattested { target, digest, .. } => {
                context.with("reference", target).with("digest", digest)
            }
            Self::Io { path, .. } => context.with("path", path),
        }
    }

    fn os_error(&self) -> Option<i32> {
        match self {
            Self::Unsigned { source, .. } => source.os_error(),
            Self::Unattested { source, .. } => source.os_error(),
            Self::Io { source, .. } => source.raw_os_error(),
            _ => None,
        }
    }
}
