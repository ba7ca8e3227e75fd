//! What a pull tells its caller while it runs, and how the caller stops it.

use std::fmt;
use std::sync::Arc;

use tokio::sync::watch;

use crate::digest::Digest;
use crate::error::PullError;
use crate::platform::Platform;

/// Something that happened during a pull.
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
        /// What it is built for.
        platform: Platform,
        /// Digest and compressed size of every layer, base first.
        layers: Vec<(Digest, u64)>,
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
        /// The bytes there are now.
        received_bytes: u64,
    },
    /// A layer is complete, checked and in the cache.
    LayerDone {
        /// The layer.
        digest: Digest,
    },
    /// A request failed and will be made again.
    Retry {
        /// What was asked for.
        what: String,
        /// What went wrong.
        reason: String,
        /// How many attempts have failed so far.
        attempt: u32,
        /// The pause before the next one.
        delay_ms: u64,
    },
    /// A blob of the cache was damaged. It has been removed and is fetched again.
    CacheDamaged {
        /// The blob.
        digest: Digest,
    },
}

/// Where the events of a pull go. Cloning it is cheap.
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
}

impl fmt::Debug for Progress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Progress")
    }
}

/// A flag that stops a pull, shared between all who hold a clone of it.
#[derive(Clone, Debug)]
pub struct CancelToken(watch::Sender<bool>);

impl CancelToken {
    /// A token that nobody has cancelled.
    #[must_use]
    pub fn new() -> Self {
        Self(watch::Sender::new(false))
    }

    /// Stops everything that holds a clone of this token, promptly and for good.
    pub fn cancel(&self) {
        self.0.send_replace(true);
    }

    /// Whether [`cancel`](Self::cancel) was called.
    #[must_use]
    pub fn is_cancelled(&self) -> bool {
        *self.0.borrow()
    }

    /// An error once the token is cancelled.
    ///
    /// # Errors
    ///
    /// [`PullError::Cancelled`].
    pub fn check(&self) -> Result<(), PullError> {
        if self.is_cancelled() { Err(PullError::Cancelled) } else { Ok(()) }
    }

    /// Completes when the token is cancelled.
    pub(crate) async fn cancelled(&self) {
        let mut receiver = self.0.subscribe();
        // The sender lives in `self`, so the channel cannot close while this waits.
        let _closed = receiver.wait_for(|cancelled| *cancelled).await;
    }

    /// Runs `work` until it is done or the token is cancelled, whichever comes first.
    pub(crate) async fn race<T>(&self, work: impl Future<Output = T>) -> Result<T, PullError> {
        tokio::select! {
            biased;
            () = self.cancelled() => Err(PullError::Cancelled),
            done = work => Ok(done),
        }
    }
}

impl Default for CancelToken {
    fn default() -> Self {
        Self::new()
    }
}
