//! Options and limits.

use std::thread::available_parallelism;

use banger_tree::{Budget, Cancellation, Cost};

use crate::tar::TarLimits;

/// How layers are applied.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct FlattenOptions {
    /// Limits that protect the host.
    pub limits: Limits,
    /// The account of the run, if other stages share it. Default: a new one with the numbers of `limits`. See
    /// [`Limits::budget`].
    pub budget: Option<Budget>,
    /// Stops the run at its next buffer or, while it waits for one, within 50 ms; without streams, when the
    /// layer's reader returns.
    pub cancellation: Cancellation,
    /// Memory for decompressed bytes on their way, over all layers; default 8 MiB. At least four
    /// buffers of 512 KiB are used for each layer.
    pub queue_bytes: usize,
    /// Layers that are decompressed at a time, including the one being applied; each takes three threads.
    /// Default: one for each processor, at most 4. With 0 no thread is started: the calling thread reads,
    /// decompresses and hashes each layer when it applies it.
    pub streams: usize,
}

impl Default for FlattenOptions {
    fn default() -> Self {
        Self {
            limits: Limits::default(),
            budget: None,
            cancellation: Cancellation::default(),
            queue_bytes: 8 << 20,
            streams: default_streams(),
        }
    }
}

/// Default of [`FlattenOptions::streams`].
pub(crate) fn default_streams() -> usize {
    available_parallelism().map_or(2, |count| count.get().min(4))
}

/// Limits on an image. A bomb is refused before its bytes are written.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Limits {
    /// File bytes of all layers together and the directories of the result, in whole blocks of 4 KiB. Files
    /// that are hidden later count, holes do not. Default 64 GiB.
    pub max_content_bytes: u64,
    /// Decompressed bytes of all layers together, including padding and bytes after the end; default 128 GiB.
    pub max_tar_bytes: u64,
    /// Entries of all layers together, including directories made for missing parents; default 10,000,000.
    pub max_entries: u64,
    /// Directories on the way to one path; default 1024.
    pub max_depth: u64,
    /// Size of one file, holes included; default 1 TiB.
    pub max_file_bytes: u64,
    /// Room for the extended attributes of one inode: 16 bytes, name and value of each. Default 4144, the
    /// most that ext4 has with blocks of 4 KiB and inodes of 256 bytes.
    pub max_xattr_bytes: u64,
    /// Memory for the tree beyond 300 bytes for each entry, which a usual entry needs. Long names and
    /// targets, extended attributes and implied directories need more. Default 96 MiB.
    pub max_metadata_bytes: u64,
    /// Resolved components of all paths and of symlinks on the way; the first 32 of each path are free.
    /// Default 4,194,304.
    pub max_path_components: u64,
    /// Layers; default 512.
    pub max_layers: u64,
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
            max_content_bytes: Cost::ImageBytes.default_limit(),
            max_tar_bytes: Cost::InflatedBytes.default_limit(),
            max_entries: Cost::Entries.default_limit(),
            max_depth: 1024,
            max_file_bytes: 1 << 40,
            max_xattr_bytes: 4144,
            max_metadata_bytes: Cost::TreeBytes.default_limit(),
            max_path_components: Cost::PathComponents.default_limit(),
            max_layers: Cost::Layers.default_limit(),
            max_warnings: 100,
            max_extended_bytes,
            max_sparse_extents,
        }
    }
}

banger_tree::setters! {
    FlattenOptions {
        with_limits => limits: Limits,
        with_budget => budget: Option<Budget>,
        with_cancellation => cancellation: Cancellation,
        with_queue_bytes => queue_bytes: usize,
        with_streams => streams: usize,
    }
}

banger_tree::setters! {
    Limits {
        with_max_content_bytes => max_content_bytes: u64,
        with_max_tar_bytes => max_tar_bytes: u64,
        with_max_entries => max_entries: u64,
        with_max_depth => max_depth: u64,
        with_max_file_bytes => max_file_bytes: u64,
        with_max_xattr_bytes => max_xattr_bytes: u64,
        with_max_metadata_bytes => max_metadata_bytes: u64,
        with_max_path_components => max_path_components: u64,
        with_max_layers => max_layers: u64,
        with_max_warnings => max_warnings: usize,
        with_max_extended_bytes => max_extended_bytes: u64,
        with_max_sparse_extents => max_sparse_extents: u64,
    }
}

impl Limits {
    /// Returns a new account with these limits, for all stages of a run.
    pub fn budget(&self) -> Budget {
        self.set_in(Budget::default())
    }

    /// Returns `budget` with these limits.
    #[must_use]
    pub fn set_in(&self, budget: Budget) -> Budget {
        // A store numbers its contents in 32 bits.
        let entries = self.max_entries.min(u64::from(u32::MAX) - 2);
        budget
            .with_limit(Cost::ImageBytes, self.max_content_bytes)
            .with_limit(Cost::InflatedBytes, self.max_tar_bytes)
            .with_limit(Cost::Entries, entries)
            .with_limit(Cost::TreeBytes, self.max_metadata_bytes)
            .with_limit(Cost::PathComponents, self.max_path_components)
            .with_limit(Cost::Layers, self.max_layers)
    }
}
