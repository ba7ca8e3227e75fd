//! Kinds of stored things.

use std::fmt;

/// What a store holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum StoredKind {
    /// An image.
    Image,
    /// A kernel.
    Kernel,
}

impl StoredKind {
    /// Returns the word with its article.
    pub(super) const fn with_article(self) -> &'static str {
        match self {
            Self::Image => "an image",
            Self::Kernel => "a kernel",
        }
    }
}

impl fmt::Display for StoredKind {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Image => "image",
            Self::Kernel => "kernel",
        })
    }
}
