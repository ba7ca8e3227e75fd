//! Work on a thread of the library whose events wait for the caller.
//!
//! A blocking call is a task whose events are taken in a loop by the thread that made the call: so a progress
//! function never runs on a thread of the library, and a call that waits for nothing can be cancelled.

use std::collections::VecDeque;
use std::ffi::c_void;
use std::io::{PipeReader, PipeWriter, Read as _, Write as _, pipe};
use std::ops::ControlFlow;
use std::os::fd::{AsRawFd as _, RawFd};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use pipeline::{Cancellation, Event, EventHandler};

use crate::error::Fault;
use crate::event::{banger_event, banger_progress_fn};
use crate::signals::without_signals;

/// How many events wait for the caller.
const QUEUE_LENGTH: usize = 64;
/// The least time between two events of progress of one blob or layer.
const PROGRESS_PAUSE: Duration = Duration::from_millis(50);
/// How often a caller hears that nothing happened.
const IDLE_PAUSE: Duration = Duration::from_millis(200);

/// Work that runs on a thread of its own and ends in a `T`. Dropping it cancels the work and waits for its end.
#[derive(Debug)]
pub(crate) struct Task<T> {
    shared: Arc<TaskQueue<T>>,
    cancellation: Cancellation,
    thread: Option<JoinHandle<()>>,
    reader: PipeReader,
}

/// What the caller finds.
#[derive(Debug)]
pub(crate) enum Step {
    /// The next event.
    Event(Event),
    /// Nothing within the time.
    Nothing,
    /// The work has ended, and all events are taken.
    Ended,
}

#[derive(Debug)]
struct TaskQueue<T> {
    state: Mutex<TaskState<T>>,
    changed: Condvar,
    /// Holds a byte while there is an event or the end.
    writer: PipeWriter,
}

#[derive(Debug)]
struct TaskState<T> {
    events: VecDeque<Event>,
    /// An event of each progress that goes on, and when the last one was queued.
    progress: Vec<(Event, Instant)>,
    /// Nobody takes events any more.
    is_deaf: bool,
    is_signalled: bool,
    result: Option<Result<T, Fault>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum ProgressKey<'a> {
    Blob(&'a str),
    Layer(u32),
    Directory,
}

/// Returns what the progress is of, and whether it is whole; `None` for other events.
fn progress_of(event: &Event) -> Option<(ProgressKey<'_>, bool)> {
    match event {
        Event::BlobProgress { digest, done_bytes, size_bytes } => {
            Some((ProgressKey::Blob(digest), done_bytes == size_bytes))
        }
        Event::LayerProgress { layer, done_bytes, size_bytes } => {
            Some((ProgressKey::Layer(*layer), done_bytes == size_bytes))
        }
        Event::DirectoryProgress { .. } => Some((ProgressKey::Directory, false)),
        _ => None,
    }
}

impl<T> TaskQueue<T> {
    fn state(&self) -> MutexGuard<'_, TaskState<T>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Makes the file descriptor readable, and wakes who waits.
    fn signal(&self, state: &mut TaskState<T>) {
        if !state.is_signalled {
            // An empty pipe takes one byte without waiting.
            state.is_signalled = (&self.writer).write_all(&[1]).is_ok();
        }
        self.changed.notify_all();
    }

    fn push(&self, event: &Event, cancellation: &Cancellation) {
        let mut state = self.state();
        if let Some((key, is_whole)) = progress_of(event) {
            self.push_progress(&mut state, event, key, is_whole);
            return;
        }
        while state.events.len() >= QUEUE_LENGTH && !state.is_deaf && !cancellation.is_cancelled() {
            if let Some(at) = state.events.iter().position(|event| progress_of(event).is_some()) {
                state.events.remove(at);
                break;
            }
            state =
                self.changed.wait_timeout(state, PROGRESS_PAUSE).unwrap_or_else(PoisonError::into_inner).0;
        }
        if !state.is_deaf {
            state.events.push_back(event.clone());
            self.signal(&mut state);
        }
    }

