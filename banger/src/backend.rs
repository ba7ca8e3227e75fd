//! The backends by name.

use std::fmt;
use std::str::FromStr;

use banger_ext4::{E2fsprogsBackend, Ext4Backend};

use crate::error::Error;

/// Name of the backend that is used when none is asked for.
pub const DEFAULT_BACKEND: &str = "e2fsprogs";

/// What writes the file system.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Backend {
    /// `mkfs.ext4` and `debugfs` of the host.
    #[default]
    E2fsprogs,
}

impl Backend {
    /// Returns the name that users choose it by.
    pub fn name(self) -> &'static str {
        match self {
            Self::E2fsprogs => "e2fsprogs",
        }
    }

    pub(crate) fn open(self) -> Box<dyn Ext4Backend> {
        match self {
            Self::E2fsprogs => Box::new(E2fsprogsBackend::default()),
        }
    }
}

impl fmt::Display for Backend {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.name())
    }
}

impl FromStr for Backend {
    type Err = Error;

    fn from_str(name: &str) -> Result<Self, Error> {
        match name {
            "e2fsprogs" => Ok(Self::E2fsprogs),
            _ => Err(Error::Option {
                option: "--backend",
                value: name.to_owned(),
                reason: "there is no such backend; choose e2fsprogs".to_owned(),
            }),
        }
    }
}
