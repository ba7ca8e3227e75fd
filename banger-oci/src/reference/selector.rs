//! Which image of a layout or archive is meant.

use std::fmt;

use crate::digest::Digest;

/// Which image of a layout or archive is meant.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Selector {
    /// The only image.
    Only,
    /// The image with this name: a whole reference, or a tag that no other image has.
    Name(String),
    /// The image whose manifest, index or (in a docker archive) configuration has this digest.
    Digest(Digest),
    /// The image with this name and this digest.
    Pinned {
        /// The name.
        name: String,
        /// The digest.
        digest: Digest,
    },
}

impl fmt::Display for Selector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Only => Ok(()),
            Self::Name(name) => write!(f, ":{name}"),
            Self::Digest(digest) => write!(f, "@{digest}"),
            Self::Pinned { name, digest } => write!(f, ":{name}@{digest}"),
        }
    }
}
