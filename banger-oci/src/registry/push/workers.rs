//! Threads that take the blobs of a push one after the other.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Condvar, Mutex, PoisonError};
use std::time::Duration;

use super::error::PushError;
use crate::registry::stop::PullStop;

/// How often a worker that waits for its turn looks whether it must stop.
const TURN_INTERVAL: Duration = Duration::from_millis(20);

/// So many threads at most, until `stop` says so.
#[derive(Clone, Copy, Debug)]
pub(super) struct Workers<'a> {
    pub(super) threads: usize,
    pub(super) stop: &'a PullStop,
}

impl Workers<'_> {
    /// Calls `work` with each item, in their order, several at a time. The first error stops the push.
    pub(super) fn each<T: Sync>(
        &self,
        items: &[T],
        work: impl Fn(usize, &T) -> Result<(), PushError> + Sync,
    ) -> Result<(), PushError> {
        let next = AtomicUsize::new(0);
        let first_error = Mutex::new(None);
        let run = || {
            let _guard = StopOnPanic(self.stop);
            loop {
                let at = next.fetch_add(1, Ordering::AcqRel);
                let Some(item) = items.get(at) else { return };
                let outcome = self.stop.check().map_err(PushError::from).and_then(|()| work(at, item));
                if let Err(error) = outcome {
                    // Before the others are stopped: their errors tell less.
                    first_error.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(error);
                    return self.stop.cancel();
                }
            }
        };
        std::thread::scope(|scope| {
            for _ in 1..self.threads.min(items.len()) {
                let thread = std::thread::Builder::new().name("banger-push".to_owned());
                // With fewer threads it takes longer.
                let _started = thread.spawn_scoped(scope, run);
            }
            run();
        });
        match first_error.into_inner().unwrap_or_else(PoisonError::into_inner) {
            Some(error) => Err(error),
            None => Ok(()),
        }
    }
}

/// Stops the other threads when the blobs of the caller panic.
struct StopOnPanic<'a>(&'a PullStop);

impl Drop for StopOnPanic<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.0.cancel();
        }
    }
}

/// Lets workers go on in the order of their items.
#[derive(Debug, Default)]
pub(super) struct Turns {
    next: Mutex<usize>,
    changed: Condvar,
}

impl Turns {
    /// Calls `work` when all items before `at` are done.
    pub(super) fn in_turn<T>(
        &self,
        at: usize,
        stop: &PullStop,
        work: impl FnOnce() -> Result<T, PushError>,
    ) -> Result<T, PushError> {
        let mut next = self.next.lock().unwrap_or_else(PoisonError::into_inner);
        while *next != at {
            stop.check()?;
            next = self.changed.wait_timeout(next, TURN_INTERVAL).unwrap_or_else(PoisonError::into_inner).0;
        }
        drop(next);
        let done = work()?;
        *self.next.lock().unwrap_or_else(PoisonError::into_inner) += 1;
        self.changed.notify_all();
        Ok(done)
    }
}
