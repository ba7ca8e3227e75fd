//! Events of a run.

use std::any::Any;
use std::fmt;
use std::ops::ControlFlow;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use banger_tree::Cancellation;
use serde::Serialize;

/// One step of a run. One enum feeds the progress bars, `--progress json` and the C callback.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "event", rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Event {
    /// The reference is being turned into a digest.
    Resolving {
        /// The reference in full.
        reference: String,
    },
    /// The image is known.
    Resolved {
        /// Digest of the image manifest.
        digest: String,
        /// Its platform.
        platform: String,
        /// Number of its layers.
        layers: usize,
        /// Bytes of all its layers as published.
        size_bytes: u64,
        /// Its layers as blobs, the base first: the events of blobs name them by digest.
        blobs: Vec<LayerBlob>,
    },
    /// A blob starts to come in.
    BlobStarted {
        /// Digest of the blob.
        digest: String,
        /// Its length.
        size_bytes: u64,
        /// Whether it is in the cache already.
        cached: bool,
        /// Bytes that an earlier broken download left.
        resumed_bytes: u64,
    },
    /// Another process downloads the blob; this process waits for it.
    BlobWaiting {
        /// Digest of the blob.
        digest: String,
    },
    /// Another thread or process pulls an image of this name; this call waits for it.
    PullWaiting {
        /// Name of the image.
        name: String,
    },
    /// More of a blob came in.
    BlobProgress {
        /// Digest of the blob.
        digest: String,
        /// Bytes so far.
        done_bytes: u64,
        /// Its length.
        size_bytes: u64,
    },
    /// A blob is whole, checked, and in the cache.
    BlobDone {
        /// Digest of the blob.
        digest: String,
    },
    /// A request failed and is tried again.
    Retry {
        /// The operation that is retried.
        what: String,
        /// Which attempt comes now, from 2 on.
        attempt: u32,
        /// The failure of the attempt before.
        reason: String,
        /// How long it waits first.
        delay_ms: u64,
    },
    /// Parts of a finished image were copied from other images of this machine: they are not fetched.
    WindowsCopied {
        /// Number of the parts.
        windows: usize,
        /// Their bytes.
        size_bytes: u64,
    },
    /// A mirror, another location, or one of several registries gave the manifest.
    EndpointChosen {
        /// The repository at this place.
        endpoint: String,
    },
    /// A place failed; the next one is asked.
    EndpointSkipped {
        /// The repository at this place.
        endpoint: String,
        /// The failure.
        reason: String,
    },
    /// A layer is being applied.
    LayerProgress {
        /// Its position, 0 for the base.
        layer: u32,
        /// Published bytes read so far.
        done_bytes: u64,
        /// Published bytes in all.
        size_bytes: u64,
    },
    /// A layer is applied.
    LayerDone {
        /// Its position, 0 for the base.
        layer: u32,
        /// Number of its tar entries.
        entries: u64,
    },
    /// More of a directory of the host was read.
    DirectoryProgress {
        /// Names so far.
        entries: u64,
        /// Bytes of files so far, holes not.
        done_bytes: u64,
    },
    /// More of the source of a kernel was read.
    KernelProgress {
        /// The source.
        source: String,
        /// Bytes so far.
        done_bytes: u64,
        /// Its length, or 0 if that is not known.
        size_bytes: u64,
    },
    /// Something was changed or left out.
    Warning {
        /// The fact and its reason.
        message: String,
    },
    /// A step of a build of an image begins.
    Step {
        /// Its number, from 1.
        step: usize,
        /// Number of all steps.
        steps: usize,
        /// The step, in one line.
        text: String,
        /// Whether it was done before, and is not done again.
        cached: bool,
    },
    /// The program of a step writes.
    StepOutput {
        /// The number of the step.
        step: usize,
        /// A part of its output.
        text: String,
    },
    /// The file system is being written.
    Building {
        /// The backend that does it.
        backend: String,
    },
    /// All is done.
    Done {
        /// The ext4 file, or the directory of the kernel.
        path: String,
        /// Whether it was there already.
        unchanged: bool,
    },
}

/// A published layer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct LayerBlob {
    /// Digest of the blob.
    pub digest: String,
    /// Its length.
    pub size_bytes: u64,
}

impl LayerBlob {
    /// Returns the blob with this digest and length.
    pub fn new(digest: impl Into<String>, size_bytes: u64) -> Self {
        Self { digest: digest.into(), size_bytes }
    }
}

