//! The download of one layer into the cache: once, resumed, and checked.

use std::os::unix::fs::FileExt;
use std::sync::Arc;
use std::time::Duration;

use banger_tree::{Budget, Cost};
use bytes::Bytes;
use reqwest::header::{CONTENT_ENCODING, CONTENT_RANGE, CONTENT_TYPE, HeaderMap, HeaderValue, RANGE};
use reqwest::{Response, StatusCode};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::{JoinSet, block_in_place};
use url::Url;

use crate::auth::host_of;
use crate::cache::{BlobCache, Claim, DamagedBlobs, PartialBlob, READ_LEN, Watch, hash_file};
use crate::digest::Hasher;
use crate::download::Download;
use crate::error::PullError;
use crate::event::{CancelToken, Progress, PullEvent};
use crate::foreign_text::web_page_title;
use crate::http::{Attempts, Failure, Http, Pieces, Request};
use crate::manifest::{Descriptor, size_reason};
use crate::registry::Registry;

/// How often a process looks whether another one has finished a download.
const BUSY_INTERVAL: Duration = Duration::from_millis(50);

/// What the downloads of a pull have in common.
#[derive(Debug, Clone)]
pub(crate) struct Transfers {
    pub(crate) registry: Arc<Registry>,
    pub(crate) cache: BlobCache,
    pub(crate) progress: Progress,
    pub(crate) cancel: CancelToken,
    pub(crate) jobs: Arc<Semaphore>,
    pub(crate) budget: Budget,
    pub(crate) damaged: DamagedBlobs,
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
    /// Makes all downloads, started in their order, as many at a time as jobs are allowed. Ends
    /// when the last one has ended, so that nothing runs on unseen.
    pub(crate) async fn run(self, downloads: Vec<FinishGuard>) {
        let mut running = JoinSet::new();
        for guard in downloads {
            let acquired = self.cancel.race(Arc::clone(&self.jobs).acquire_owned()).await;
            let Ok(Ok(permit)) = acquired else {
                break;
            };
            let transfers = self.clone();
            running.spawn(async move {
                let outcome = transfers.fetch(&guard.0, permit).await;
                guard.0.finish(outcome.map_err(|error| transfers.explain(error, &guard.0)));
            });
            // What has ended need not be remembered.
            while running.try_join_next().is_some() {}
        }
        while running.join_next().await.is_some() {}
    }

    /// The error as the reader of the layer gets it.
    fn explain(&self, error: PullError, download: &Download) -> PullError {
        let error = self.registry.secrets().hide_in_error(error);
        self.damaged.explain(error, &download.descriptor.digest, &self.cache)
    }

    async fn fetch(&self, download: &Arc<Download>, permit: OwnedSemaphorePermit) -> Result<(), PullError> {
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
                        // The bytes are right; this image's descriptor is what is wrong.
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
            None => {
                let acquired = self.cancel.race(Arc::clone(&self.jobs).acquire_owned()).await?;
                acquired.map_err(|_| PullError::Cancelled)?
            }
        };
        let mut writer = Writer::new(self, download, partial);
        writer.resume()?;
        let resumed_bytes = writer.offset;
        self.progress.emit(PullEvent::LayerStarted {
            digest: digest.clone(),
            size_bytes: download.descriptor.size,
            resumed_bytes,
        });
        let mut outcome = self.receive(&mut writer).await;
        if resumed_bytes > 0 && matches!(&outcome, Err(PullError::Mismatch { .. })) {
            // What was there before may be to blame, such as after a power failure.
            self.progress.emit(PullEvent::CacheDamaged { digest: digest.clone() });
            writer.start_over()?;
            outcome = self.receive(&mut writer).await;
        }
        match outcome {
            Ok(()) => {
                block_in_place(|| writer.partial.complete(&self.cancel))?;
                self.progress.emit(PullEvent::LayerDone { digest: digest.clone() });
                Ok(())
            }
            Err(error) => {
                if matches!(&error, PullError::Mismatch { .. }) {
                    writer.partial.discard();
                }
                Err(error)
            }
        }
    }

    /// Receives what is missing and checks the whole.
    async fn receive(&self, writer: &mut Writer<'_>) -> Result<(), PullError> {
        let descriptor = &writer.download.descriptor;
        if writer.offset < descriptor.size {
            let (http, access) = self.registry.connection().await?;
            let request = self.registry.blob_request(access, &descriptor.digest)?;
            let own = Source { http, request, access: Some(access) };
            let mut outcome = own.receive(writer).await;
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
                        let foreign = Source { http, request: Request::get(url, what), access: None };
                        foreign.receive(writer).await
                    }
                    Err(error) => Err(error),
                };
            }
            outcome?;
        }
        writer.verify()
    }
}

