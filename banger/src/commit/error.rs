//! Why a disk did not become an image.

use banger_tree::{Advice, ErrorContext, ErrorKind, Failure, Setting};
use camino::Utf8PathBuf;

/// Why a disk did not become an image. The disk is unchanged, and nothing was written.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CommitError {
    /// The base is an image without layers: it was made of a file.
    #[error("the image {base} has no layers that a new one could lie on: it was not pulled")]
    NoLayers {
        /// Name of the base.
        base: String,
    },
    /// The base has more in it than its layers: it was built by steps.
    #[error("the image {base} was built by steps of which its layers have nothing")]
    BuiltBase {
        /// Name of the base.
        base: String,
    },
    /// The cache does not have a blob of the base any more.
    #[error("the cache does not have {what} {digest} of the image {base}")]
    MissingBlob {
        /// Name of the base.
        base: String,
        /// The kind of blob: "the layer".
        what: &'static str,
        /// Digest of the blob.
        digest: String,
    },
    /// A blob of the base in the cache has other bytes than its digest says.
    #[error("{what} {digest} of the image {base} is damaged in the cache")]
    DamagedBlob {
        /// Name of the base.
        base: String,
        /// The kind of blob: "the layer".
        what: &'static str,
        /// Digest of the blob.
        digest: String,
    },
    /// The manifest, the configuration and the record of the base do not agree.
    #[error("the image {base} is no base for a new layer: {reason}")]
    UnfitBase {
        /// Name of the base.
        base: String,
        /// The disagreement.
        reason: String,
    },
    /// The file system of the disk has errors.
    #[error("{path} has errors: {problem}")]
    Unsound {
        /// The disk.
        path: Utf8PathBuf,
        /// The first error, as one sentence.
        problem: String,
    },
}

impl CommitError {
    /// Returns a number that stays the same for this kind of failure in all versions.
    pub fn code(&self) -> u32 {
        match self {
            Self::NoLayers { .. } => 1280,
            Self::BuiltBase { .. } => 1281,
            Self::MissingBlob { .. } => 1282,
            Self::DamagedBlob { .. } => 1283,
            Self::UnfitBase { .. } => 1284,
            Self::Unsound { .. } => 1285,
        }
    }
}

impl Failure for CommitError {
    fn code(&self) -> u32 {
        self.code()
    }

    fn kind(&self) -> ErrorKind {
        match self {
            Self::NoLayers { .. } | Self::BuiltBase { .. } => ErrorKind::Argument,
            Self::MissingBlob { .. } => ErrorKind::NotFound,
            Self::DamagedBlob { .. } | Self::UnfitBase { .. } | Self::Unsound { .. } => ErrorKind::Damaged,
        }
    }

    fn advice(&self) -> Option<Advice> {
        let squash = Setting("squash");
        Some(match self {
            Self::NoLayers { .. } | Self::UnfitBase { .. } => {
                Advice::with_setting("write the whole disk as one layer with {setting}", squash)
            }
            Self::BuiltBase { .. } => Advice::with_setting(
                "name the image that it was built from, or write the whole disk as one layer with {setting}",
                squash,
            ),
            Self::MissingBlob { .. } | Self::DamagedBlob { .. } => Advice::with_setting(
                "pull the base again, or write the whole disk as one layer with {setting}",
                squash,
            ),
            Self::Unsound { path, .. } => Advice::new(format!("mend it with `e2fsck -f {path}`")),
        })
    }

    fn context(&self) -> ErrorContext {
        let context = ErrorContext::default();
        match self {
            Self::NoLayers { base } | Self::BuiltBase { base } | Self::UnfitBase { base, .. } => {
                context.with("base", base)
            }
            Self::MissingBlob { base, digest, .. } | Self::DamagedBlob { base, digest, .. } => {
                context.with("base", base).with("digest", digest)
            }
            Self::Unsound { path, .. } => context.with("path", path),
        }
    }
}
