//! When a registry is asked.

use std::fmt;
use std::str::FromStr;

/// When a registry is asked for an image. Layouts and archives of this machine are read always.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum PullPolicy {
    /// Ask for the current digest of a tag each time.
    #[default]
    Always,
    /// Use the image that an earlier pull of the same tag left in the cache; download only missing content.
    Missing,
    /// Use the content of the cache, and make no request.
    Never,
}

impl PullPolicy {
    /// Returns the name: `always`, `missing` or `never`.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Always => "always",
            Self::Missing => "missing",
            Self::Never => "never",
        }
    }
}

impl fmt::Display for PullPolicy {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.name())
    }
}

/// A text that names no pull policy.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not always, missing or never")]
pub struct PullPolicyError(String);

impl FromStr for PullPolicy {
    type Err = PullPolicyError;

    fn from_str(text: &str) -> Result<Self, PullPolicyError> {
        let all = [Self::Always, Self::Missing, Self::Never];
        all.into_iter().find(|policy| policy.name() == text).ok_or_else(|| PullPolicyError(text.to_owned()))
    }
}