    /// Keeps the newest progress of a thing only, at most 20 a second; it never waits.
    fn push_progress(&self, state: &mut TaskState<T>, event: &Event, key: ProgressKey<'_>, is_whole: bool) {
        let now = Instant::now();
        let is_same = |other: &Event| progress_of(other).is_some_and(|(other, _)| other == key);
        if let Some(waiting) = state.events.iter_mut().find(|event| is_same(event)) {
            *waiting = event.clone();
            return;
        }
        match state.progress.iter_mut().find(|(other, _)| is_same(other)) {
            Some((_, last)) if !is_whole && now.duration_since(*last) < PROGRESS_PAUSE => return,
            Some((_, last)) => *last = now,
            None => state.progress.push((event.clone(), now)),
        }
        if is_whole {
            state.progress.retain(|(other, _)| !is_same(other));
        }
        if !state.is_deaf && state.events.len() < QUEUE_LENGTH {
            state.events.push_back(event.clone());
            self.signal(state);
        }
    }
}

impl<T: Send + 'static> Task<T> {
    /// Starts `work`. It is cancelled with `parent`, and when the task is dropped.
    pub(crate) fn start(
        parent: &Cancellation,
        work: impl FnOnce(&EventHandler, &Cancellation) -> Result<T, Fault> + Send + 'static,
    ) -> Result<Self, Fault> {
        let cancellation = parent.child();
        let failed = |error: std::io::Error| Fault::resources(format!("cannot start a thread: {error}"));
        let (reader, writer) = pipe().map_err(failed)?;
        let state = TaskState {
            events: VecDeque::new(),
            progress: Vec::new(),
            is_deaf: false,
            is_signalled: false,
            result: None,
        };
        let shared = Arc::new(TaskQueue { state: Mutex::new(state), changed: Condvar::new(), writer });
        let (queue, stop) = (Arc::clone(&shared), cancellation.clone());
        let body = move || {
            let events = {
                let (queue, stop) = (Arc::clone(&queue), stop.clone());
                EventHandler::new(move |event| {
                    queue.push(event, &stop);
                    ControlFlow::Continue(())
                })
            };
            let result = catch_unwind(AssertUnwindSafe(|| work(&events, &stop)))
                .unwrap_or_else(|panic| Err(Fault::panic(&*panic)));
            drop(events);
            let mut state = queue.state();
            state.result = Some(result);
            queue.signal(&mut state);
        };
        let spawned =
            without_signals(|| std::thread::Builder::new().name("banger-task".to_owned()).spawn(body));
        Ok(Self { shared, cancellation, thread: Some(spawned.map_err(failed)?), reader })
    }

    /// A file descriptor that is readable while there is an event or the end.
    pub(crate) fn fd(&self) -> RawFd {
        self.reader.as_raw_fd()
    }

    /// Asks the work to stop.
    pub(crate) fn cancel(&self) {
        self.cancellation.cancel();
    }

    /// Returns the next event, or waits for it up to `timeout`.
    pub(crate) fn next(&mut self, timeout: Duration) -> Step {
        let end = Instant::now().checked_add(timeout);
        let mut state = self.shared.state();
        loop {
            if let Some(event) = state.events.pop_front() {
                if state.events.is_empty() && state.result.is_none() {
                    self.drain(&mut state);
                }
                self.shared.changed.notify_all();
                return Step::Event(event);
            }
            if state.result.is_some() {
                return Step::Ended;
            }
            let rest = end.map_or(IDLE_PAUSE, |end| end.saturating_duration_since(Instant::now()));
            if rest.is_zero() {
                return Step::Nothing;
            }
            state = self.shared.changed.wait_timeout(state, rest).unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// Makes the file descriptor unreadable.
    fn drain(&self, state: &mut TaskState<T>) {
        if std::mem::take(&mut state.is_signalled) {
            let _one = (&self.reader).read(&mut [0]);
        }
    }

    /// Waits for the end of the work, without its remaining events, and returns its result.
    pub(crate) fn finish(mut self) -> Result<T, Fault> {
        self.join();
        let result = self.shared.state().result.take();
        result.unwrap_or_else(|| Err(Fault::resources("the thread of the call has ended without an answer")))
    }

    /// Runs `work`, and calls `progress` on this thread with each event.
    ///
    /// # Safety
    /// `progress` may be called with `user_data` on this thread until this returns.
    pub(crate) unsafe fn run(
        parent: &Cancellation,
        progress: banger_progress_fn,
        user_data: *mut c_void,
        work: impl FnOnce(&EventHandler, &Cancellation) -> Result<T, Fault> + Send + 'static,
    ) -> Result<T, Fault> {
        let mut task = Self::start(parent, work)?;
        let Some(progress) = progress else { return task.finish() };
        loop {
            let event = match task.next(IDLE_PAUSE) {
                Step::Event(event) => banger_event::of(&event),
                Step::Nothing => banger_event::idle(),
                Step::Ended => return task.finish(),
            };
            // SAFETY: as the function's own condition; the event lives on.
            if unsafe { progress(&raw const event, user_data) } != 0 {
                task.cancel();
                return task.finish();
            }
        }
    }
}

impl<T> Task<T> {
    /// Waits for the end of the thread; nobody takes events any more.
    fn join(&mut self) {
        {
            let mut state = self.shared.state();
            state.is_deaf = true;
            state.events.clear();
            self.shared.changed.notify_all();
        }
        if let Some(thread) = self.thread.take() {
            let _its_panics_are_results = thread.join();
        }
    }
}

impl<T> Drop for Task<T> {
    fn drop(&mut self) {
        if self.thread.is_some() {
            self.cancellation.cancel();
            self.join();
        }
    }
}
