//! Events of a run.

use banger_tree::LayerIndex;

use super::name::LayerName;
use super::stats::LayerStats;

/// A step of a run, in order.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum FlattenEvent {
    /// The application of a layer begins.
    LayerStarted {
        /// The layer.
        layer: LayerIndex,
        /// Its name.
        name: LayerName,
        /// Bytes that it has as it was published.
        published_bytes: u64,
    },
    /// One more buffer was processed.
    Progress {
        /// The layer it is of.
        layer: LayerIndex,
        /// Bytes of the layer's tar up to here.
        tar_bytes: u64,
        /// Bytes read of the published layer; the reader is ahead of the tar.
        published_bytes: u64,
    },
    /// A layer is applied, and its tar has the digest in the configuration.
    LayerFinished {
        /// The layer.
        layer: LayerIndex,
        /// Its counts.
        stats: LayerStats,
    },
}
