//! One file of a web server whose digest is known, through the cache.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use banger_tree::Cancellation;
use camino::Utf8Path;
use url::Url;

use crate::digest::Digest;
use crate::one_line::one_line;
use crate::reference::ReferenceError;
use crate::registry::background::Background;
use crate::registry::cache::{BlobCache, CachedBlob, DamagedBlobs, Watch, hash_file};
use crate::registry::clients::Server;
use crate::registry::download::Download;
use crate::registry::engine::Engine;
use crate::registry::error::PullError;
use crate::registry::event::{Progress, PullEvent};
use crate::registry::http::{Http, Request};
use crate::registry::jobs::Jobs;
use crate::registry::manifest::Descriptor;
use crate::registry::options::PullOptions;
use crate::registry::origin::{host_of, is_local};
use crate::registry::rate::RateLimit;
use crate::registry::secrets::Secrets;
use crate::registry::stop::PullStop;
use crate::registry::transfer::{BlobOrigin, FinishGuard, Transfers};

/// The address of a file: `https://HOST/PATH`, or `http://` with a host of this machine (`localhost`,
/// `127.0.0.0/8`, `[::1]`).
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct WebFileAddress {
    url: Url,
    /// As it was written.
    text: String,
}

impl WebFileAddress {
    /// Returns the last part of the path, or the empty text.
    #[must_use]
    pub fn file_name(&self) -> &str {
        self.url.path().rsplit('/').next().unwrap_or_default()
    }

    fn is_local(&self) -> bool {
        self.url.host_str().is_some_and(is_local)
    }
}

impl FromStr for WebFileAddress {
    type Err = ReferenceError;

    fn from_str(text: &str) -> Result<Self, ReferenceError> {
        let bad = |reason: &str, advice| Err(ReferenceError::of_address(text, reason, advice));
        let Ok(url) = Url::parse(text) else {
            return bad("it is not a URL", "write one such as https://example.org/linux.deb");
        };
        let address = Self { url, text: text.to_owned() };
        if address.url.host_str().is_none_or(str::is_empty) {
            return bad("it has no host", "write one such as https://example.org/linux.deb");
        }
        if !address.url.username().is_empty() || address.url.password().is_some() {
            // The text itself is secret.
            let text = format!("{}://…@{}", address.url.scheme(), host_of(&address.url));
            let advice = "download the file with another program, and give its path";
            return Err(ReferenceError::of_address(&text, "it has a user name or a password", advice));
        }
        match address.url.scheme() {
            "https" => Ok(address),
            "http" if address.is_local() => Ok(address),
            "http" => bad("plain http is for servers on this machine", "write https://"),
            _ => bad("it is not a web address", "write https://"),
        }
    }
}

impl fmt::Display for WebFileAddress {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        // A query may hold a signature that gives access.
        match self.text.split_once(['?', '#']) {
            Some((text, _)) => write!(formatter, "{}?…", one_line(text)),
            None => formatter.write_str(&one_line(&self.text)),
        }
    }
}

/// A downloaded file. While this exists, [`BlobCache::prune`] leaves the file alone.
#[derive(Debug)]
pub struct WebFile(CachedBlob);

impl WebFile {
    /// Returns the path of the file in the cache.
    #[must_use]
    pub fn path(&self) -> &Utf8Path {
        &self.0.path
    }
}

/// Downloads a file into the cache, unless it is there, and checks it.
pub(crate) fn fetch_web_file(
    engine: &Arc<Engine>,
    address: &WebFileAddress,
    digest: &Digest,
    cache: &BlobCache,
    options: &PullOptions,
    progress: &Progress,
    cancellation: &Cancellation,
) -> Result<WebFile, PullError> {
    let stop = &PullStop::new(cancellation);
    let progress = &progress.guarded(stop);
    progress.emit(PullEvent::Resolving { reference: address.to_string() });
    let watch = Watch { progress, cancel: stop };
    if let Some(blob) = cache.get(digest, &watch)? {
        if hash_file(&blob.file, &blob.path, digest, stop)? == *digest {
            progress.emit(PullEvent::LayerCached { digest: digest.clone(), size_bytes: blob.len });
            return Ok(WebFile(blob));
        }
        blob.remove()?;
        progress.emit(PullEvent::CacheDamaged { digest: digest.clone() });
    }
    let background = Background::start(engine, stop, options.max_time)?;
    let http = Arc::new(Http::new(
        &engine.connections.clients,
        options,
        Server { registry: &host_of(&address.url), insecure: false },
        progress.clone(),
        stop.clone(),
        RateLimit::new(options.limit_rate_bytes),
        Secrets::default(),
    )?);
    let request = Request::get(address.url.clone(), format!("the file {address}"));
    let asked = (Arc::clone(&http), request.clone());
    let size = background.run(async move { length_of(&asked.0, &asked.1).await })?;
    options.download_cap().check(size, &address.to_string())?;
    let download = Download::new(Descriptor::new(String::new(), digest.clone(), size));
    let transfers = Transfers {
        origin: BlobOrigin::File(http, Arc::new(request)),
        cache: cache.clone(),
        progress: progress.clone(),
        cancel: stop.clone(),
        jobs: Jobs::new(1, &engine.downloads),
        budget: options.budget.renewed(),
        damaged: DamagedBlobs::default(),
    };
    background.download(transfers, vec![FinishGuard(Arc::clone(&download))]);
    download.wait().map_err(|error| named(error, address))?;
    stop.check_handler()?;
    match cache.get(digest, &watch)? {
        Some(blob) => Ok(WebFile(blob)),
        None => Err(PullError::Environment {
            reason: format!("the file {address} was removed from the cache while it was used"),
        }),
    }
}

/// Returns the length that the server states.
async fn length_of(http: &Http, request: &Request) -> Result<u64, PullError> {
    let response = http.send(request).await?;
    let status = response.status();
    if !status.is_success() {
        let detail = http.detail(response).await;
        return Err(request.status_error(status, detail));
    }
    response.content_length().ok_or_else(|| PullError::Malformed {
        what: format!("the answer of {}", host_of(response.url())),
        reason: "it does not say the length of the file".to_owned(),
    })
}

/// Names the file in the error of a wrong digest.
fn named(error: PullError, address: &WebFileAddress) -> PullError {
    match error {
        PullError::Mismatch { digest, reason, .. } => {
            PullError::Mismatch { digest, origin: address.to_string(), reason }
        }
        other => other,
    }
}
