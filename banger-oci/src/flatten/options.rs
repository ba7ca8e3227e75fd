//! Options and limits.

use std::thread::available_parallelism;

use banger_tree::Cancellation;

use crate::tar::TarLimits;

/// How layers are applied.
#[derive(Clone, Debug)]
pub struct FlattenOptions {
    /// Refusals of what would exhaust the host.
    pub limits: Limits,
    /// Stops the run at its next buffer or, while it waits for one, within 50 ms.
    pub cancellation: Cancellation,
    /// Memory for decompressed bytes on their way, over all layers; default 8 MiB. At least four
    /// buffers of 512 KiB are used for each layer.
    pub queue_bytes: usize,
    /// Layers that are decompressed at a time, the one being applied among them; default: one a
    /// processor, at most 4.
    pub streams: usize,
}

impl Default for FlattenOptions {
    fn default() -> Self {
        Self {
            limits: Limits::default(),
            cancellation: Cancellation::default(),
            queue_bytes: 8 << 20,
            streams: available_parallelism().map_or(2, |count| count.get().min(4)),
        }
    }
}

/// How much an image may ask for. A bomb is refused before its bytes are written.
#[derive(Clone, Debug)]
pub struct Limits {
    /// File bytes of all layers together, those hidden later among them, holes not; default 64 GiB.
    pub max_content_bytes: u64,
    /// Decompressed bytes of all layers together, padding and what follows the end among them;
    /// default 128 GiB.
    pub max_tar_bytes: u64,
    /// Entries of all layers together, directories made for missing parents among them; default
    /// 10,000,000.
    pub max_entries: u64,
    /// Directories on the way to one path; default 1024.
    pub max_depth: u64,
    /// Size of one file, holes included; default 1 TiB.
    pub max_file_bytes: u64,
    /// Room for the extended attributes of one inode: 16 bytes, name and value of each; default
    /// 4144, which is what ext4 has at most with blocks of 4 KiB and inodes of 256 bytes.
    pub max_xattr_bytes: u64,
    /// Bytes of names, link targets and extended attributes of all layers together, which the tree
    /// holds in memory; default 1 GiB.
    pub max_metadata_bytes: u64,
    /// Warnings that are kept; the rest is counted. Default 100.
    pub max_warnings: usize,
    /// Bytes of one extended header of a tar (pax records, a long name); default 1 MiB.
    pub max_extended_bytes: u64,
    /// Pieces of one sparse file; default 1,048,576.
    pub max_sparse_extents: u64,
}

impl Default for Limits {
    fn default() -> Self {
        let TarLimits { max_extended_bytes, max_sparse_extents } = TarLimits::default();
        Self {
            max_content_bytes: 64 << 30,
            max_tar_bytes: 128 << 30,
            max_entries: 10_000_000,
            max_depth: 1024,
            max_file_bytes: 1 << 40,
            max_xattr_bytes: 4144,
            max_metadata_bytes: 1 << 30,
            max_warnings: 100,
            max_extended_bytes,
            max_sparse_extents,
        }
    }
}