/// Whether a place that has not given a layer says nothing of the next one. A wrong layer does.
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
    )
}

/// Checks the address of a foreign layer.
fn foreign_url(text: &str, origin: &Url, digest: &str) -> Result<Url, PullError> {
    let malformed = |reason: &str| PullError::Malformed {
        what: format!("the urls of layer {digest}"),
        reason: format!("`{}` {reason}", crate::auth::one_line(text)),
    };
    let url = Url::parse(text).map_err(|_| malformed("is not a URL"))?;
    match (url.scheme(), origin.scheme()) {
        ("https", _) | ("http", "http") => Ok(url),
        ("http", _) => Err(malformed("is plain http where the registry is not")),
        _ => Err(malformed("is not a web address")),
    }
}

/// A place that has a blob.
struct Source<'a> {
    http: &'a Http,
    request: Request,
    access: Option<&'a crate::http::Access>,
}

impl Source<'_> {
    async fn receive(&self, writer: &mut Writer<'_>) -> Result<(), PullError> {
        let mut attempts = Attempts::default();
        // A server that answers ranges wrongly is asked for the whole.
        let mut ranges = true;
        while writer.offset < writer.download.descriptor.size {
            let before = writer.download.committed();
            let failure = match self.attempt(writer, &mut ranges).await {
                Ok(()) => continue,
                Err(failure) => failure,
            };
            writer.flush()?;
            // The same bytes once more are no progress, nor is a drip.
            if writer.download.committed() > before && !failure.is_slow() {
                attempts.progressed();
            }
            self.http.pause(&mut attempts, &self.request.what, failure).await?;
        }
        Ok(())
    }

    /// Makes one request and takes what comes.
    async fn attempt(&self, writer: &mut Writer<'_>, ranges: &mut bool) -> Result<(), Failure> {
        let size = writer.download.descriptor.size;
        let mut request = self.request.clone();
        if *ranges && writer.offset > 0 {
            let range = format!("bytes={}-", writer.offset);
            let range = HeaderValue::from_str(&range).expect("digits are fit for a header");
            request.headers.insert(RANGE, range);
        }
        let response = self.http.once(&request, self.access).await?;
        let host = host_of(response.url());
        let ranged = request.headers.contains_key(RANGE);
        match response.status() {
            StatusCode::OK => {
                if let Some(len) = response.content_length()
                    && len != size
                    && !is_page(response.headers())
                {
                    let mut reason = size_reason(size, len);
                    if let Some(encoding) = response.headers().get(CONTENT_ENCODING) {
                        let encoding = crate::auth::one_line(&String::from_utf8_lossy(encoding.as_bytes()));
                        reason = format!("{reason}, and was encoded as `{encoding}` on the way");
                    }
                    return Err(Failure::Final(writer.refuse(&host, reason)));
                }
                writer.rewind();
            }
            // The part that is the whole.
            StatusCode::PARTIAL_CONTENT if !ranged => {
                let header = content_range(response.headers());
                if !is_rest(&header, 0, size) {
                    let reason =
                        format!("asked for the whole, {host} answered with Content-Range `{header}`");
                    return Err(Failure::broken(&host, reason));
                }
                writer.rewind();
            }
            StatusCode::PARTIAL_CONTENT if ranged => {
                let header = content_range(response.headers());
                if !is_rest(&header, writer.offset, size) {
                    *ranges = false;
                    let reason = format!(
                        "asked for the bytes from {}, {host} answered with Content-Range `{header}`",
                        writer.offset,
                    );
                    return Err(Failure::broken(&host, reason));
                }
            }
            // Some do not take a range without an end, some no range at all.
            StatusCode::RANGE_NOT_SATISFIABLE | StatusCode::BAD_REQUEST if ranged => {
                *ranges = false;
                return Err(Failure::broken(&host, "the range is not available".to_owned()));
            }
            status => {
                let detail = self.http.detail(response).await;
                return Err(Failure::Final(request.status_error(status, detail)));
            }
        }
        self.take(writer, response, &host).await
    }

    async fn take(&self, writer: &mut Writer<'_>, mut response: Response, host: &str) -> Result<(), Failure> {
        let size = writer.download.descriptor.size;
        let may_be_page = is_page(response.headers());
        let mut pieces = Pieces::new(self.http);
        while let Some(chunk) = pieces.next(&mut response, host).await? {
            if may_be_page && writer.offset == 0 && writer.buffer.is_empty() {
                let text = self.http.secrets.hide(&String::from_utf8_lossy(&chunk));
                if let Some(title) = web_page_title(&text) {
                    let (who, host, what) = ("the registry", host.to_owned(), self.request.what.clone());
                    return Err(Failure::Final(PullError::WebPage { who, host, title, what }));
                }
            }
            writer.push(&chunk, host)?;
        }
        writer.flush()?;
        if writer.offset < size {
            let reason = format!("the connection ended after {} of {size} bytes", writer.offset);
            return Err(Failure::broken(host, reason));
        }
        Ok(())
    }
}

