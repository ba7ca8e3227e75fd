//! Events of a pull or a push.

use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use crate::digest::Digest;
use crate::platform::Platform;
use crate::registry::stop::PullStop;

/// Something that happened during a pull or a push.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum PullEvent {
    /// The reference is looked up.
    Resolving {
        /// The reference in its canonical form.
        reference: String,
    },
    /// The manifest of the image is known.
    Resolved {
        /// Its digest.
        digest: Digest,
        /// Its platform.
        platform: Platform,
        /// The layers, base first. The same layer may be there more than once.
        layers: Vec<ResolvedLayer>,
        /// The compressed size of all layers; a repeated layer counts once.
        total_bytes: u64,
    },
    /// A layer need not be fetched: it is in the cache, or in a local layout or archive.
    LayerCached {
        /// The layer.
        digest: Digest,
        /// Its compressed size.
        size_bytes: u64,
    },
    /// The download of a layer starts.
    LayerStarted {
        /// The layer.
        digest: Digest,
        /// Its compressed size.
        size_bytes: u64,
        /// The bytes that an earlier, interrupted download left.
        resumed_bytes: u64,
    },
    /// Another process downloads the layer; this one waits for it.
    LayerWaiting {
        /// The layer.
        digest: Digest,
    },
    /// More of a layer has arrived.
    LayerBytes {
        /// The layer.
        digest: Digest,
        /// The bytes so far.
        received_bytes: u64,
    },
    /// A layer is complete, checked and in the cache.
    LayerDone {
        /// The layer.
        digest: Digest,
    },
    /// A request failed and will be made again.
    Retry {
        /// The value asked for.
        what: String,
        /// The cause.
        reason: String,
        /// How many attempts have failed so far.
        attempt: u32,
        /// The pause before the next attempt.
        delay_ms: u64,
    },
    /// A mirror, another location, or one of several registries gave the manifest. It is asked for the rest first.
    EndpointChosen {
        /// The repository at this place.
        endpoint: String,
    },
    /// A place failed, and the next one is asked.
    EndpointSkipped {
        /// The repository at this place.
        endpoint: String,
        /// The failure.
        reason: String,
    },
    /// A blob of the cache was damaged. It has been removed and is fetched again.
    CacheDamaged {
        /// The blob.
        digest: Digest,
    },
    /// A push begins: its manifest is known.
    Pushing {
        /// The target in its canonical form.
        target: String,
        /// The digest of the manifest.
        digest: Digest,
        /// The number of blobs; equal ones count once.
        blobs: u64,
        /// The size of these blobs.
        total_bytes: u64,
    },
    /// A blob need not be sent: the target has it.
    BlobPresent {
        /// The blob.
        digest: Digest,
        /// Its size.
        size_bytes: u64,
        /// Whether the registry took it from another repository just now.
        mounted: bool,
    },
    /// A blob is sent.
    UploadStarted {
        /// The blob.
        digest: Digest,
        /// Its size.
        size_bytes: u64,
    },
    /// More of a blob was sent. After a failed attempt it begins again.
    UploadBytes {
        /// The blob.
        digest: Digest,
        /// The bytes so far.
        sent_bytes: u64,
    },
    /// The target has the blob now.
    UploadDone {
        /// The blob.
        digest: Digest,
    },
}

/// A layer of an image that was found.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ResolvedLayer {
    /// Its digest, as the other events of the layer have it.
    pub digest: Digest,
    /// Its compressed size.
    pub size_bytes: u64,
}

/// The phase of a pull or a push, for programs that show it in one line.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[non_exhaustive]
pub enum PullPhase {
    /// It looks for the image.
    Resolving,
    /// It knows the image, and downloads its layers.
    Downloading,
    /// It sends blobs to the target of a push.
    Uploading,
}

impl PullEvent {
    /// Returns the phase of this event; `None` if it may come in any phase.
    #[must_use]
    pub fn phase(&self) -> Option<PullPhase> {
        match self {
            Self::Resolving { .. } => Some(PullPhase::Resolving),
            Self::Retry { .. } | Self::CacheDamaged { .. } | Self::EndpointSkipped { .. } => None,
            Self::EndpointChosen { .. } => Some(PullPhase::Resolving),
            Self::Pushing { .. }
            | Self::BlobPresent { .. }
            | Self::UploadStarted { .. }
            | Self::UploadBytes { .. }
            | Self::UploadDone { .. } => Some(PullPhase::Uploading),
            _ => Some(PullPhase::Downloading),
        }
    }
}

/// The receiver of the events of a pull or a push. Cloning it is cheap.
///
/// A handler that panics stops the pull, which ends in [`PullError::Panicked`](crate::PullError::Panicked)
/// on whichever thread waits for it; the handler is not called again.
#[derive(Clone)]
pub struct Progress(Arc<dyn Fn(PullEvent) + Send + Sync>);

impl Progress {
    /// Calls `callback` for every event, from several threads, for as long as downloads go on.
    pub fn new(callback: impl Fn(PullEvent) + Send + Sync + 'static) -> Self {
        Self(Arc::new(callback))
    }

    /// Ignores all events.
    #[must_use]
    pub fn none() -> Self {
        Self::new(|_| {})
    }

    pub(crate) fn emit(&self, event: PullEvent) {
        (self.0)(event);
    }

    /// The same; a panic of the handler stops the pull.
    pub(crate) fn guarded(&self, stop: &PullStop) -> Self {
        let (handler, stop) = (self.clone(), stop.clone());
        Self::new(move |event| {
            if stop.check_handler().is_ok()
                && let Err(panic) = catch_unwind(AssertUnwindSafe(|| handler.emit(event)))
            {
                stop.handler_panicked(&*panic);
            }
        })
    }
}

impl fmt::Debug for Progress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Progress")
    }
}
