//! The facts that a package states about itself.

use serde::{Deserialize, Serialize};

/// The facts that a package states about itself.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct PackageInfo {
    /// Its name: `linux-image-6.1.0-50-cloud-amd64`.
    pub name: String,
    /// Its version.
    pub version: String,
}

impl PackageInfo {
    /// Returns the facts in the lines `key<separator>value` of a text.
    pub(super) fn from_lines(text: &[u8], separator: &str, name_key: &str, version_key: &str) -> Self {
        let text = String::from_utf8_lossy(text);
        let value = |key: &str| {
            let fields = text.lines().filter_map(|line| line.split_once(separator));
            let mut values = fields.filter(|(name, _)| name.trim() == key).map(|(_, value)| value.trim());
            values.next().unwrap_or_default().to_owned()
        };
        Self { name: value(name_key), version: value(version_key) }
    }
}

/// Largest size of the text with these facts.
pub(super) const MAX_INFO_BYTES: usize = 1 << 20;