/// The Content-Range header, as it may be shown.
fn content_range(headers: &HeaderMap) -> String {
    let value = headers.get(CONTENT_RANGE).map(|value| String::from_utf8_lossy(value.as_bytes()));
    crate::auth::one_line(&value.unwrap_or_default())
}

/// Whether an answer says that it is a page for people.
fn is_page(headers: &HeaderMap) -> bool {
    headers
        .get(CONTENT_TYPE)
        .is_some_and(|value| value.as_bytes().to_ascii_lowercase().starts_with(b"text/html"))
}

/// Whether a Content-Range header announces the bytes from `offset` to the end.
pub(crate) fn is_rest(header: &str, offset: u64, size: u64) -> bool {
    let Some((range, total)) = header.trim().strip_prefix("bytes ").and_then(|r| r.split_once('/')) else {
        return false;
    };
    let Some((first, last)) = range.split_once('-') else {
        return false;
    };
    first.trim().parse() == Ok(offset)
        && size.checked_sub(1).is_some_and(|end| last.trim().parse() == Ok(end))
        && (total.trim() == "*" || total.trim().parse() == Ok(size))
}

/// Writes a blob to its partial file and hashes it on the way.
struct Writer<'a> {
    download: &'a Arc<Download>,
    progress: &'a Progress,
    cancel: &'a CancelToken,
    partial: PartialBlob,
    hasher: Hasher,
    /// How much was written and hashed.
    offset: u64,
    /// What waits to be written.
    buffer: Vec<u8>,
}

impl<'a> Writer<'a> {
    fn new(transfers: &'a Transfers, download: &'a Arc<Download>, partial: PartialBlob) -> Self {
        download.attach(Arc::clone(&partial.file), &partial.target);
        Self {
            download,
            progress: &transfers.progress,
            cancel: &transfers.cancel,
            hasher: Hasher::new(download.descriptor.digest.algorithm()),
            partial,
            offset: 0,
            buffer: Vec::with_capacity(READ_LEN),
        }
    }

