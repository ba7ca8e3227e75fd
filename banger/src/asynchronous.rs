//! The same calls for programs on a tokio runtime (feature `tokio`). The work runs on the runtime's
//! threads for blocking work.

use std::panic::resume_unwind;

use banger_tree::Cancellation;
use camino::Utf8Path;
use tokio::task::spawn_blocking;

use crate::build::{BuildRequest, BuiltFile};
use crate::calls;
use crate::dirs::Dirs;
use crate::error::Error;
use crate::event::EventHandler;
use crate::output_fd::OutputFd;
use crate::request::{PullRequest, PulledFile};

/// Like [`pull`](crate::pull), but does not block the runtime. A dropped future stops its run, which then
/// cleans up on its own thread.
///
/// # Errors
/// As [`pull`](crate::pull); the runtime shuts down before the run begins.
///
/// # Panics
/// The event handler panicked, or no tokio runtime drives the future.
pub async fn pull_async(
    request: &PullRequest,
    dirs: &Dirs,
    events: &EventHandler,
    cancellation: &Cancellation,
) -> Result<PulledFile, Error> {
    let (request, dirs, events) = (request.clone(), dirs.clone(), events.clone());
    off_runtime(cancellation, move |cancellation| calls::pull(&request, &dirs, &events, cancellation)).await
}

/// Like [`pull_to_file`](crate::pull_to_file), but does not block the runtime. A dropped future stops its
/// run, which then cleans up on its own thread.
///
/// # Errors
/// As [`pull_to_file`](crate::pull_to_file); the runtime shuts down before the run begins.
///
/// # Panics
/// The event handler panicked, or no tokio runtime drives the future.
pub async fn pull_to_file_async(
    request: &PullRequest,
    output: &Utf8Path,
    dirs: &Dirs,
    events: &EventHandler,
    cancellation: &Cancellation,
) -> Result<PulledFile, Error> {
    let (request, dirs, events) = (request.clone(), dirs.clone(), events.clone());
    let output = output.to_owned();
    off_runtime(cancellation, move |cancellation| {
        calls::pull_to_file(&request, &output, &dirs, &events, cancellation)
    })
    .await
}

/// Like [`pull_to_fd`](crate::pull_to_fd), but does not block the runtime. A dropped future stops its run,
/// which then cleans up on its own thread.
///
/// # Errors
/// As [`pull_to_fd`](crate::pull_to_fd); the runtime shuts down before the run begins.
///
/// # Panics
/// The event handler panicked, or no tokio runtime drives the future.
pub async fn pull_to_fd_async(
    request: &PullRequest,
    output: OutputFd,
    dirs: &Dirs,
    events: &EventHandler,
    cancellation: &Cancellation,
) -> Result<PulledFile, Error> {
    let (request, dirs, events) = (request.clone(), dirs.clone(), events.clone());
    off_runtime(cancellation, move |cancellation| {
        calls::pull_to_fd(&request, &output, &dirs, &events, cancellation)
    })
    .await
}

/// Like [`build_rootfs`](crate::build_rootfs), but does not block the runtime. A dropped future stops its
/// run, which then cleans up on its own thread.
///
/// # Errors
/// As [`build_rootfs`](crate::build_rootfs); the runtime shuts down before the run begins.
///
/// # Panics
/// The event handler panicked, or no tokio runtime drives the future.
pub async fn build_async(
    request: &BuildRequest,
    output: &Utf8Path,
    events: &EventHandler,
    cancellation: &Cancellation,
) -> Result<BuiltFile, Error> {
    let (request, output, events) = (request.clone(), output.to_owned(), events.clone());
    off_runtime(cancellation, move |cancellation| {
        calls::build_rootfs(&request, &output, &events, cancellation)
    })
    .await
}

/// Sets a stop flag when it is dropped.
struct CancelOnDrop(Cancellation);

impl Drop for CancelOnDrop {
    fn drop(&mut self) {
        self.0.cancel();
    }
}

/// Runs `work` on a thread that may block, with a stop flag that is set when the future is dropped.
async fn off_runtime<T: Send + 'static>(
    cancellation: &Cancellation,
    work: impl FnOnce(&Cancellation) -> Result<T, Error> + Send + 'static,
) -> Result<T, Error> {
    let guard = CancelOnDrop(cancellation.child());
    let stop = guard.0.clone();
    match spawn_blocking(move || work(&stop)).await {
        Ok(outcome) => outcome,
        Err(failed) => match failed.try_into_panic() {
            Ok(panic) => resume_unwind(panic),
            Err(_) => Err(Error::Cancelled),
        },
    }
}
