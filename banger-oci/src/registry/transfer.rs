//! The download of one layer into the cache: once, resumed, and checked.

use std::sync::Arc;
use std::time::Duration;

use banger_tree::{Budget, Cost};
use tokio::task::{JoinSet, block_in_place};
use url::Url;

use crate::one_line::one_line;
use crate::registry::blob_place::BlobPlace;
use crate::registry::blob_writer::Writer;
use crate::registry::cache::{BlobCache, Claim, DamagedBlobs, Watch, hash_file};
use crate::registry::download::Download;
use crate::registry::endpoints::Endpoints;
use crate::registry::error::PullError;
use crate::registry::event::{Progress, PullEvent};
use crate::registry::http::{Http, Request};
use crate::registry::jobs::{DownloadPermit, Jobs};
use crate::registry::manifest::size_reason;
use crate::registry::origin::host_of;
use crate::registry::repository::Registry;
use crate::registry::stop::PullStop;
use crate::registry::trace::trace;

/// Interval at which a process checks whether another one has finished a download.
const BUSY_INTERVAL: Duration = Duration::from_millis(50);

/// The shared parts of the downloads of a pull.
#[derive(Debug, Clone)]
pub(crate) struct Transfers {
    pub(crate) origin: BlobOrigin,
    pub(crate) cache: BlobCache,
    pub(crate) progress: Progress,
    pub(crate) cancel: PullStop,
    pub(crate) jobs: Jobs,
    pub(crate) budget: Budget,
    pub(crate) damaged: DamagedBlobs,
}

/// The place that blobs are downloaded from.
#[derive(Debug, Clone)]
pub(crate) enum BlobOrigin {
    /// The repositories that may have it.
    Registry(Arc<Endpoints>),
    /// One file of a web server.
    File(Arc<Http>, Arc<Request>),
}

/// Ends a download that its task leaves unfinished, so that no reader waits for ever.
#[derive(Debug)]
pub(crate) struct FinishGuard(pub(crate) Arc<Download>);

impl Drop for FinishGuard {
    fn drop(&mut self) {
        self.0.finish(Err(PullError::Cancelled));
    }
}

impl Transfers {
    /// Runs all downloads, started in their order, with a limit on parallel ones. Returns when the last one
    /// has ended, so that nothing keeps running unseen.
    pub(crate) async fn run(self, downloads: Vec<FinishGuard>) {
        let mut running = JoinSet::new();
        for guard in downloads {
            let Ok(permit) = self.jobs.wait(&self.cancel).await else {
                break;
            };
            let transfers = self.clone();
            running.spawn(async move {
                let outcome = transfers.fetch(&guard.0, permit).await;
                guard.0.finish(outcome.map_err(|error| transfers.explain(error, &guard.0)));
            });
            // Ended tasks need no memory.
            while running.try_join_next().is_some() {}
        }
        while running.join_next().await.is_some() {}
    }

    /// The error as the reader of the layer gets it.
    fn explain(&self, error: PullError, download: &Download) -> PullError {
        let error = match &self.origin {
            BlobOrigin::Registry(endpoints) => endpoints.shown(error),
            BlobOrigin::File(http, _) => http.secrets.hide_in_error(error),
        };
        self.damaged.explain(error, &download.descriptor.digest, &self.cache)
    }

    async fn fetch(&self, download: &Arc<Download>, permit: DownloadPermit) -> Result<(), PullError> {
        let digest = &download.descriptor.digest;
        let mut permit = Some(permit);
        let mut waited = false;
        let watch = Watch { progress: &self.progress, cancel: &self.cancel };
        let partial = loop {
            self.cancel.check()?;
            match block_in_place(|| self.cache.claim(digest, &watch))? {
                Claim::Complete(blob) => {
                    let file = Arc::new(blob.file);
                    download.attach(Arc::clone(&file), &blob.path);
                    // Written by another process: it is read once more to be sure of it.
                    let found = block_in_place(|| hash_file(&file, &blob.path, digest, &self.cancel))?;
                    if found == *digest {
                        // The bytes are right; the descriptor of this image is wrong.
                        let (size, path) = (download.descriptor.size, &blob.path);
                        if blob.len != size {
                            let (digest, origin) = (digest.clone(), path.to_string());
                            let reason = size_reason(size, blob.len);
                            return Err(PullError::Mismatch { digest, origin, reason });
                        }
                        download.commit(blob.len);
                        self.progress.emit(PullEvent::LayerDone { digest: digest.clone() });
                        return Ok(());
                    }
                    self.cache.discard_damaged(&file, digest)?;
                    self.progress.emit(PullEvent::CacheDamaged { digest: digest.clone() });
                }
                Claim::Busy => {
                    if !waited {
                        waited = true;
                        let event = PullEvent::LayerWaiting { digest: digest.clone() };
                        self.progress.emit(event);
                    }
                    // The wait must not keep other layers from being downloaded.
                    drop(permit.take());
                    self.cancel.race(tokio::time::sleep(BUSY_INTERVAL)).await?;
                }
                Claim::Partial(partial) => break partial,
            }
        };
        let _permit = match permit {
            Some(permit) => permit,
            None => self.jobs.wait(&self.cancel).await?,
        };
        let mut writer = Writer::new(&self.progress, &self.cancel, download, partial);
        writer.resume()?;
        let resumed_bytes = writer.offset;
        trace!(
            DEBUG,
            digest = digest.to_string().as_str(),
            size_bytes = download.descriptor.size,
            resumed_bytes,
            "a download starts"
        );
        self.progress.emit(PullEvent::LayerStarted {
            digest: digest.clone(),
            size_bytes: download.descriptor.size,
            resumed_bytes,
        });
        match self.receive(&mut writer).await {
            Ok(()) => {
                block_in_place(|| writer.partial.complete(&self.cancel))?;
                trace!(DEBUG, digest = digest.to_string().as_str(), "a blob is complete in the cache");
                self.progress.emit(PullEvent::LayerDone { digest: digest.clone() });
                Ok(())
            }
            Err(error) => {
                if is_mismatch(&error) {
                    writer.partial.discard();
                }
                Err(error)
            }
        }
    }

