//! What a pull tells its caller while it runs, and how the caller stops it.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

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
pub struct CancelToken {
    stop: watch::Sender<Option<Stop>>,
    /// The token of whoever started this part of the work: it stops this part as well.
    parent: Option<Box<CancelToken>>,
}

/// Why work has to stop.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stop {
    Cancelled,
    /// It took longer than this.
    Late(Duration),
}

impl CancelToken {
    /// A token that nobody has cancelled.
    #[must_use]
    pub fn new() -> Self {
        Self { stop: watch::Sender::new(None), parent: None }
    }

    /// A token for a part of the work: this token stops it, and it does not stop this token.
    pub(crate) fn child(&self) -> Self {
        Self { stop: watch::Sender::new(None), parent: Some(Box::new(self.clone())) }
    }

    /// Stops everything that holds a clone of this token, promptly and for good.
    pub fn cancel(&self) {
        self.stop_for(Stop::Cancelled);
    }

    /// Stops everything as [`cancel`](Self::cancel) does, because it took longer than `limit`.
    pub(crate) fn expire(&self, limit: Duration) {
        self.stop_for(Stop::Late(limit));
    }

    /// The first reason counts.
    fn stop_for(&self, reason: Stop) {
        self.stop.send_if_modified(|stop| {
            let first = stop.is_none();
            stop.get_or_insert(reason);
            first
        });
    }

    fn stopped(&self) -> Option<Stop> {
        let own = *self.stop.borrow();
        own.or_else(|| self.parent.as_ref()?.stopped())
    }

    /// Whether [`cancel`](Self::cancel) was called.
    #[must_use]
    pub fn is_cancelled(&self) -> bool {
        self.stopped().is_some()
    }

    /// An error once the token is cancelled.
    ///
    /// # Errors
    ///
    /// [`PullError::Cancelled`], or [`PullError::TooSlow`] where the pull took too long.
    pub fn check(&self) -> Result<(), PullError> {
        match self.stopped() {
            None => Ok(()),
            Some(stop) => Err(stop.error()),
        }
    }

    /// Completes when the token is cancelled.
    pub(crate) async fn cancelled(&self) {
        let mut receiver = self.stop.subscribe();
        // The sender lives in `self`, so the channel cannot close while this waits.
        let own = receiver.wait_for(Option::is_some);
        match &self.parent {
            Some(parent) => {
                let parent = Box::pin(parent.cancelled());
                tokio::select! {
                    _stop = own => {}
                    () = parent => {}
                }
            }
            None => {
                let _closed = own.await;
            }
        }
    }

    /// Runs `work` until it is done or the token is cancelled, whichever comes first.
    pub(crate) async fn race<T>(&self, work: impl Future<Output = T>) -> Result<T, PullError> {
        tokio::select! {
            biased;
            () = self.cancelled() => Err(self.check().err().unwrap_or(PullError::Cancelled)),
            done = work => Ok(done),
        }
    }
}

impl Stop {
    fn error(self) -> PullError {
        match self {
            Self::Cancelled => PullError::Cancelled,
            Self::Late(limit) => PullError::TooSlow {
                what: "the pull".to_owned(),
                reason: format!("it is not done after {limit:?}; what has arrived is kept"),
                advice: "pull again, or allow more by --max-time",
            },
        }
    }
}

impl Default for CancelToken {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_child_stops_with_its_parent_and_not_the_other_way_round() {
        let parent = CancelToken::new();
        let (child, sibling) = (parent.child(), parent.child());
        child.expire(Duration::from_secs(7));
        child.cancel();
        assert!(matches!(child.check(), Err(PullError::TooSlow { .. })), "the first reason counts");
        assert!(!parent.is_cancelled() && !sibling.is_cancelled());
        parent.cancel();
        assert!(matches!(sibling.check(), Err(PullError::Cancelled)));
    }

    #[tokio::test]
    async fn work_is_left_when_the_parent_is_cancelled() {
        let parent = CancelToken::new();
        let child = parent.child();
        let waiting = tokio::spawn(async move { child.race(std::future::pending::<()>()).await });
        tokio::task::yield_now().await;
        parent.cancel();
        assert!(matches!(waiting.await.unwrap(), Err(PullError::Cancelled)));
    }
}
