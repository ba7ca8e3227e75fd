//! Limits on an archive.

/// Limits on an archive. An archive beyond them is refused.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct TarLimits {
    /// Bytes of one extended header; default 1 MiB, many times the 64 KiB of the largest xattr.
    pub max_extended_bytes: u64,
    /// Pieces of one sparse file; default 1,048,576, which take 16 MiB of memory.
    pub max_sparse_extents: u64,
}

impl Default for TarLimits {
    fn default() -> Self {
        Self { max_extended_bytes: 1 << 20, max_sparse_extents: 1 << 20 }
    }
}

banger_tree::setters! {
    TarLimits {
        with_max_extended_bytes => max_extended_bytes: u64,
        with_max_sparse_extents => max_sparse_extents: u64,
    }
}
