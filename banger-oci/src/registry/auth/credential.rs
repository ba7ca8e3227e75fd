//! User names, passwords and tokens.

use std::fmt;

/// Credentials: user names with passwords, and tokens.
#[derive(Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Credential {
    /// User name and password, or a personal access token in its place.
    Password {
        /// The user's name.
        user: String,
        /// The password.
        password: String,
    },
    /// A refresh token that the token server exchanges for access tokens.
    IdentityToken(String),
}

impl fmt::Debug for Credential {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Secrets stay out of logs.
        match self {
            Self::Password { user, .. } => write!(f, "Password({user})"),
            Self::IdentityToken(_) => f.write_str("IdentityToken"),
        }
    }
}
