//! Where a hash tree goes.

use std::fmt;
use std::str::FromStr;

use camino::{Utf8Path, Utf8PathBuf};
use serde::{Deserialize, Serialize};

/// Returns the file with the tree of `file`, if it is beside it and `file` is not the one of a managed image.
pub(crate) fn tree_beside(file: &Utf8Path) -> Utf8PathBuf {
    Utf8PathBuf::from(format!("{file}.verity"))
}

/// Where the hash tree of an image goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum VerityPlace {
    /// Into a file of its own beside the ext4 file.
    Beside,
    /// Behind the file system, in the same file.
    Append,
}

/// No place of a hash tree has this name.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is not beside or append")]
pub struct UnknownVerityPlace {
    text: String,
}

impl VerityPlace {
    /// Every place.
    pub const ALL: [Self; 2] = [Self::Beside, Self::Append];

    /// Returns the name by which users ask for it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Beside => "beside",
            Self::Append => "append",
        }
    }
}

impl fmt::Display for VerityPlace {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.name())
    }
}

impl FromStr for VerityPlace {
    type Err = UnknownVerityPlace;

    fn from_str(text: &str) -> Result<Self, UnknownVerityPlace> {
        let found = Self::ALL.into_iter().find(|place| place.name() == text);
        found.ok_or_else(|| UnknownVerityPlace { text: text.to_owned() })
    }
}