/// Takes the events of a run, from several threads. Breaking cancels the run. A panic stops the run
/// too, and then unwinds from the call that started it, on the caller's thread.
#[derive(Clone)]
pub struct EventHandler {
    handler: Arc<Handler>,
    /// The panic of the handler in this run.
    panic: Arc<Mutex<Option<Panic>>>,
}

type Handler = dyn Fn(&Event) -> ControlFlow<()> + Send + Sync;
type Panic = Box<dyn Any + Send>;

impl EventHandler {
    /// Calls `handler` for every event.
    pub fn new(handler: impl Fn(&Event) -> ControlFlow<()> + Send + Sync + 'static) -> Self {
        Self { handler: Arc::new(handler), panic: Arc::default() }
    }

    /// Ignores all events.
    pub fn none() -> Self {
        Self::new(|_| ControlFlow::Continue(()))
    }

    /// Calls `run` with a separate handler and stop flag, so a stop of this run does not set a flag of the
    /// caller. A panic of the handler continues from here, after all other parts of the run have ended.
    pub(crate) fn during<T>(
        &self,
        cancellation: &Cancellation,
        run: impl FnOnce(&Self, &Cancellation) -> T,
    ) -> T {
        let own = Self { handler: Arc::clone(&self.handler), panic: Arc::default() };
        let outcome = run(&own, &cancellation.child());
        let panic = own.panic().take();
        match panic {
            Some(panic) => resume_unwind(panic),
            None => outcome,
        }
    }

    /// Passes `event` on; cancels the run if the handler asks for it. After a panic the handler is not called
    /// any more.
    pub(crate) fn emit(&self, event: &Event, cancellation: &Cancellation) {
        trace(event);
        if self.panic().is_some() {
            return;
        }
        // The handler is not called again, so its inconsistent state is never visible.
        match catch_unwind(AssertUnwindSafe(|| (self.handler)(event))) {
            Ok(ControlFlow::Continue(())) => {}
            Ok(ControlFlow::Break(())) => cancellation.cancel(),
            Err(panic) => {
                self.panic().get_or_insert(panic);
                cancellation.cancel();
            }
        }
    }

    fn panic(&self) -> MutexGuard<'_, Option<Panic>> {
        self.panic.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for EventHandler {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("EventHandler")
    }
}

/// Passes an event on to the program's `tracing` subscriber.
#[cfg(feature = "tracing")]
fn trace(event: &Event) {
    match event {
        Event::Warning { message } => tracing::warn!("{message}"),
        Event::Retry { what, attempt, reason, delay_ms } => {
            tracing::warn!(what, attempt, reason, delay_ms, "a request is tried again");
        }
        Event::EndpointSkipped { endpoint, reason } => {
            tracing::warn!(endpoint, reason, "a place failed; the next one is asked");
        }
        Event::BlobProgress { .. }
        | Event::LayerProgress { .. }
        | Event::DirectoryProgress { .. }
        | Event::KernelProgress { .. } => {
            tracing::trace!(?event);
        }
        _ => tracing::debug!(?event),
    }
}

#[cfg(not(feature = "tracing"))]
fn trace(_: &Event) {}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};

    use super::*;

    fn warning() -> Event {
        Event::Warning { message: "odd".to_owned() }
    }

    #[test]
    fn a_panic_unwinds_from_the_call_and_cancels_nothing_of_the_caller() {
        let calls = Arc::new(AtomicU32::new(0));
        let counted = Arc::clone(&calls);
        let handler = EventHandler::new(move |_| {
            counted.fetch_add(1, Ordering::SeqCst);
            resume_unwind(Box::new("the handler's own"))
        });
        let cancellation = Cancellation::new();
        let run = || {
            handler.during(&cancellation, |events, stop| {
                std::thread::scope(|scope| {
                    scope.spawn(|| events.emit(&warning(), stop));
                });
                assert!(stop.is_cancelled(), "the run is to stop");
                events.emit(&warning(), stop);
            });
        };
        let panic = catch_unwind(AssertUnwindSafe(run)).expect_err("the panic goes on");
        assert_eq!(panic.downcast_ref(), Some(&"the handler's own"));
        assert!(!cancellation.is_cancelled());
        assert_eq!(calls.load(Ordering::SeqCst), 1, "it is not called again");
        handler.during(&cancellation, |_, stop| assert!(!stop.is_cancelled(), "the next run starts anew"));
    }

    #[test]
    fn breaking_stops_this_run_only() {
        let handler = EventHandler::new(|_| ControlFlow::Break(()));
        let cancellation = Cancellation::new();
        let is_stopped = handler.during(&cancellation, |events, stop| {
            events.emit(&warning(), stop);
            stop.is_cancelled()
        });
        assert!(is_stopped && !cancellation.is_cancelled());
    }
}
