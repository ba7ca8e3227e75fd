//! Why a private key cannot sign.

use banger_tree::{Advice, ErrorContext, ErrorKind, Failure, Setting};

/// Error of a private key.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SigningKeyError {
    /// A private key cannot be read or understood.
    #[error("cannot use the private key {key}: {reason}")]
    Key {
        /// The file.
        key: String,
        /// The reason.
        reason: String,
    },
    /// A private key is encrypted, and the password is missing or wrong.
    #[error("the private key {key} is encrypted: {reason}")]
    Password {
        /// The file.
        key: String,
        /// The reason.
        reason: &'static str,
    },
}

impl SigningKeyError {
    /// A number that stays the same for this kind of failure in all versions.
    #[must_use]
    pub fn code(&self) -> u32 {
        match self {
            Self::Key { .. } => 1310,
            Self::Password { .. } => 1311,
        }
    }
}

impl Failure for SigningKeyError {
    fn code(&self) -> u32 {
        self.code()
    }

    fn kind(&self) -> ErrorKind {
        match self {
            Self::Key { .. } => ErrorKind::Argument,
            Self::Password { .. } => ErrorKind::Access,
        }
    }

    fn advice(&self) -> Option<Advice> {
        Some(match self {
            Self::Key { .. } => Advice::new(
                "give one in PEM, PKCS #8, as cosign and openssl pkcs8 -topk8 -nocrypt write it: ECDSA P-256 or \
                 P-384, Ed25519, or RSA of 2048 to 4096 bits",
            ),
            Self::Password { .. } => {
                Advice::with_setting("give its password by {setting}", Setting("sign_password"))
            }
        })
    }

    fn context(&self) -> ErrorContext {
        match self {
            Self::Key { key, .. } | Self::Password { key, .. } => ErrorContext::default().with("path", key),
        }
    }
}
