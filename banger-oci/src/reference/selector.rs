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

impl Selector {
    /// Writes the selector where nothing stands before it.
    pub(super) fn fmt_bare(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Name(name) => f.write_str(name),
            Self::Pinned { name, digest } => write!(f, "{name}@{digest}"),
            Self::Only | Self::Digest(_) => fmt::Display::fmt(self, f),
        }
    }
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
