//! The calls that run the whole pipeline. They block, stop when they are cancelled, and clean up behind
//! them. A panic of the event handler stops the run and unwinds from the call.

use banger_tree::{Cancellation, Metadata};
use camino::Utf8Path;

use crate::build::{self, BuildRequest, BuiltFile};
use crate::dirs::Dirs;
use crate::error::Error;
use crate::event::EventHandler;
use crate::inspect::ImageInspection;
use crate::output_fd::OutputFd;
use crate::request::{PullRequest, PulledFile};

/// Pulls an image and publishes it in the image store under `dirs`. Replaces an older image of the same name.
///
/// If the store has this image with the same digest and options, the call returns it unchanged, unless the
/// request asks for a new build. Pulls under one name, by threads or by processes, wait for each other. A
/// second pull of the same image waits for the first ([`Event::PullWaiting`](crate::Event::PullWaiting)) and
/// returns its result as unchanged.
///
/// The image stays at its path until the result is dropped: the result holds a [lease](crate::ImageLease).
///
/// # Errors
/// Any stage; then nothing is published and nothing but downloaded blobs is left.
///
/// # Panics
/// The event handler panicked.
pub fn pull(
    request: &PullRequest,
    dirs: &Dirs,
    events: &EventHandler,
    cancellation: &Cancellation,
) -> Result<PulledFile, Error> {
    events.during(cancellation, |events, cancellation| crate::pull::pull(request, dirs, events, cancellation))
}

/// Pulls an image into the single ext4 file `output`, which is complete when this returns and
/// absent when it fails.
///
/// # Errors
/// A stage fails, or the file exists and the request does not allow to replace it.
///
/// # Panics
/// The event handler panicked.
pub fn pull_to_file(
    request: &PullRequest,
    output: &Utf8Path,
    dirs: &Dirs,
    events: &EventHandler,
    cancellation: &Cancellation,
) -> Result<PulledFile, Error> {
    events.during(cancellation, |events, cancellation| {
        crate::pull::pull_to_file(request, output, dirs, events, cancellation)
    })
}

/// Pulls an image into an open file, in place, with the bytes of a [`pull_to_file`]. The result has the path
/// `/dev/fd/N`.
///
/// The old bytes of the file are lost once the writing begins. If the call fails, a regular file is as it was or
/// empty. A block device is as it was, or its first 4096 bytes are zeros and the others are undefined. The request's
/// `force` has no effect, and its backend must be the native one. The call does not check whether a kernel of the
/// request can start the image.
///
/// # Errors
/// As [`pull_to_file`], or a device is smaller than the file system.
///
/// # Panics
/// The event handler panicked.
pub fn pull_to_fd(
    request: &PullRequest,
    output: &OutputFd,
    dirs: &Dirs,
    events: &EventHandler,
    cancellation: &Cancellation,
) -> Result<PulledFile, Error> {
    events.during(cancellation, |events, cancellation| {
        crate::pull::pull_to_fd(request, output, dirs, events, cancellation)
    })
}

/// Downloads an image and returns the metadata of the root file system that its layers make: type,
/// permissions, owner, time and extended attributes of every path. It makes no file but those of the cache.
///
/// [`apply_ownership`](crate::apply_ownership) puts the metadata into a file system that an unprivileged copy
/// of the image became.
///
/// # Errors
/// Any stage but the writing of a file system.
///
/// # Panics
/// The event handler panicked.
pub fn image_metadata(
    request: &PullRequest,
    dirs: &Dirs,
    events: &EventHandler,
    cancellation: &Cancellation,
) -> Result<Metadata, Error> {
    events.during(cancellation, |events, cancellation| {
        crate::pull::image_metadata(request, dirs, events, cancellation)
    })
}

/// Finds an image and returns what its manifest and its configuration tell. It downloads no layer and makes no file but
/// those of the cache.
///
/// # Errors
/// The image is not found or cannot be understood.
///
/// # Panics
/// The event handler panicked.
pub fn inspect_image(
    request: &PullRequest,
    dirs: &Dirs,
    events: &EventHandler,
    cancellation: &Cancellation,
) -> Result<ImageInspection, Error> {
    events.during(cancellation, |events, cancellation| {
        crate::inspect::inspect_image(request, dirs, events, cancellation)
    })
}

/// Builds the ext4 file `output` from a directory or a tar of the host. It is complete when this
/// returns and absent when it fails.
///
/// The bytes of the file depend only on the content of the source, the backend and the options of the
/// request.
///
/// # Errors
/// The source cannot be read or changes meanwhile. Or the file lies in the source, cannot be written, or
/// exists and the request does not allow to replace it.
///
/// # Panics
/// The event handler panicked.
pub fn build_rootfs(
    request: &BuildRequest,
    output: &Utf8Path,
    events: &EventHandler,
    cancellation: &Cancellation,
) -> Result<BuiltFile, Error> {
    events.during(cancellation, |events, cancellation| {
        build::build_rootfs(request, output, events, cancellation)
    })
}
