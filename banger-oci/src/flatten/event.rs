//! What a run tells while it goes on.

use banger_tree::LayerIndex;

use super::name::LayerName;
use super::stats::LayerStats;

/// A step of a run, in order.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum FlattenEvent {
    /// A layer is being applied from here on.
    LayerStarted {
        /// Which one.
        layer: LayerIndex,
        /// What it is called.
        name: LayerName,
        /// Bytes that it has as it was published.
        published_bytes: u64,
    },
    /// One more buffer was taken up.
    Progress {
        /// The layer it is of.
        layer: LayerIndex,
        /// Bytes of the layer's tar up to here.
        tar_bytes: u64,
        /// Bytes that were read of what was published; the reading is ahead of the tar.
        published_bytes: u64,
    },
    /// A layer is applied, and its tar is the one the configuration names.
    LayerFinished {
        /// Which one.
        layer: LayerIndex,
        /// What it held.
        stats: LayerStats,
    },
}
