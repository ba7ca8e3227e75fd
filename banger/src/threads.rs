//! Work that several threads share.

use std::panic::resume_unwind;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{available_parallelism, scope};

/// Runs `work` on a thread for each processor. It takes its share itself, piece by piece, and ends early when its
/// argument is true: another thread failed. Returns the first error.
pub(crate) fn on_all_processors<E: Send>(
    work: impl Fn(&AtomicBool) -> Result<(), E> + Sync,
) -> Result<(), E> {
    let threads = available_parallelism().map_or(2, usize::from);
    let has_failed = AtomicBool::new(false);
    let work = || work(&has_failed).inspect_err(|_| has_failed.store(true, Ordering::Relaxed));
    scope(|scope| {
        let running: Vec<_> = (0..threads).map(|_| scope.spawn(work)).collect();
        running.into_iter().try_for_each(|thread| thread.join().unwrap_or_else(|panic| resume_unwind(panic)))
    })
}
