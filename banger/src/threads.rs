//! Work that several threads share.

use std::panic::resume_unwind;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread::{available_parallelism, scope};

use banger_tree::Cancellation;

/// Calls `work` for each number below `count`, on a thread for each processor. Each thread makes its memory by `start`,
/// and takes the next number when it is done with one. All end early if one fails, or with the error `cancelled` if the
/// caller asks to stop. Returns the first error.
pub(crate) fn on_all_processors<M, E: Send>(
    count: usize,
    cancellation: &Cancellation,
    cancelled: impl Fn() -> E + Sync,
    start: impl Fn() -> Result<M, E> + Sync,
    work: impl Fn(&mut M, usize) -> Result<(), E> + Sync,
) -> Result<(), E> {
    let threads = available_parallelism().map_or(2, usize::from);
    let (next, has_failed) = (AtomicUsize::new(0), AtomicBool::new(false));
    let run = || {
        let mut memory = start()?;
        loop {
            let number = next.fetch_add(1, Ordering::Relaxed);
            if number >= count || has_failed.load(Ordering::Relaxed) {
                return Ok(());
            }
            if cancellation.is_cancelled() {
                return Err(cancelled());
            }
            work(&mut memory, number)?;
        }
    };
    let work = || run().inspect_err(|_| has_failed.store(true, Ordering::Relaxed));
    scope(|scope| {
        let running: Vec<_> = (0..threads).map(|_| scope.spawn(work)).collect();
        running.into_iter().try_for_each(|thread| thread.join().unwrap_or_else(|panic| resume_unwind(panic)))
    })
}
