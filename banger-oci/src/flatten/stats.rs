//! Counts of one layer.

/// Counts of one layer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct LayerStats {
    /// Entries of its tar, whiteouts among them.
    pub entries: u64,
    /// Whiteouts and opaque markers.
    pub whiteouts: u64,
    /// File bytes that were stored; holes do not count.
    pub content_bytes: u64,
    /// Length of the tar.
    pub tar_bytes: u64,
    /// Length of the published bytes.
    pub published_bytes: u64,
}
