//! The threads that requests and downloads run on, and how they end.

use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::runtime::{Handle, Runtime};

use crate::registry::error::PullError;

/// Threads besides the workers: for name look-ups, and for work during a worker's write to the disk.
const MAX_BLOCKING_THREADS: usize = 4;
/// Time for tasks to notice that they are not needed any more. They check after each piece that they write.
const JOIN_TIME: Duration = Duration::from_secs(1);
/// Time for threads to end after the tasks, for threads that look up a name.
const SHUTDOWN_TIME: Duration = Duration::from_millis(100);

/// Counts the tasks that belong together. Clones share the count.
#[derive(Clone, Debug, Default)]
pub(crate) struct TaskGroup(Arc<TaskCount>);

#[derive(Debug, Default)]
struct TaskCount {
    running: Mutex<usize>,
    ended: Condvar,
}

impl TaskCount {
    fn running(&self) -> MutexGuard<'_, usize> {
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One task of a group.
#[derive(Debug)]
struct TaskGuard(Arc<TaskCount>);

impl Drop for TaskGuard {
    fn drop(&mut self) {
        *self.0.running() -= 1;
        self.0.ended.notify_all();
    }
}

impl TaskGroup {
    fn enter(&self) -> TaskGuard {
        *self.0.running() += 1;
        TaskGuard(Arc::clone(&self.0))
    }

    /// Waits until all tasks have ended, not longer than they should take. Returns whether they have.
    pub(crate) fn wait(&self) -> bool {
        let end = Instant::now() + JOIN_TIME;
        let mut running = self.0.running();
        while *running > 0 {
            let rest = end.saturating_duration_since(Instant::now());
            if rest.is_zero() {
                return false;
            }
            running = self.0.ended.wait_timeout(running, rest).unwrap_or_else(PoisonError::into_inner).0;
        }
        true
    }
}

/// A runtime of our own. Nothing waits inside it, so its owner may be any thread.
#[derive(Debug)]
pub(crate) struct Threads {
    runtime: Option<Runtime>,
    tasks: TaskGroup,
}

impl Threads {
    pub(crate) fn start(workers: usize) -> Result<Self, PullError> {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(workers.max(1))
            .max_blocking_threads(MAX_BLOCKING_THREADS)
            .thread_name("banger-pull")
            .enable_all()
            .build()
            .map_err(|error| PullError::Environment {
                reason: format!("cannot start threads for downloads: {error}"),
            })?;
        Ok(Self { runtime: Some(runtime), tasks: TaskGroup::default() })
    }

    /// Starts a task of `group`.
    pub(crate) fn spawn(&self, group: &TaskGroup, work: impl Future<Output = ()> + Send + 'static) {
        let guards = (group.enter(), self.tasks.enter());
        let runtime = self.runtime.as_ref().expect("only dropping takes the runtime");
        drop(runtime.spawn(async move {
            // Dropped after the work.
            let _guards = guards;
            work.await;
        }));
    }
}

impl Drop for Threads {
    fn drop(&mut self) {
        let Some(runtime) = self.runtime.take() else {
            return;
        };
        if !self.tasks.wait() {
            // A disk that does not answer blocks them. A task that still runs without the timers of its
            // runtime panics, so the threads stay until the process ends.
            std::mem::forget(runtime);
        } else if Handle::try_current().is_ok() {
            // Waiting for them is not allowed here. With no task left they end at once.
            runtime.shutdown_background();
        } else {
            runtime.shutdown_timeout(SHUTDOWN_TIME);
        }
    }
}
