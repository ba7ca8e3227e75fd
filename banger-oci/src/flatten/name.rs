//! Names of layers.

use std::fmt;

use crate::digest::Digest;

/// The name of a layer in errors, warnings and events.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LayerName {
    /// A layer of an image, by the digest of its published bytes.
    Digest(Digest),
    /// A tar that belongs to no image: its place.
    Archive(String),
}

impl LayerName {
    /// Returns the name as short as people take it.
    pub(super) fn short(&self) -> String {
        match self {
            Self::Digest(digest) => format!("layer {}", digest.short()),
            Self::Archive(path) => path.clone(),
        }
    }
}

impl fmt::Display for LayerName {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Digest(digest) => write!(formatter, "layer {digest}"),
            Self::Archive(path) => formatter.write_str(path),
        }
    }
}
