//! Names of images.

use std::fmt;
use std::str::FromStr;

use banger_tree::{Advice, ErrorContext, ErrorKind, Failure};
use serde::{Deserialize, Serialize};

const NAME_MAX: usize = 128;

/// Name of a published image or kernel: letters, digits, `.`, `_` and `-`, at most 128, not starting with a
/// dot or a dash.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ImageName(String);

/// Why a text is not an image name.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} cannot be the name of an image or kernel")]
#[non_exhaustive]
pub struct NameError {
    /// The text.
    pub text: String,
}

impl NameError {
    /// Returns a number that stays the same for this failure in all versions.
    pub fn code(&self) -> u32 {
        501
    }
}

impl Failure for NameError {
    fn code(&self) -> u32 {
        self.code()
    }

    fn kind(&self) -> ErrorKind {
        ErrorKind::Argument
    }

    fn advice(&self) -> Option<Advice> {
        Some(Advice::new("use up to 128 letters, digits, `.`, `_` and `-`, the first a letter, digit or `_`"))
    }

    fn context(&self) -> ErrorContext {
        ErrorContext::default().with("name", &self.text)
    }
}

impl ImageName {
    /// Returns the name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Returns the name that `text` becomes when every character that a name cannot hold turns
    /// into a dash: for names made of references.
    pub fn sanitized(text: &str) -> Self {
        let dashed: String = text.chars().map(|c| if is_name_char(c) { c } else { '-' }).collect();
        let trimmed = dashed.trim_matches(['-', '.']);
        let end = trimmed.len().min(NAME_MAX);
        Self(if trimmed.is_empty() { "image".to_owned() } else { trimmed[..end].to_owned() })
    }
}

impl FromStr for ImageName {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        let starts_well = text.starts_with(|c: char| c.is_ascii_alphanumeric() || c == '_');
        if starts_well && text.len() <= NAME_MAX && text.chars().all(is_name_char) {
            Ok(Self(text.to_owned()))
        } else {
            Err(NameError { text: text.to_owned() })
        }
    }
}

fn is_name_char(c: char) -> bool {
    c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-')
}

impl TryFrom<String> for ImageName {
    type Error = NameError;

    fn try_from(text: String) -> Result<Self, NameError> {
        text.parse()
    }
}

impl From<ImageName> for String {
    fn from(name: ImageName) -> Self {
        name.0
    }
}

impl fmt::Display for ImageName {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn takes_names_that_are_safe_as_arguments_and_files() {
        for good in ["debian-bookworm", "a", "x_1.2-rc", "7", "_x", &"n".repeat(128)] {
            assert_eq!(good.parse::<ImageName>().unwrap().as_str(), good);
        }
        for bad in ["", ".", "..", "-x", ".x", "a/b", "a b", "ü", "a:b", "---", &"n".repeat(129)] {
            assert!(bad.parse::<ImageName>().is_err(), "{bad:?}");
        }
    }

    #[test]
    fn makes_names_of_anything() {
        for (text, want) in [
            ("debian-bookworm", "debian-bookworm"),
            ("host:5000/r@sha256:ab", "host-5000-r-sha256-ab"),
            ("../..", "image"),
            ("", "image"),
        ] {
            assert_eq!(ImageName::sanitized(text).as_str(), want);
        }
    }
}
