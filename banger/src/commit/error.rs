//! Why a disk did not become an image.

use banger_oci::PullError;
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
    /// The base is the disk of a machine that was kept: its layers do not have what the machine changed.
    #[error("the image {base} has changes of a machine, which its layers do not have")]
    RanBase {
        /// Name of the base.
        base: String,
        /// Name of the image that the machine started from.
        original: Option<String>,
    },
    /// The cache does not have a blob of the base any more, and there is no place to pull it from again.
    #[error("the cache does not have {what} {digest} of the image {base}")]
    MissingBlob {
        /// Name of the base.
        base: String,
        /// The kind of blob: "the layer".
        what: &'static str,
        /// Digest of the blob.
        digest: String,
    },
    /// The cache does not have a blob of the base any more, and neither has the place that the base was pulled from.
    #[error(
        "the cache does not have {what} {digest} of the image {base}, and {reference} cannot give it: {source}"
    )]
    GoneBlob {
        /// Name of the base.
        base: String,
        /// The kind of blob: "the layer".
        what: &'static str,
        /// Digest of the blob.
        digest: String,
        /// The place that the base was pulled from.
        reference: String,
        /// Why it cannot be pulled.
        source: Box<PullError>,
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
    /// The disk was not unmounted, and this user may not lock it: a machine may still use it.
    #[error("{path} was not unmounted, and cannot be locked: a machine may still write to it")]
    Unlocked {
        /// The disk.
        path: Utf8PathBuf,
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
            Self::GoneBlob { .. } => 1286,
            Self::RanBase { .. } => 1287,
            Self::Unlocked { .. } => 1288,
        }
    }
}

impl Failure for CommitError {
    fn code(&self) -> u32 {
        self.code()
    }

    fn kind(&self) -> ErrorKind {
        match self {
            Self::NoLayers { .. } | Self::BuiltBase { .. } | Self::RanBase { .. } => ErrorKind::Argument,
            Self::GoneBlob { source, .. } => source.kind(),
            Self::Unlocked { .. } => ErrorKind::InUse,
            Self::MissingBlob { .. } => ErrorKind::NotFound,
            Self::DamagedBlob { .. } | Self::UnfitBase { .. } | Self::Unsound { .. } => ErrorKind::Damaged,
        }
    }

    fn is_transient(&self) -> bool {
        matches!(self, Self::GoneBlob { source, .. } if source.is_transient())
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
            Self::RanBase { original, .. } => {
                let original = original.as_deref().unwrap_or("the image that the machine started from");
                Advice::with_setting(
                    format!("name {original}, or write the whole disk as one layer with {{setting}}"),
                    squash,
                )
            }
            Self::GoneBlob { .. } => {
                Advice::with_setting("write the whole disk as one layer with {setting}", squash)
            }
            Self::MissingBlob { .. } | Self::DamagedBlob { .. } => Advice::with_setting(
                "pull the base again, or write the whole disk as one layer with {setting}",
                squash,
            ),
            Self::Unlocked { .. } => {
                Advice::new("end the machine, and commit a copy that this user may write to")
            }
            Self::Unsound { path, .. } => Advice::new(format!("mend it with `e2fsck -f {path}`")),
        })
    }

    fn context(&self) -> ErrorContext {
        let context = ErrorContext::default();
        match self {
            Self::NoLayers { base }
            | Self::BuiltBase { base }
            | Self::RanBase { base, .. }
            | Self::UnfitBase { base, .. } => context.with("base", base),
            Self::GoneBlob { base, digest, reference, .. } => {
                context.with("base", base).with("digest", digest).with("reference", reference)
            }
            Self::MissingBlob { base, digest, .. } | Self::DamagedBlob { base, digest, .. } => {
                context.with("base", base).with("digest", digest)
            }
            Self::Unlocked { path } | Self::Unsound { path, .. } => context.with("path", path),
        }
    }
}
