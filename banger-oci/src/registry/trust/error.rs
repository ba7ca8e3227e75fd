//! Why an image is not trusted.

use banger_tree::{Advice, ErrorContext, ErrorKind, Failure, Setting};

use crate::digest::Digest;

/// Error of the check of an image's signatures, or of a policy. Nothing of the image's configuration and layers was
/// fetched.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TrustError {
    /// The image has no signature.
    #[error("there is no signature for {digest}")]
    NoSignature {
        /// The manifest or the index.
        digest: Digest,
    },
    /// No accepted key made the signature of these bytes.
    #[error("the signature for {digest} is refused: {keys} did not make it, or it was changed since")]
    WrongKey {
        /// The manifest or the index.
        digest: Digest,
        /// The keys that are accepted.
        keys: String,
    },
    /// An accepted key signed another image.
    #[error("the signature beside {digest} is refused: it signs {signed}")]
    WrongDigest {
        /// The manifest or the index.
        digest: Digest,
        /// The digest in the signature.
        signed: String,
    },
    /// An accepted key signed this image under another name.
    #[error("the signature for {digest} is refused: it names {signed}, and the policy wants {wanted}")]
    WrongIdentity {
        /// The manifest or the index.
        digest: Digest,
        /// The name in the signature.
        signed: String,
        /// The name that the policy wants.
        wanted: String,
    },
    /// Something else lies in the place of a signature.
    #[error("the signature for {digest} is refused: it is {kind}, not the signature of an image")]
    NotASignature {
        /// The manifest or the index.
        digest: Digest,
        /// What it is.
        kind: String,
    },
    /// A signature cannot be understood.
    #[error("the signature for {digest} is malformed: {reason}")]
    MalformedSignature {
        /// The manifest or the index.
        digest: Digest,
        /// The reason.
        reason: String,
    },
    /// The policy rejects the image.
    #[error("the policy {policy} rejects {reference} (rule for {scope})")]
    Rejected {
        /// The policy file.
        policy: String,
        /// The reference.
        reference: String,
        /// The transport and scope of the rule.
        scope: String,
    },
    /// The policy asks for something that is not supported.
    #[error("the policy {policy} asks for {what}, which is not supported (rule for {scope})")]
    UnsupportedRequirement {
        /// The policy file.
        policy: String,
        /// The unsupported requirement.
        what: String,
        /// The transport and scope of the rule.
        scope: String,
    },
    /// A policy file cannot be read or understood.
    #[error("cannot use the policy {policy}: {reason}")]
    Policy {
        /// The policy file.
        policy: String,
        /// The reason.
        reason: String,
    },
    /// A key cannot be read or understood.
    #[error("cannot use the key {key}: {reason}")]
    Key {
        /// The file, or the place of the key in the policy.
        key: String,
        /// The reason.
        reason: String,
    },
    /// There are more signatures than banger reads.
    #[error("none of the first {limit} signatures for {digest} is accepted; more are not read")]
    TooManySignatures {
        /// The manifest or the index.
        digest: Digest,
        /// The limit.
        limit: usize,
    },
    /// A bundle that needs more than a public key.
    #[error("the signature for {digest} is a bundle with {what}, which is not supported")]
    UnsupportedBundle {
        /// The manifest or the index.
        digest: Digest,
        /// What the bundle has.
        what: String,
    },
    /// The image comes from a place that cannot have signatures.
    #[error("{reference} cannot have signatures")]
    UnsignedSource {
        /// The reference.
        reference: String,
    },
}

impl TrustError {
    /// A number that stays the same for this kind of failure in all versions.
    #[must_use]
    pub fn code(&self) -> u32 {
        match self {
            Self::NoSignature { .. } => 1220,
            Self::WrongKey { .. } => 1221,
            Self::WrongDigest { .. } => 1222,
            Self::WrongIdentity { .. } => 1223,
            Self::NotASignature { .. } => 1224,
            Self::MalformedSignature { .. } => 1225,
            Self::Rejected { .. } => 1226,
            Self::UnsupportedRequirement { .. } => 1227,
            Self::Policy { .. } => 1228,
            Self::Key { .. } => 1229,
            Self::TooManySignatures { .. } => 1230,
            Self::UnsupportedBundle { .. } => 1231,
            Self::UnsignedSource { .. } => 1232,
        }
    }

