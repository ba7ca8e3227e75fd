//! Whether a clone is another machine.

use std::fmt;
use std::str::FromStr;

/// The identity of a clone.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Identity {
    /// Another machine: machine-id, host keys, random seeds, DHCP leases and the UUID of the file system are new.
    #[default]
    New,
    /// That of the original.
    Keep,
}

impl Identity {
    /// All of them.
    pub const ALL: [Self; 2] = [Self::New, Self::Keep];

    /// Returns the name that users choose it by.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::New => "new",
            Self::Keep => "keep",
        }
    }
}

impl fmt::Display for Identity {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.name())
    }
}

/// The text does not name an identity.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not an identity: it is `new` or `keep`")]
pub struct UnknownIdentity(String);

impl FromStr for Identity {
    type Err = UnknownIdentity;

    fn from_str(text: &str) -> Result<Self, UnknownIdentity> {
        let known = Self::ALL.into_iter().find(|identity| identity.name() == text);
        known.ok_or_else(|| UnknownIdentity(text.to_owned()))
    }
}
