//! What the downloads of a run share: the cache, and the way of events to the handler of the run.

use std::sync::{Mutex, PoisonError};

use banger_oci::{BlobCache, Progress, check_own_directory};
use banger_tree::Cancellation;

use camino::Utf8PathBuf;

use crate::dirs::Dirs;
use crate::error::Error;
use crate::event::EventHandler;
use crate::pull_events::PullEvents;

/// The cache, and the receiver of the events of downloads.
pub(crate) struct Fetch {
    pub(crate) cache: BlobCache,
    pub(crate) progress: Progress,
}

impl Fetch {
    /// Opens the cache under `dirs`.
    pub(crate) fn open(
        dirs: &Dirs,
        events: &EventHandler,
        cancellation: &Cancellation,
    ) -> Result<Self, Error> {
        check_own_directory(&dirs.cache)?;
        let cache = BlobCache::open(blob_directory(dirs))?;
        Ok(Self { cache, progress: progress_to(events, cancellation) })
    }
}

/// Returns the way of the events of transfers to the handler of the run.
pub(crate) fn progress_to(events: &EventHandler, cancellation: &Cancellation) -> Progress {
    let (events, cancellation) = (events.clone(), cancellation.clone());
    let translation = Mutex::new(PullEvents::default());
    Progress::new(move |event| {
        let translated = translation.lock().unwrap_or_else(PoisonError::into_inner).translate(event);
        if let Some(event) = translated {
            events.emit(&event, &cancellation);
        }
    })
}

/// Returns the directory of the blobs of images.
pub(crate) fn blob_directory(dirs: &Dirs) -> Utf8PathBuf {
    dirs.cache.join("oci")
}
