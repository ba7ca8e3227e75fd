//! The requirements of a rule.

use camino::Utf8PathBuf;

use super::error::TrustError;
use super::identity::IdentityRule;
use super::key::PublicKey;

/// A requirement of a rule. An image has to meet all of its rule.
#[derive(Clone, Debug)]
pub(super) enum Requirement {
    Accept,
    Reject,
    /// A signature by one of the keys.
    Signed(SignedRequirement),
    /// Something that is not supported, by its name.
    Unsupported(&'static str),
}

/// A signature by one of several keys.
#[derive(Clone, Debug)]
pub(super) struct SignedRequirement {
    pub(super) keys: Vec<KeySource>,
    pub(super) identity: IdentityRule,
}

/// Where a key is.
#[derive(Clone, Debug)]
pub(super) enum KeySource {
    Given(PublicKey),
    File(Utf8PathBuf),
    /// PEM in the policy itself.
    Pem(Vec<u8>),
}

impl KeySource {
    /// Returns the key; `policy` is the name of the policy.
    pub(super) fn load(&self, policy: &str) -> Result<PublicKey, TrustError> {
        match self {
            Self::Given(key) => Ok(key.clone()),
            Self::File(path) => PublicKey::read(path),
            Self::Pem(pem) => PublicKey::parse(pem, &format!("keyData of {policy}")),
        }
    }
}
