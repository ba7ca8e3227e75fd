//! Reasons to stop a pull: its caller, its time limit, or a handler of events that panics.

use std::any::Any;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use banger_tree::{Advice, CancelGuard, Cancellation, Setting};
use tokio::sync::Notify;

use crate::registry::error::PullError;

/// Stops one pull or push with all its tasks. Clones share the state.
#[derive(Clone, Debug)]
pub(crate) struct PullStop {
    cancellation: Cancellation,
    /// The reason, if it was not the caller.
    reason: Arc<OnceLock<StopReason>>,
    /// For messages.
    is_push: bool,
}

#[derive(Debug)]
enum StopReason {
    /// The pull took longer than this.
    Late(Duration),
    /// The handler of events panicked with this message.
    Panicked(String),
}

impl PullStop {
    /// A stop that `cancellation` sets, and that does not set `cancellation`.
    pub(crate) fn new(cancellation: &Cancellation) -> Self {
        Self { cancellation: cancellation.child(), reason: Arc::default(), is_push: false }
    }

    /// The same for a push.
    pub(crate) fn of_push(cancellation: &Cancellation) -> Self {
        Self { is_push: true, ..Self::new(cancellation) }
    }

    /// A stop for a part of the pull: it is set with this one, and does not set this one.
    pub(crate) fn child(&self) -> Self {
        Self {
            cancellation: self.cancellation.child(),
            reason: Arc::clone(&self.reason),
            is_push: self.is_push,
        }
    }

    /// Stops the pull.
    pub(crate) fn cancel(&self) {
        self.cancellation.cancel();
    }

    /// Stops the pull, because it took longer than `limit`.
    pub(crate) fn expire(&self, limit: Duration) {
        self.stop_for(StopReason::Late(limit));
    }

    /// Stops the pull, because the handler of its events panicked.
    pub(crate) fn handler_panicked(&self, panic: &(dyn Any + Send)) {
        let text = panic.downcast_ref::<&str>().copied().map(str::to_owned);
        let text = text.or_else(|| panic.downcast_ref::<String>().cloned());
        self.stop_for(StopReason::Panicked(text.unwrap_or_else(|| "no message".to_owned())));
    }

    /// The first reason counts.
    fn stop_for(&self, reason: StopReason) {
        if !self.cancellation.is_cancelled() {
            let _first = self.reason.set(reason);
            self.cancellation.cancel();
        }
    }

    pub(crate) fn is_stopped(&self) -> bool {
        self.cancellation.is_cancelled()
    }

    /// Returns an error once the pull must stop.
    ///
    /// # Errors
    ///
    /// [`PullError::Cancelled`], [`PullError::TooSlow`] if the pull took too long, and
    /// [`PullError::Panicked`].
    pub(crate) fn check(&self) -> Result<(), PullError> {
        match self.is_stopped() {
            false => Ok(()),
            true => Err(self.error()),
        }
    }

    /// Returns the error of a handler that panicked, also if the work succeeded.
    pub(crate) fn check_handler(&self) -> Result<(), PullError> {
        match self.reason.get() {
            Some(StopReason::Panicked(_)) => Err(self.error()),
            _ => Ok(()),
        }
    }

    fn error(&self) -> PullError {
        let (work, handler) = match self.is_push {
            false => ("pull", "the handler of the pull's events"),
            true => ("push", "the handler of the push's events"),
        };
        match self.reason.get() {
            None => PullError::Cancelled,
            Some(StopReason::Late(limit)) => PullError::TooSlow {
                what: format!("the {work}"),
                reason: format!("it is not done after {limit:?}; what has arrived is kept"),
                advice: Advice::with_setting(
                    format!("{work} again, or allow more by {{setting}}"),
                    Setting("max_time"),
                ),
            },
            Some(StopReason::Panicked(message)) => {
                PullError::Panicked { who: handler, message: message.clone() }
            }
        }
    }

    /// Calls `callback` when the pull must stop.
    pub(crate) fn on_stop(&self, callback: impl FnOnce() + Send + 'static) -> CancelGuard {
        self.cancellation.on_cancel(callback)
    }

    /// Completes when the pull must stop.
    pub(crate) async fn stopped(&self) {
        let notify = Arc::new(Notify::new());
        let callback = Arc::clone(&notify);
        // A notification that comes before the wait is kept for it.
        let _guard = self.on_stop(move || callback.notify_one());
        notify.notified().await;
    }

    /// Runs `work` until it is done or the pull must stop.
    pub(crate) async fn race<T>(&self, work: impl Future<Output = T>) -> Result<T, PullError> {
        self.check()?;
        tokio::select! {
            biased;
            () = self.stopped() => Err(self.error()),
            done = work => Ok(done),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_reason_counts_and_stays_below() {
        let cancellation = Cancellation::new();
        let (stop, sibling) = (PullStop::new(&cancellation), PullStop::new(&cancellation));
        stop.expire(Duration::from_secs(7));
        stop.cancel();
        stop.handler_panicked(&"late");
        assert!(matches!(stop.check(), Err(PullError::TooSlow { .. })), "the first reason counts");
        assert!(!cancellation.is_cancelled() && !sibling.is_stopped());
        cancellation.cancel();
        sibling.expire(Duration::from_secs(7));
        assert!(matches!(sibling.check(), Err(PullError::Cancelled)));
    }

    #[tokio::test]
    async fn work_is_left_when_the_caller_cancels() {
        let cancellation = Cancellation::new();
        let stop = PullStop::new(&cancellation);
        let waiting = tokio::spawn(async move { stop.race(std::future::pending::<()>()).await });
        tokio::task::yield_now().await;
        cancellation.cancel();
        assert!(matches!(waiting.await.unwrap(), Err(PullError::Cancelled)));
    }
}
