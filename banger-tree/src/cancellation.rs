//! A flag that tells every stage of a run to stop.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, Weak};
use std::time::{Duration, Instant};

/// The stop flag of a run. After [`cancel`](Self::cancel), each stage stops at its next step and fails with
/// its "cancelled" error. It leaves nothing incomplete. Clones share the flag.
#[derive(Clone, Default)]
pub struct Cancellation(Arc<Shared>);

/// Removes a callback of [`Cancellation::on_cancel`] when it is dropped. It does not wait for a callback that
/// another thread already runs.
#[must_use = "the callback is removed when this is dropped"]
pub struct CancelGuard {
    shared: Weak<Shared>,
    number: u64,
}

type Callback = Box<dyn FnOnce() + Send>;

#[derive(Default)]
struct Shared {
    cancelled: AtomicBool,
    callbacks: Mutex<Callbacks>,
    wake: Condvar,
    /// Keeps a child registered with its parent.
    parent: Mutex<Option<CancelGuard>>,
}

#[derive(Default)]
struct Callbacks {
    next_number: u64,
    by_number: BTreeMap<u64, Callback>,
}

impl Shared {
    fn callbacks(&self) -> MutexGuard<'_, Callbacks> {
        self.callbacks.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn cancel(&self) {
        let callbacks = {
            let mut callbacks = self.callbacks();
            self.cancelled.store(true, Ordering::SeqCst);
            std::mem::take(&mut callbacks.by_number)
        };
        self.wake.notify_all();
        for (_, callback) in callbacks {
            callback();
        }
    }
}

impl Cancellation {
    /// Returns a flag that is not set.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets the flag, which asks every stage to stop. A set flag stays set. Runs the registered callbacks on
    /// this thread.
    pub fn cancel(&self) {
        self.0.cancel();
    }

    /// Returns whether the flag is set.
    #[must_use]
    pub fn is_cancelled(&self) -> bool {
        self.0.cancelled.load(Ordering::Relaxed)
    }

    /// Returns a flag for a part of the run. Cancelling this flag also sets the child; cancelling the child
    /// does not set this flag.
    #[must_use]
    pub fn child(&self) -> Self {
        let child = Self::default();
        let weak = Arc::downgrade(&child.0);
        let guard = self.on_cancel(move || {
            if let Some(child) = weak.upgrade() {
                child.cancel();
            }
        });
        *child.0.parent.lock().unwrap_or_else(PoisonError::into_inner) = Some(guard);
        child
    }

    /// Calls `callback` once when the flag is set, or at once if it is set already. This is for stages that
    /// wait for something other than this flag. The callback runs on the thread that cancels, and must not
    /// block.
    pub fn on_cancel(&self, callback: impl FnOnce() + Send + 'static) -> CancelGuard {
        let mut callbacks = self.0.callbacks();
        if self.is_cancelled() {
            drop(callbacks);
            callback();
            return CancelGuard { shared: Weak::new(), number: 0 };
        }
        let number = callbacks.next_number;
        callbacks.next_number += 1;
        callbacks.by_number.insert(number, Box::new(callback));
        CancelGuard { shared: Arc::downgrade(&self.0), number }
    }

    /// Sleeps for `duration`, or until the flag is set. Returns whether it is set.
    #[must_use]
    pub fn sleep(&self, duration: Duration) -> bool {
        let Some(end) = Instant::now().checked_add(duration) else {
            return self.sleep(Duration::from_secs(1 << 30));
        };
        let mut callbacks = self.0.callbacks();
        loop {
            let rest = end.saturating_duration_since(Instant::now());
            if self.is_cancelled() || rest.is_zero() {
                return self.is_cancelled();
            }
            callbacks = self.0.wake.wait_timeout(callbacks, rest).unwrap_or_else(PoisonError::into_inner).0;
        }
    }
}

impl Drop for CancelGuard {
    fn drop(&mut self) {
        if let Some(shared) = self.shared.upgrade() {
            // Dropped after the lock is free: a callback may hold guards itself.
            let _callback = shared.callbacks().by_number.remove(&self.number);
        }
    }
}

impl fmt::Debug for Cancellation {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_tuple("Cancellation").field(&self.is_cancelled()).finish()
    }
}

impl fmt::Debug for CancelGuard {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("CancelGuard").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicU32;
    use std::thread;

    use super::*;

    fn counted(cancellation: &Cancellation, calls: &Arc<AtomicU32>) -> CancelGuard {
        let calls = Arc::clone(calls);
        cancellation.on_cancel(move || {
            calls.fetch_add(1, Ordering::SeqCst);
        })
    }

    #[test]
    fn calls_back_once_whenever_it_was_asked_to() {
        let (cancellation, calls) = (Cancellation::new(), Arc::new(AtomicU32::new(0)));
        let _first = counted(&cancellation, &calls);
        cancellation.cancel();
        let _second = counted(&cancellation.clone(), &calls);
        cancellation.cancel();
        assert!(cancellation.is_cancelled());
        assert_eq!(calls.load(Ordering::SeqCst), 2);
    }

    #[test]
    fn a_dropped_guard_removes_its_callback() {
        let (cancellation, calls) = (Cancellation::new(), Arc::new(AtomicU32::new(0)));
        let (removed, kept) = (counted(&cancellation, &calls), counted(&cancellation, &calls));
        drop(removed);
        assert_eq!(cancellation.0.callbacks().by_number.len(), 1, "a long run does not gather callbacks");
        cancellation.cancel();
        drop(kept);
        assert_eq!(calls.load(Ordering::SeqCst), 1);
    }

    #[test]
    fn a_child_stops_with_its_parent_and_not_the_other_way_round() {
        let parent = Cancellation::new();
        let (child, sibling) = (parent.child(), parent.child());
        child.cancel();
        assert!(child.is_cancelled() && !parent.is_cancelled() && !sibling.is_cancelled());
        drop(child);
        assert_eq!(parent.0.callbacks().by_number.len(), 1, "only the sibling is registered");
        parent.cancel();
        assert!(sibling.is_cancelled() && parent.child().is_cancelled());
    }

    #[test]
    fn sleep_ends_with_the_time_or_with_the_flag() {
        let cancellation = Cancellation::new();
        assert!(!cancellation.sleep(Duration::from_millis(1)));
        let other = cancellation.clone();
        let sleeper = thread::spawn(move || other.sleep(Duration::MAX));
        cancellation.cancel();
        assert!(sleeper.join().expect("the sleeper ends"));
    }
}
