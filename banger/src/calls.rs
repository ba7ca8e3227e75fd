//! The calls that run the whole pipeline. They block, stop when they are cancelled, and clean up behind
//! them. A panic of the event handler stops the run and unwinds from the call.

use banger_tree::{Cancellation, Metadata};
use camino::Utf8Path;

use crate::build::{self, BuildRequest, BuiltFile};
use crate::dirs::Dirs;
use crate::error::Error;
use crate::event::EventHandler;
use crate::request::{PullRequest, PulledFile};

/// Pulls an image and publishes it in the image store under `dirs`, in the place of an older one
/// of the same name.
///
/// An image that is there already, at the same digest and with the same options, is left as it is
/// unless the request says otherwise.
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
/// Any stage, or the file exists and the request does not say to replace it.
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

/// Builds the ext4 file `output` from a directory or a tar of the host. It is complete when this
/// returns and absent when it fails.
///
/// The bytes of the file depend on the content of the source, the backend and the options of the
/// request, and on nothing else of the host.
///
/// # Errors
/// The source cannot be read or changes meanwhile, the file exists and the request does not say to
/// replace it or lies in the source, or it cannot be written.
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
