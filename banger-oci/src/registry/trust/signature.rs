//! Signatures that were verified.

use serde::{Deserialize, Serialize};

use crate::digest::Digest;

/// Signatures that are read for one digest.
pub(crate) const MAX_SIGNATURES: usize = 64;
/// The layer of a signature document that is the signed payload.
pub(crate) const PAYLOAD_TYPE: &str = "application/vnd.dev.cosign.simplesigning.v1+json";
/// The annotation of such a layer with the signature in base64.
pub(crate) const SIGNATURE_KEY: &str = "dev.cosignproject.cosign/signature";

/// A signature that met a requirement of the policy.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct VerifiedSignature {
    /// The fingerprint of the key: the SHA-256 digest of its SubjectPublicKeyInfo.
    pub key: Digest,
    /// The signed digest: that of the image manifest, or of the index that led to it.
    pub digest: Digest,
    /// The name of the image in the signature; bundles have none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub identity: Option<String>,
    /// The digest of the signed payload.
    pub payload_digest: Digest,
    /// Where the signature was.
    pub found_by: SignaturePlace,
}

/// Where a signature was.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum SignaturePlace {
    /// Under the tag `sha256-HEX.sig`.
    Tag,
    /// Among the referrers of the registry or the layout.
    Referrers,
    /// In the index under the tag `sha256-HEX`, where the registry has no referrers of its own.
    ReferrersTag,
}

impl SignaturePlace {
    /// Returns the name, as in the record.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Tag => "tag",
            Self::Referrers => "referrers",
            Self::ReferrersTag => "referrers-tag",
        }
    }
}