    fn descriptor(&self) -> &'a Descriptor {
        &self.download.descriptor
    }

    /// Hashes what an earlier download left.
    fn resume(&mut self) -> Result<(), PullError> {
        let read = |error| PullError::io("read", &self.partial.path)(error);
        let len = self.partial.file.metadata().map_err(read)?.len();
        if len > self.descriptor().size {
            return self.truncate();
        }
        if len > 0 {
            self.download.note_resumed();
        }
        let mut buffer = vec![0; READ_LEN];
        while self.offset < len {
            self.cancel.check()?;
            let count = block_in_place(|| {
                let count = self.partial.file.read_at(&mut buffer, self.offset)?;
                self.hasher.update(&buffer[..count]);
                Ok(count)
            })
            .map_err(|error| PullError::io("read", &self.partial.path)(error))?;
            if count == 0 {
                break;
            }
            self.offset += count as u64;
            self.download.commit(self.offset);
        }
        Ok(())
    }

    fn truncate(&self) -> Result<(), PullError> {
        self.partial.file.set_len(0).map_err(PullError::io("write to", &self.partial.path))
    }

    /// Begins again from the first byte, with nothing that was there before.
    fn start_over(&mut self) -> Result<(), PullError> {
        self.rewind();
        self.download.roll_back(0);
        self.truncate()
    }

    /// Begins again from the first byte; what is there stays readable until it proves wrong.
    fn rewind(&mut self) {
        self.offset = 0;
        self.buffer.clear();
        self.hasher = Hasher::new(self.descriptor().digest.algorithm());
    }

    fn push(&mut self, chunk: &Bytes, host: &str) -> Result<(), PullError> {
        let size = self.descriptor().size;
        let total = self.offset + self.buffer.len() as u64 + chunk.len() as u64;
        if total > size {
            return Err(self.refuse(host, format!("it has more bytes than the {size} of its descriptor")));
        }
        self.buffer.extend_from_slice(chunk);
        if self.buffer.len() >= READ_LEN || total == size {
            self.flush()?;
        }
        Ok(())
    }

    fn flush(&mut self) -> Result<(), PullError> {
        if self.buffer.is_empty() {
            return Ok(());
        }
        let end = self.offset + self.buffer.len() as u64;
        let overlap = self.download.committed().min(end).saturating_sub(self.offset);
        block_in_place(|| {
            self.hasher.update(&self.buffer);
            // After a rewind: readers may have seen other bytes than these.
            let overlap = usize::try_from(overlap).unwrap_or(usize::MAX);
            let mut seen = vec![0; overlap];
            if overlap > 0 {
                self.partial.file.read_exact_at(&mut seen, self.offset)?;
                if seen != self.buffer[..overlap] {
                    self.download.roll_back(self.offset);
                }
            }
            self.partial.file.write_all_at(&self.buffer, self.offset)
        })
        .map_err(|error| PullError::io("write to", &self.partial.path)(error))?;
        self.offset = end;
        self.buffer.clear();
        self.download.commit(end);
        self.progress.emit(PullEvent::LayerBytes {
            digest: self.descriptor().digest.clone(),
            received_bytes: self.download.committed(),
        });
        Ok(())
    }

    fn verify(&self) -> Result<(), PullError> {
        let found = self.hasher.clone().finish();
        if found == self.descriptor().digest {
            return Ok(());
        }
        Err(self.refuse("the registry", format!("its bytes have the digest {found}")))
    }

    fn refuse(&self, origin: &str, reason: String) -> PullError {
        PullError::Mismatch { digest: self.descriptor().digest.clone(), origin: origin.to_owned(), reason }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn b40_content_range_has_to_be_the_rest() {
        for (header, fits) in [
            ("bytes 5-9/10", true),
            ("bytes 5-9/*", true),
            ("bytes 0-9/10", false),
            ("bytes 5-8/10", false),
            ("bytes 5-9/11", false),
            ("bytes 4-9/10", false),
            ("bytes */10", false),
            ("", false),
        ] {
            assert_eq!(is_rest(header, 5, 10), fits, "{header}");
        }
    }

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
