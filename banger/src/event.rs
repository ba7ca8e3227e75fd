//! What a run tells while it goes on.

use std::fmt;
use std::ops::ControlFlow;
use std::sync::Arc;

use banger_tree::Cancellation;
use serde::Serialize;

/// One step of a run. One enum feeds the progress bars, `--progress json` and the C callback.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "event", rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Event {
    /// The reference is being turned into a digest.
    Resolving {
        /// The reference in full.
        reference: String,
    },
    /// The image is known.
    Resolved {
        /// Digest of the image manifest.
        digest: String,
        /// Its platform.
        platform: String,
        /// Number of its layers.
        layers: usize,
        /// Bytes of all its layers as published.
        size_bytes: u64,
    },
    /// A blob starts to come in.
    BlobStarted {
        /// Digest of the blob.
        digest: String,
        /// Its length.
        size_bytes: u64,
        /// Whether it is in the cache already.
        cached: bool,
        /// Bytes that an earlier broken download left.
        resumed_bytes: u64,
    },
    /// Another process downloads the blob; this one waits for it.
    BlobWaiting {
        /// Digest of the blob.
        digest: String,
    },
    /// Another thread or process pulls an image of this name; this one waits for it.
    PullWaiting {
        /// Name of the image.
        name: String,
    },
    /// More of a blob came in.
    BlobProgress {
        /// Digest of the blob.
        digest: String,
        /// Bytes so far.
        done_bytes: u64,
        /// Its length.
        size_bytes: u64,
    },
    /// A blob is whole, checked, and in the cache.
    BlobDone {
        /// Digest of the blob.
        digest: String,
    },
    /// A request failed and is tried again.
    Retry {
        /// What is tried again.
        what: String,
        /// Which attempt comes now, from 2 on.
        attempt: u32,
        /// Why the one before failed.
        reason: String,
        /// How long it waits first.
        delay_ms: u64,
    },
    /// A layer is being applied.
    LayerProgress {
        /// Its position, 0 for the base.
        layer: u32,
        /// Published bytes read so far.
        done_bytes: u64,
        /// Published bytes in all.
        size_bytes: u64,
    },
    /// A layer is applied.
    LayerDone {
        /// Its position, 0 for the base.
        layer: u32,
        /// Tar entries it had.
        entries: u64,
    },
    /// More of a directory of the host was read.
    DirectoryProgress {
        /// Names so far.
        entries: u64,
        /// Bytes of files so far, holes not.
        done_bytes: u64,
    },
    /// Something was changed or left out.
    Warning {
        /// What and why.
        message: String,
    },
    /// The file system is being written.
    Building {
        /// The backend that does it.
        backend: String,
    },
    /// All is done.
    Done {
        /// The ext4 file.
        path: String,
        /// Whether it was there already.
        unchanged: bool,
    },
}

/// Takes the events of a run, from several threads; breaking cancels the run.
#[derive(Clone)]
pub struct EventHandler(Arc<Handler>);

type Handler = dyn Fn(&Event) -> ControlFlow<()> + Send + Sync;

impl EventHandler {
    /// Calls `handler` for every event.
    pub fn new(handler: impl Fn(&Event) -> ControlFlow<()> + Send + Sync + 'static) -> Self {
        Self(Arc::new(handler))
    }

    /// Ignores all events.
    pub fn none() -> Self {
        Self::new(|_| ControlFlow::Continue(()))
    }

    /// Hands `event` on; cancels the run when the handler says so.
    pub(crate) fn emit(&self, event: &Event, cancellation: &Cancellation) {
        if (self.0)(event).is_break() {
            cancellation.cancel();
        }
    }
}

impl fmt::Debug for EventHandler {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("EventHandler")
    }
}
