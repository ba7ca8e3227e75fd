//! The calls that run the whole pipeline. They block, stop when they are cancelled, and clean up behind
//! them. A panic of the event handler stops the run and unwinds from the call.

use banger_tree::Cancellation;
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
/// unless the request says otherwise. Pulls of one name, by threads or by processes, go one after the
/// other: a second pull of the same image waits for the first
/// ([`Event::PullWaiting`](crate::Event::PullWaiting)) and returns its result as unchanged.
///
/// The image stays at its path until what is returned is dropped: it holds a
/// [lease](crate::ImageLease).
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
