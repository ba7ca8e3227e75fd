//! Ids of images and of directories under construction.

use std::fmt;
use std::hash::{BuildHasher as _, RandomState};
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// Digits of an id.
const DIGITS: usize = 12;

/// Id of a published image or kernel: 12 hexadecimal digits.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ImageId(String);

impl ImageId {
    /// Returns the id as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Returns an id that is very likely not in use.
    pub(crate) fn random() -> Self {
        let bits = RandomState::new().hash_one(std::process::id()) & ((1 << (4 * DIGITS)) - 1);
        Self(format!("{bits:0DIGITS$x}"))
    }

    /// Returns the id of an image that no store has.
    pub(crate) fn zero() -> Self {
        Self("0".repeat(DIGITS))
    }

    /// Returns whether `text` is an id.
    pub(crate) fn is_id(text: &str) -> bool {
        text.len() == DIGITS && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
    }
}

impl FromStr for ImageId {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match Self::is_id(text) {
            true => Ok(Self(text.to_owned())),
            false => Err(format!("{text:?} is not an image id of {DIGITS} hexadecimal digits")),
        }
    }
}

impl TryFrom<String> for ImageId {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

impl From<ImageId> for String {
    fn from(id: ImageId) -> Self {
        id.0
    }
}

impl fmt::Display for ImageId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}
