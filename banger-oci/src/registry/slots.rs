//! Limits on how many images of one puller are read at a time, and on the threads that do so.

use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use crate::flatten::default_streams;
use crate::registry::error::PullError;
use crate::registry::stop::PullStop;

/// So many may read, the others wait.
#[derive(Debug)]
pub(crate) struct ReadSlots {
    free: Mutex<FreeSlots>,
    changed: Condvar,
    /// All streams, taken or free.
    streams: usize,
}

#[derive(Debug)]
struct FreeSlots {
    images: usize,
    streams: usize,
    /// Pulls that run, whether they read or not.
    pulls: usize,
}

/// The right to read an image, until it is dropped: see [`PulledImage::read_permit`](crate::PulledImage::read_permit).
#[derive(Debug)]
#[must_use = "others may read when this is dropped"]
pub struct ReadPermit {
    slots: Arc<ReadSlots>,
    streams: usize,
}

impl ReadPermit {
    /// Returns the number of layers that the holder may decompress on separate threads at a time. It is its
    /// share of [`PullerOptions::parallel_streams`](crate::PullerOptions::parallel_streams), at most the
    /// default of [`FlattenOptions`](crate::FlattenOptions). With 0, many pulls run, and each does its work
    /// on the calling thread.
    #[must_use]
    pub fn streams(&self) -> usize {
        self.streams
    }
}

/// A pull that runs, until it is dropped.
#[derive(Debug)]
pub(crate) struct RunningPull(Arc<ReadSlots>);

impl Drop for RunningPull {
    fn drop(&mut self) {
        self.0.free().pulls -= 1;
    }
}

impl ReadSlots {
    pub(crate) fn new(images: usize, streams: usize) -> Arc<Self> {
        let free = FreeSlots { images: images.max(1), streams, pulls: 0 };
        Arc::new(Self { free: Mutex::new(free), changed: Condvar::new(), streams })
    }

    fn free(&self) -> MutexGuard<'_, FreeSlots> {
        self.free.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Counts a pull: all running pulls share the streams.
    pub(crate) fn enter(self: &Arc<Self>) -> RunningPull {
        self.free().pulls += 1;
        RunningPull(Arc::clone(self))
    }

    /// Waits for a slot, or until `stop` says so.
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
            if free.images > 0 {
                let share = self.streams / free.pulls.max(1);
                let streams = share.min(free.streams).min(default_streams());
                free.images -= 1;
                free.streams -= streams;
                return Ok(ReadPermit { slots: Arc::clone(self), streams });
            }
            free = self.changed.wait(free).unwrap_or_else(PoisonError::into_inner);
        }
    }
}

impl Drop for ReadPermit {
    fn drop(&mut self) {
        let mut free = self.slots.free();
        free.images += 1;
        free.streams += self.streams;
        drop(free);
        // One that has been stopped meanwhile must not take the only call.
        self.slots.changed.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use banger_tree::Cancellation;

    use super::*;

    #[test]
    fn who_waits_is_let_in_or_stopped() {
        let slots = ReadSlots::new(1, 0);
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
        assert_eq!(slots.free().images, 1);
    }

    #[test]
    fn streams_are_shared_among_the_pulls_that_run() {
        let most = default_streams();
        let (slots, stop) = (ReadSlots::new(8, most), PullStop::new(&Cancellation::new()));
        let alone = slots.enter();
        let all = slots.acquire(&stop).unwrap();
        assert_eq!(all.streams(), most);
        // It has taken them all.
        let second = slots.enter();
        assert_eq!(slots.acquire(&stop).unwrap().streams(), 0);
        drop(all);
        assert_eq!(slots.acquire(&stop).unwrap().streams(), most / 2);
        let crowd: Vec<_> = (0..most).map(|_| slots.enter()).collect();
        assert_eq!(slots.acquire(&stop).unwrap().streams(), 0);
        drop((second, crowd));
        assert_eq!(slots.acquire(&stop).unwrap().streams(), most);
        drop(alone);
        let FreeSlots { images, streams, pulls } = *slots.free();
        assert_eq!((images, streams, pulls), (8, most, 0));
    }
}
