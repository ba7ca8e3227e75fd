//! The threads on which downloads run, and how they end.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::runtime::{Handle, Runtime};
use tokio::task::JoinHandle;

use crate::cache::CachedBlob;
use crate::error::PullError;
use crate::event::CancelToken;
use crate::transfer::{FinishGuard, Transfers};

/// Threads for downloads; these hash and write between waits.
const WORKERS: usize = 2;
/// How long running downloads get to notice that nobody wants them any more. They look after each
/// piece that they write.
const JOIN_TIME: Duration = Duration::from_secs(1);
/// How long the threads get to end after the downloads, for those that look up a name.
const SHUTDOWN_TIME: Duration = Duration::from_millis(100);

/// The threads of a pull, what runs on them, and the blobs that it uses. Dropping it stops the
/// downloads, waits for them, and ends the threads, in this order: a download that still runs when
/// the timers of its runtime are gone panics.
#[derive(Debug)]
pub(crate) struct Background {
    runtime: Option<Runtime>,
    tasks: Mutex<Vec<JoinHandle<()>>>,
    /// Stops what runs here, and nothing else.
    pub(crate) stop: CancelToken,
    /// Blobs that must not be pruned.
    held: Mutex<Vec<CachedBlob>>,
}

impl Background {
    /// Starts the threads. Everything on them stops with `cancel`, or when it takes longer than
    /// `max_time`.
    pub(crate) fn start(cancel: &CancelToken, max_time: Duration) -> Result<Self, PullError> {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(WORKERS)
            .thread_name("banger-pull")
            .enable_all()
            .build()
            .map_err(|error| PullError::Environment {
                reason: format!("cannot start threads for downloads: {error}"),
            })?;
        let stop = cancel.child();
        let clock = stop.clone();
        let clock = runtime.spawn(async move {
            if clock.race(tokio::time::sleep(max_time)).await.is_ok() {
                clock.expire(max_time);
            }
        });
        let tasks = Mutex::new(vec![clock]);
        Ok(Self { runtime: Some(runtime), tasks, stop, held: Mutex::default() })
    }

    /// Keeps a blob from being pruned.
    pub(crate) fn hold(&self, blob: CachedBlob) {
        self.held.lock().unwrap_or_else(PoisonError::into_inner).push(blob);
    }

    /// Runs `work` on this thread.
    pub(crate) fn block_on<T>(&self, work: impl Future<Output = T>) -> T {
        self.runtime.as_ref().expect("only dropping takes the runtime").block_on(work)
    }

    /// Starts downloads.
    pub(crate) fn download(&self, transfers: Transfers, downloads: Vec<FinishGuard>) {
        if downloads.is_empty() {
            return;
        }
        let runtime = self.runtime.as_ref().expect("only dropping takes the runtime");
        let task = runtime.spawn(transfers.run(downloads));
        self.tasks.lock().unwrap_or_else(PoisonError::into_inner).push(task);
    }
}

impl Drop for Background {
    fn drop(&mut self) {
        self.stop.cancel();
        let Some(runtime) = self.runtime.take() else {
            return;
        };
        let tasks = std::mem::take(&mut *self.tasks.lock().unwrap_or_else(PoisonError::into_inner));
        if Handle::try_current().is_ok() {
            // Waiting is not allowed on a thread of another runtime.
            std::thread::spawn(move || end(runtime, tasks));
        } else {
            end(runtime, tasks);
        }
    }
}

/// Waits for tasks that were told to stop, then ends the threads they ran on.
fn end(runtime: Runtime, tasks: Vec<JoinHandle<()>>) {
    let joined = runtime.block_on(async {
        tokio::time::timeout(JOIN_TIME, async {
            for task in tasks {
                // One that panicked has ended, too.
                let _ended = task.await;
            }
        })
        .await
    });
    match joined {
        Ok(()) => runtime.shutdown_timeout(SHUTDOWN_TIME),
        // A disk that does not answer holds them up. They keep their threads until the process ends.
        Err(_) => std::mem::forget(runtime),
    }
}