    /// Receives the missing bytes and checks the whole blob.
    async fn receive(&self, writer: &mut Writer<'_>) -> Result<(), PullError> {
        let descriptor = &writer.download.descriptor;
        if writer.offset >= descriptor.size && writer.offset > 0 && writer.verify().is_err() {
            writer.discard_damaged()?;
        }
        if writer.offset < descriptor.size {
            let endpoints = match &self.origin {
                BlobOrigin::Registry(endpoints) => endpoints,
                BlobOrigin::File(http, request) => {
                    let request = Request::clone(request);
                    let place = BlobPlace { http, request, access: None, jobs: &self.jobs };
                    return place.receive_whole(writer).await;
                }
            };
            let mut search = endpoints.search();
            for registry in endpoints.in_order() {
                match self.receive_from(registry, writer).await {
                    Ok(()) => return Ok(()),
                    Err(error) => search.note(registry, error)?,
                }
            }
            let mut outcome = Err(search.into_error(&format!("layer {}", descriptor.digest)));
            if descriptor.urls.is_empty() {
                return outcome;
            }
            let Some(registry) = endpoints.in_order().next() else { return outcome };
            let (http, access) = registry.connection().await?;
            // Foreign layers live elsewhere, and registries may have them all the same.
            for url in &descriptor.urls {
                match &outcome {
                    Err(error) if is_another_place_worth_asking(error) => {}
                    _ => break,
                }
                self.budget.charge(Cost::Urls, 1).map_err(|over| PullError::OverBudget {
                    what: format!("layer {}", descriptor.digest),
                    over,
                })?;
                outcome = match foreign_url(url, &access.origin, &descriptor.digest.to_string()) {
                    Ok(url) => {
                        let what = format!("layer {} from {}", descriptor.digest.short(), host_of(&url));
                        let request = Request::get(url, what);
                        BlobPlace { http, request, access: None, jobs: &self.jobs }
                            .receive_whole(writer)
                            .await
                    }
                    Err(error) => Err(error),
                };
            }
            outcome?;
        }
        writer.verify()
    }

    /// Receives the missing bytes from one repository and checks the whole blob.
    async fn receive_from(&self, registry: &Registry, writer: &mut Writer<'_>) -> Result<(), PullError> {
        let (http, access) = registry.connection().await?;
        let request = registry.blob_request(access, &writer.download.descriptor.digest)?;
        BlobPlace { http, request, access: Some(access), jobs: &self.jobs }.receive_whole(writer).await
    }
}

/// Returns whether the last bytes that came were wrong.
fn is_mismatch(error: &PullError) -> bool {
    match error {
        PullError::Endpoints { last, .. } => is_mismatch(last),
        error => matches!(error, PullError::Mismatch { .. }),
    }
}

/// Returns whether the next place may be asked after this error. A wrong layer ends the search.
fn is_another_place_worth_asking(error: &PullError) -> bool {
    matches!(
        error,
        PullError::Status { .. }
            | PullError::Unauthorized { .. }
            | PullError::Unreachable { .. }
            | PullError::Redirect { .. }
            | PullError::Malformed { .. }
            | PullError::WebPage { .. }
            | PullError::TooSlow { .. }
    ) || matches!(error, PullError::Endpoints { last, .. } if is_another_place_worth_asking(last))
}

/// Checks the address of a foreign layer.
fn foreign_url(text: &str, origin: &Url, digest: &str) -> Result<Url, PullError> {
    let malformed = |reason: &str| PullError::Malformed {
        what: format!("the urls of layer {digest}"),
        reason: format!("`{}` {reason}", one_line(text)),
    };
    let url = Url::parse(text).map_err(|_| malformed("is not a URL"))?;
    match (url.scheme(), origin.scheme()) {
        ("https", _) | ("http", "http") => Ok(url),
        ("http", _) => Err(malformed("is plain http where the registry is not")),
        _ => Err(malformed("is not a web address")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn b43_foreign_urls() {
        let https = Url::parse("https://r.io/").unwrap();
        let http = Url::parse("http://127.0.0.1:5000/").unwrap();
        assert!(foreign_url("https://elsewhere.example/layer", &https, "d").is_ok());
        assert!(foreign_url("http://127.0.0.1/layer", &http, "d").is_ok());
        for bad in ["http://elsewhere.example/layer", "file:///etc/passwd", "nothing"] {
            assert!(foreign_url(bad, &https, "d").is_err(), "{bad}");
        }
    }
}
