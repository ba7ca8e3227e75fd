//! Limits on the downloads that run at a time.

use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::registry::error::PullError;
use crate::registry::stop::PullStop;

/// The downloads that a pull may run at a time.
#[derive(Clone, Debug)]
pub(crate) struct Jobs {
    /// Limits those of this pull.
    own: Arc<Semaphore>,
    /// Limits those of all pulls.
    all: Arc<Semaphore>,
    most: usize,
}

/// The right to download over one connection.
#[derive(Debug)]
pub(crate) struct DownloadPermit {
    _own: OwnedSemaphorePermit,
    _all: OwnedSemaphorePermit,
}

impl Jobs {
    /// `most` for a pull, within `all`.
    pub(crate) fn new(most: usize, all: &Arc<Semaphore>) -> Self {
        let most = most.clamp(1, Semaphore::MAX_PERMITS);
        Self { own: Arc::new(Semaphore::new(most)), all: Arc::clone(all), most }
    }

    /// How many of this pull may run.
    pub(crate) fn most(&self) -> usize {
        self.most
    }

    /// Waits until another download may run.
    pub(crate) async fn wait(&self, stop: &PullStop) -> Result<DownloadPermit, PullError> {
        let acquire = async {
            let own = Arc::clone(&self.own).acquire_owned().await;
            let all = Arc::clone(&self.all).acquire_owned().await;
            (own, all)
        };
        match stop.race(acquire).await? {
            (Ok(own), Ok(all)) => Ok(DownloadPermit { _own: own, _all: all }),
            // The semaphores are never closed.
            _ => Err(PullError::Cancelled),
        }
    }

    /// Returns a permit that nobody waits for.
    pub(crate) fn spare(&self) -> Option<DownloadPermit> {
        let own = Arc::clone(&self.own).try_acquire_owned().ok()?;
        let all = Arc::clone(&self.all).try_acquire_owned().ok()?;
        Some(DownloadPermit { _own: own, _all: all })
    }
}
