//! Background work of one pull, and its end.

use std::sync::mpsc::sync_channel;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use crate::registry::cache::CachedBlob;
use crate::registry::engine::Engine;
use crate::registry::error::PullError;
use crate::registry::stop::PullStop;
use crate::registry::threads::{TaskGroup, Threads};
use crate::registry::transfer::{FinishGuard, Transfers};

/// The tasks of a pull, and the blobs that it uses. Dropping it stops the tasks and waits for them,
/// on any thread.
#[derive(Debug)]
pub(crate) struct Background {
    threads: Arc<Threads>,
    tasks: TaskGroup,
    /// Stops only this background work.
    pub(crate) stop: PullStop,
    /// Blobs that must not be pruned.
    held: Mutex<Vec<CachedBlob>>,
}

impl Background {
    /// Everything here stops with `stop`. `stop` is set when the work takes longer than `max_time`.
    pub(crate) fn start(engine: &Engine, stop: &PullStop, max_time: Duration) -> Result<Self, PullError> {
        let (threads, tasks) = (engine.threads()?, TaskGroup::default());
        let clock = stop.clone();
        threads.spawn(&tasks, async move {
            if clock.race(tokio::time::sleep(max_time)).await.is_ok() {
                clock.expire(max_time);
            }
        });
        Ok(Self { threads, tasks, stop: stop.clone(), held: Mutex::default() })
    }

    /// Keeps a blob from being pruned.
    pub(crate) fn hold(&self, blob: CachedBlob) {
        self.held.lock().unwrap_or_else(PoisonError::into_inner).push(blob);
    }

    /// Makes a request, and waits for its end. The waiting is not the runtime's, which forbids it on
    /// threads of any runtime.
    pub(crate) fn run<T: Send + 'static, E: From<PullError> + Send + 'static>(
        &self,
        work: impl Future<Output = Result<T, E>> + Send + 'static,
    ) -> Result<T, E> {
        let (sender, receiver) = sync_channel(1);
        self.threads.spawn(&self.tasks, async move {
            // The caller waits for it.
            let _received = sender.send(work.await);
        });
        receiver.recv().unwrap_or_else(|_| {
            let message = "no message".to_owned();
            Err(PullError::Panicked { who: "a task of the pull", message }.into())
        })
    }

    /// Starts downloads.
    pub(crate) fn download(&self, transfers: Transfers, downloads: Vec<FinishGuard>) {
        if !downloads.is_empty() {
            self.threads.spawn(&self.tasks, transfers.run(downloads));
        }
    }
}

impl Drop for Background {
    fn drop(&mut self) {
        self.stop.cancel();
        // Where a disk does not answer, they end when it does.
        let _ended = self.tasks.wait();
    }
}
