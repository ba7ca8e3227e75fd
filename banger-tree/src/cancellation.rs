//! A flag that tells every stage of a pipeline to stop.

use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

/// Shared by all stages of one run: once cancelled, each stops at its next step, fails with its
/// own "cancelled" error and leaves nothing half-made. Clones share the flag.
#[derive(Clone, Default)]
pub struct Cancellation(Arc<Shared>);

type Callback = Box<dyn FnOnce() + Send>;

#[derive(Default)]
struct Shared {
    cancelled: AtomicBool,
    callbacks: Mutex<Vec<Callback>>,
}

impl Cancellation {
    /// Asks every stage to stop; there is no way back.
    pub fn cancel(&self) {
        self.0.cancelled.store(true, Ordering::SeqCst);
        let callbacks = std::mem::take(&mut *self.0.callbacks.lock().unwrap_or_else(PoisonError::into_inner));
        for callback in callbacks {
            callback();
        }
    }

    /// Returns whether the stages shall stop.
    pub fn is_cancelled(&self) -> bool {
        self.0.cancelled.load(Ordering::Relaxed)
    }

    /// Has `callback` called once when this is cancelled, at once if it is already: for stages that
    /// wait for something other than this flag.
    pub fn on_cancel(&self, callback: impl FnOnce() + Send + 'static) {
        self.0.callbacks.lock().unwrap_or_else(PoisonError::into_inner).push(Box::new(callback));
        // A cancel that came just before the push has not seen the callback.
        if self.is_cancelled() {
            self.cancel();
        }
    }
}

impl fmt::Debug for Cancellation {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_tuple("Cancellation").field(&self.is_cancelled()).finish()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicU32;

    use super::*;

    #[test]
    fn calls_back_once_whenever_it_was_asked_to() {
        let (cancellation, calls) = (Cancellation::default(), Arc::new(AtomicU32::new(0)));
        for _ in 0..2 {
            let calls = Arc::clone(&calls);
            cancellation.clone().on_cancel(move || {
                calls.fetch_add(1, Ordering::SeqCst);
            });
            cancellation.cancel();
        }
        assert!(cancellation.is_cancelled());
        cancellation.cancel();
        assert_eq!(calls.load(Ordering::SeqCst), 2);
    }
}