    /// How far a signature came: of several errors, the one with the highest number tells most.
    pub(crate) fn progress(&self) -> u8 {
        match self {
            Self::NoSignature { .. } => 0,
            Self::NotASignature { .. } => 1,
            Self::UnsupportedBundle { .. } => 2,
            Self::MalformedSignature { .. } => 3,
            Self::WrongKey { .. } => 4,
            Self::WrongDigest { .. } => 5,
            Self::WrongIdentity { .. } => 6,
            Self::TooManySignatures { .. } => 7,
            _ => u8::MAX,
        }
    }

    /// Returns the texts in this error that may be foreign.
    pub(crate) fn foreign_texts(&mut self) -> Vec<&mut String> {
        match self {
            Self::WrongDigest { signed, .. } | Self::WrongIdentity { signed, .. } => vec![signed],
            Self::NotASignature { kind, .. } => vec![kind],
            Self::MalformedSignature { reason, .. } => vec![reason],
            Self::UnsupportedBundle { what, .. } => vec![what],
            _ => Vec::new(),
        }
    }
}

impl Failure for TrustError {
    fn code(&self) -> u32 {
        self.code()
    }

    fn kind(&self) -> ErrorKind {
        match self {
            Self::NoSignature { .. }
            | Self::WrongKey { .. }
            | Self::WrongDigest { .. }
            | Self::WrongIdentity { .. }
            | Self::NotASignature { .. }
            | Self::Rejected { .. } => ErrorKind::Access,
            Self::MalformedSignature { .. } => ErrorKind::Damaged,
            Self::UnsupportedRequirement { .. }
            | Self::UnsupportedBundle { .. }
            | Self::UnsignedSource { .. } => ErrorKind::Unsupported,
            Self::Policy { .. } | Self::Key { .. } => ErrorKind::Argument,
            Self::TooManySignatures { .. } => ErrorKind::Limit,
        }
    }

    fn advice(&self) -> Option<Advice> {
        Some(match self {
            Self::NoSignature { .. } => {
                Advice::new("ask the publisher of the image to sign it, for example with cosign")
            }
            Self::WrongKey { .. } => Advice::with_setting(
                "check with the publisher of the image which key signs it, and give that by {setting}",
                Setting("trust"),
            ),
            Self::WrongDigest { .. } | Self::NotASignature { .. } => {
                Advice::new("do not use the image before its publisher has signed this digest")
            }
            Self::WrongIdentity { .. } => Advice::new(
                "if the image is a copy, name the original by exactRepository or remapIdentity in a policy",
            ),
            Self::MalformedSignature { .. } => Advice::new("sign the image again"),
            Self::Rejected { .. } => Advice::new("pull another image, or change the policy"),
            Self::UnsupportedRequirement { .. } => {
                Advice::new("use sigstoreSigned with keyPath, keyPaths, keyData or keyDatas")
            }
            Self::Policy { .. } => Advice::new("repair it: containers-policy.json(5) describes the format"),
            Self::Key { .. } => {
                Advice::new("give a public key in PEM: ECDSA P-256 or P-384, Ed25519, or RSA")
            }
            Self::TooManySignatures { .. } => Advice::new("remove signatures that are no longer needed"),
            Self::UnsupportedBundle { .. } => Advice::new("sign the image with a key"),
            Self::UnsignedSource { .. } => {
                Advice::new("pull the image from a registry or from an OCI layout, where signatures can lie")
            }
        })
    }

    fn context(&self) -> ErrorContext {
        let context = ErrorContext::default();
        match self {
            Self::NoSignature { digest }
            | Self::WrongKey { digest, .. }
            | Self::WrongDigest { digest, .. }
            | Self::WrongIdentity { digest, .. }
            | Self::NotASignature { digest, .. }
            | Self::MalformedSignature { digest, .. }
            | Self::UnsupportedBundle { digest, .. } => context.with("digest", digest),
            Self::TooManySignatures { digest, limit } => context.with("digest", digest).with("limit", limit),
            Self::Rejected { policy, reference, scope } => {
                context.with("path", policy).with("reference", reference).with("scope", scope)
            }
            Self::UnsupportedRequirement { policy, scope, .. } => {
                context.with("path", policy).with("scope", scope)
            }
            Self::Policy { policy, .. } => context.with("path", policy),
            Self::Key { key, .. } => context.with("path", key),
            Self::UnsignedSource { reference } => context.with("reference", reference),
        }
    }
}
