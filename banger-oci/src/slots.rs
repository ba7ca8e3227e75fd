//! A limit on how many images of one puller are read at a time.

use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use crate::error::PullError;
use crate::stop::PullStop;

/// So many may read, the others wait.
#[derive(Debug)]
pub(crate) struct ReadSlots {
    free: Mutex<usize>,
    changed: Condvar,
}

/// The right to read an image, until it is dropped: see [`PulledImage::read_permit`](crate::PulledImage::read_permit).
#[derive(Debug)]
#[must_use = "others may read when this is dropped"]
pub struct ReadPermit(Arc<ReadSlots>);

impl ReadSlots {
    pub(crate) fn new(count: usize) -> Arc<Self> {
        Arc::new(Self { free: Mutex::new(count.max(1)), changed: Condvar::new() })
    }

    fn free(&self) -> MutexGuard<'_, usize> {
        self.free.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits for a slot, or until `stop` is set.
    pub(crate) fn acquire(self: &Arc<Self>, stop: &PullStop) -> Result<ReadPermit, PullError> {
        let slots = Arc::clone(self);
        let _guard = stop.on_stop(move || {
            // A thread that is about to wait has checked the stop flag before. The lock makes this callback
            // run after the wait has begun.
            drop(slots.free());
            slots.changed.notify_all();
        });
        let mut free = self.free();
        loop {
            stop.check()?;
            if *free > 0 {
                *free -= 1;
                return Ok(ReadPermit(Arc::clone(self)));
            }
            free = self.changed.wait(free).unwrap_or_else(PoisonError::into_inner);
        }
    }
}

impl Drop for ReadPermit {
    fn drop(&mut self) {
        *self.0.free() += 1;
        // One that has been stopped meanwhile must not take the only call.
        self.0.changed.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use banger_tree::Cancellation;

    use super::*;

    #[test]
    fn who_waits_is_let_in_or_stopped() {
        let slots = ReadSlots::new(1);
        let first = slots.acquire(&PullStop::new(&Cancellation::new())).unwrap();
        let (cancelled, waiting) = (Cancellation::new(), Cancellation::new());
        std::thread::scope(|scope| {
            let stopped = scope.spawn(|| slots.acquire(&PullStop::new(&cancelled)).map(drop));
            let admitted = scope.spawn(|| slots.acquire(&PullStop::new(&waiting)).map(drop));
            cancelled.cancel();
            assert!(matches!(stopped.join().unwrap(), Err(PullError::Cancelled)));
            assert!(!admitted.is_finished());
            drop(first);
            admitted.join().unwrap().unwrap();
        });
        assert_eq!(*slots.free(), 1);
    }
}
