//! Requests: redirects, retries and their limits, the same for registries and token servers.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use camino::Utf8Path;
use reqwest::header::{ACCEPT_ENCODING, AUTHORIZATION, HeaderMap, HeaderValue, LOCATION, RETRY_AFTER};
use reqwest::{Method, Response, StatusCode};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use tokio::sync::Mutex;
use url::Url;

use crate::auth::{Auth, NO_REASON, error_detail, host_of, same_origin};
use crate::error::PullError;
use crate::event::{CancelToken, Progress, PullEvent};
use crate::options::{Cap, PullOptions};

/// Redirects followed before a server is taken to send us in circles.
const MAX_REDIRECTS: u32 = 10;
/// As much of an error answer as is read for its explanation.
const ERROR_CAP: Cap = Cap::fixed(64 * 1024);

/// An HTTP client with the rules of a pull.
#[derive(Debug)]
pub(crate) struct Http {
    client: reqwest::Client,
    pub(crate) cancel: CancelToken,
    pub(crate) progress: Progress,
    attempts: u32,
    backoff: Duration,
    max_backoff: Duration,
}

/// A request that may be made several times.
#[derive(Debug, Clone)]
pub(crate) struct Request {
    pub(crate) method: Method,
    pub(crate) url: Url,
    pub(crate) headers: HeaderMap,
    body: Option<String>,
    /// What is asked for, for messages.
    pub(crate) what: String,
}

/// The access to a registry: its origin, and what is sent there and nowhere else.
#[derive(Debug)]
pub(crate) struct Access {
    pub(crate) origin: Url,
    pub(crate) auth: Mutex<Auth>,
}

/// Why an attempt came to nothing.
#[derive(Debug)]
pub(crate) enum Failure {
    /// Another attempt may succeed.
    Transient { reason: String, after: Option<Duration>, error: PullError },
    /// It may not.
    Final(PullError),
}

impl Failure {
    /// A connection that broke or stood still.
    pub(crate) fn broken(host: &str, reason: String) -> Self {
        let error = PullError::Unreachable {
            host: host.to_owned(),
            reason: reason.clone(),
            advice: "check the network and try again; what has arrived is kept".to_owned(),
        };
        Self::Transient { reason, after: None, error }
    }

    pub(crate) fn into_error(self, _host: &str) -> PullError {
        match self {
            Self::Transient { error, .. } | Self::Final(error) => error,
        }
    }
}

impl From<PullError> for Failure {
    fn from(error: PullError) -> Self {
        Self::Final(error)
    }
}

/// Counts failed attempts in a row.
#[derive(Debug, Default)]
pub(crate) struct Attempts {
    failed: u32,
    total: u32,
}

impl Attempts {
    /// Notes that something was achieved since the last failure.
    pub(crate) fn progressed(&mut self) {
        self.failed = 0;
    }
}

impl Request {
    pub(crate) fn get(url: Url, what: String) -> Self {
        Self { method: Method::GET, url, headers: HeaderMap::new(), body: None, what }
    }

    pub(crate) fn head(url: Url, what: String) -> Self {
        Self { method: Method::HEAD, ..Self::get(url, what) }
    }

    pub(crate) fn post(url: Url, what: String, body: String) -> Self {
        Self { method: Method::POST, body: Some(body), ..Self::get(url, what) }
    }

    /// The error for an answer with an unexpected status.
    pub(crate) fn status_error(&self, status: StatusCode, detail: String) -> PullError {
        PullError::Status {
            host: host_of(&self.url),
            status: status.as_u16(),
            method: if self.method == Method::HEAD {
                "HEAD"
            } else if self.method == Method::POST {
                "POST"
            } else {
                "GET"
            },
            path: self.url.path().to_owned(),
            detail,
        }
    }
}

impl Http {
    pub(crate) fn new(
        options: &PullOptions,
        local: bool,
        progress: Progress,
        cancel: CancelToken,
    ) -> Result<Self, PullError> {
        let mut builder = reqwest::Client::builder()
            .tls_backend_preconfigured(tls_config(options.ca_cert.as_deref())?)
            .user_agent(concat!("banger/", env!("CARGO_PKG_VERSION")))
            // One connection for each download is faster than one that all share, and a broken
            // one breaks only that download.
            .http1_only()
            .redirect(reqwest::redirect::Policy::none())
            .connect_timeout(options.connect_timeout)
            .read_timeout(options.stall_timeout);
        if local {
            builder = builder.no_proxy();
        }
        let client = builder.build().map_err(|error| PullError::Environment {
            reason: format!("cannot set up the http client: {}", explain(&error)),
        })?;
        Ok(Self {
            client,
            cancel,
            progress,
            attempts: options.attempts.max(1),
            backoff: options.backoff,
            max_backoff: options.max_backoff,
        })
    }

    /// Asks once whether anything answers at `url`, whatever it says.
    pub(crate) async fn probe(&self, url: Url) -> Result<Response, reqwest::Error> {
        self.client.get(url).send().await
    }

    /// Makes a request without credentials until it is answered.
    pub(crate) async fn send(&self, request: &Request) -> Result<Response, PullError> {
        self.send_to(request, None).await
    }

    /// Makes a request until it is answered: statuses that promise a later success are retried,
    /// every other one is returned.
    pub(crate) async fn send_to(
        &self,
        request: &Request,
        access: Option<&Access>,
    ) -> Result<Response, PullError> {
        let mut attempts = Attempts::default();
        loop {
            match self.once(request, access).await {
                Ok(response) => return Ok(response),
                Err(failure) => self.pause(&mut attempts, &request.what, failure).await?,
            }
        }
    }

    /// Waits before the next attempt, or gives up.
    pub(crate) async fn pause(
        &self,
        attempts: &mut Attempts,
        what: &str,
        failure: Failure,
    ) -> Result<(), PullError> {
        let (reason, after, error) = match failure {
            Failure::Final(error) => return Err(error),
            Failure::Transient { reason, after, error } => (reason, after, error),
        };
        attempts.failed += 1;
        attempts.total += 1;
        // The second bound is for servers that send a little and break off, again and again.
        if attempts.failed >= self.attempts || attempts.total >= self.attempts.saturating_mul(20) {
            return Err(error);
        }
        let doubled = self.backoff.saturating_mul(1 << (attempts.failed - 1).min(16));
        let delay = after.unwrap_or(doubled).min(self.max_backoff);
        self.progress.emit(PullEvent::Retry {
            what: what.to_owned(),
            reason,
            attempt: attempts.failed,
            delay_ms: u64::try_from(delay.as_millis()).unwrap_or(u64::MAX),
        });
        self.cancel.race(tokio::time::sleep(delay)).await
    }

    /// Makes a request once, which takes several when it is redirected or has to log in.
    pub(crate) async fn once(&self, request: &Request, access: Option<&Access>) -> Result<Response, Failure> {
        let mut url = request.url.clone();
        let mut renewed = false;
        let mut redirects = 0;
        loop {
            let mut builder = self
                .client
                .request(request.method.clone(), url.clone())
                .headers(request.headers.clone())
                // Bytes have to arrive as they were hashed.
                .header(ACCEPT_ENCODING, HeaderValue::from_static("identity"));
            if let Some(body) = &request.body {
                builder = builder.body(body.clone());
            }
            let access = access.filter(|access| same_origin(&url, &access.origin));
            let mut generation = 0;
            if let Some(access) = access {
                let mut auth = self.cancel.race(access.auth.lock()).await?;
                let header;
                let current = Box::pin(auth.header(self, &access.origin));
                (header, generation) = self.cancel.race(current).await??;
                if let Some(header) = header {
                    builder = builder.header(AUTHORIZATION, header);
                }
            }
            let answer = self.cancel.race(builder.send()).await?;
            let response = answer.map_err(|error| classify(&url, &error))?;
            let status = response.status();
            if status == StatusCode::UNAUTHORIZED
                && !renewed
                && let Some(access) = access
            {
                renewed = true;
                let mut auth = self.cancel.race(access.auth.lock()).await?;
                let headers = response.headers();
                let renewal = Box::pin(auth.renew(self, &access.origin, headers, generation));
                self.cancel.race(renewal).await??;
                continue;
            }
            if matches!(status.as_u16(), 301 | 302 | 303 | 307 | 308) {
                redirects += 1;
                let location = response.headers().get(LOCATION);
                let location = location.and_then(|value| value.to_str().ok());
                let next = redirect_target(&url, location, redirects)?;
                let is_secret = request.headers.contains_key(AUTHORIZATION) || request.body.is_some();
                if is_secret && !same_origin(&next, &url) {
                    // Only token requests carry a header or a form of their own, and those go
                    // nowhere else.
                    return Err(Failure::Final(PullError::Redirect {
                        host: host_of(&url),
                        target: host_of(&next),
                        reason: "credentials are not sent to another host".to_owned(),
                    }));
                }
                url = next;
                continue;
            }
            if is_transient(status) {
                let after = retry_after(response.headers(), SystemTime::now());
                let detail = self.detail(response).await;
                let reason = format!("{} answered {}", host_of(&url), status.as_u16());
                let error = Request { url, ..request.clone() }.status_error(status, detail);
                return Err(Failure::Transient { reason, after, error });
            }
            // What is wrong with HEAD need not be wrong with GET, whose answer explains itself, too.
            let is_refused_head = request.method == Method::HEAD && status == StatusCode::FORBIDDEN;
            if matches!(status.as_u16(), 401 | 403) && !is_refused_head {
                let host = host_of(&url);
                let detail = self.detail(response).await;
                return Err(Failure::Final(PullError::Unauthorized { host, detail }));
            }
            return Ok(response);
        }
    }

    /// The explanation in an error answer.
    pub(crate) async fn detail(&self, response: Response) -> String {
        match read_capped(self, response, ERROR_CAP, "error").await {
            Ok(body) => error_detail(&body),
            Err(_) => NO_REASON.to_owned(),
        }
    }
}

/// Reads a body that must not be larger than `cap`.
pub(crate) async fn read_capped(
    http: &Http,
    mut response: Response,
    cap: Cap,
    what: &str,
) -> Result<Vec<u8>, Failure> {
    let host = host_of(response.url());
    cap.check(response.content_length().unwrap_or_default(), what)?;
    let mut body = Vec::new();
    loop {
        let chunk = http.cancel.race(response.chunk()).await?;
        match chunk.map_err(|error| Failure::broken(&host, explain(&error)))? {
            Some(chunk) => body.extend_from_slice(&chunk),
            None => return Ok(body),
        }
        cap.check(body.len() as u64, what)?;
    }
}

/// Whether a status promises a later success; proxies have codes of their own from 520 on.
fn is_transient(status: StatusCode) -> bool {
    match status {
        StatusCode::REQUEST_TIMEOUT | StatusCode::TOO_MANY_REQUESTS => true,
        StatusCode::NOT_IMPLEMENTED | StatusCode::HTTP_VERSION_NOT_SUPPORTED => false,
        _ => status.is_server_error(),
    }
}

/// Where a redirect leads, if it may be followed.
fn redirect_target(url: &Url, location: Option<&str>, redirects: u32) -> Result<Url, PullError> {
    let refuse = |target: &str, reason: &str| PullError::Redirect {
        host: host_of(url),
        target: crate::auth::one_line(target),
        reason: reason.to_owned(),
    };
    let location = location.ok_or_else(|| refuse("nowhere", "there is no Location header"))?;
    let next = url.join(location).map_err(|_| refuse(location, "that is not a URL"))?;
    // The query of a redirect may hold a signature that gives access; messages leave it out.
    let target = format!("{}://{}{}", next.scheme(), host_of(&next), next.path());
    if redirects > MAX_REDIRECTS {
        return Err(refuse(&target, "too many redirects"));
    }
    match (url.scheme(), next.scheme()) {
        ("https", "http") => Err(refuse(&target, "from https to plain http is not followed")),
        (_, "http" | "https") => Ok(next),
        _ => Err(refuse(&target, "only web addresses are followed")),
    }
}

/// The pause a server asks for, in seconds or up to a date (RFC 9110, section 10.2.3).
fn retry_after(headers: &HeaderMap, now: SystemTime) -> Option<Duration> {
    let value = headers.get(RETRY_AFTER)?.to_str().ok()?.trim();
    if let Ok(seconds) = value.parse() {
        return Some(Duration::from_secs(seconds));
    }
    let date = httpdate::parse_http_date(value).ok()?;
    Some(date.duration_since(now).unwrap_or_default())
}

/// Whether the server showed a certificate that is not accepted.
pub(crate) fn is_certificate_error(error: &reqwest::Error) -> bool {
    chain(error).any(|cause| cause.contains("invalid peer certificate"))
}

fn classify(url: &Url, error: &reqwest::Error) -> Failure {
    let host = host_of(url);
    let reason = explain(error);
    if is_certificate_error(error) {
        let advice = "install ca-certificates, or name the registry's own with --ca-cert FILE";
        return Failure::Final(PullError::Unreachable { host, reason, advice: advice.to_owned() });
    }
    // It will not learn it by the next attempt.
    if chain(error).any(|cause| cause.contains("InvalidContentType")) {
        let reason = "it does not speak https".to_owned();
        let advice = "if it is to be spoken to in plain http, allow that with --plain-http".to_owned();
        return Failure::Final(PullError::Unreachable { host, reason, advice });
    }
    let advice = "check its address and the network; what is in the cache can be pulled by digest \
                  (NAME@sha256:…) without it";
    Failure::Transient {
        reason: reason.clone(),
        after: None,
        error: PullError::Unreachable { host, reason, advice: advice.to_owned() },
    }
}

/// The causes of an error, outermost first.
fn chain(error: &reqwest::Error) -> impl Iterator<Item = String> {
    let mut next: Option<&dyn std::error::Error> = Some(error);
    std::iter::from_fn(move || {
        let current = next?;
        next = current.source();
        Some(current.to_string())
    })
}

/// The innermost cause, which is the one that says what happened.
pub(crate) fn explain(error: &reqwest::Error) -> String {
    let text = if error.is_timeout() {
        "no answer in time".to_owned()
    } else {
        chain(error).last().unwrap_or_default()
    };
    crate::auth::one_line(&text)
}

fn tls_config(ca_cert: Option<&Utf8Path>) -> Result<rustls::ClientConfig, PullError> {
    let mut roots = rustls::RootCertStore::empty();
    // Certificates of the system that do not parse are of no use to anybody.
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    if let Some(path) = ca_cert {
        let unusable = |reason: String| PullError::Environment {
            reason: format!("cannot use the certificates in {path}: {reason}"),
        };
        let certificates = CertificateDer::pem_file_iter(path)
            .and_then(Iterator::collect::<Result<Vec<_>, _>>)
            .map_err(|error| unusable(error.to_string()))?;
        if certificates.is_empty() {
            return Err(unusable("there are none".to_owned()));
        }
        for certificate in certificates {
            roots.add(certificate).map_err(|error| unusable(error.to_string()))?;
        }
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("ring supports the default protocol versions");
    Ok(builder.with_root_certificates(roots).with_no_client_auth())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn b38_redirects_keep_to_https() {
        let https = Url::parse("https://r.io/v2/a/blobs/x").unwrap();
        let http = Url::parse("http://127.0.0.1:5000/v2/a").unwrap();
        let cases = [
            (&https, Some("https://cdn.io/x?sig=1"), 1, Some("https://cdn.io/x?sig=1")),
            (&https, Some("/y"), 1, Some("https://r.io/y")),
            (&https, Some("http://cdn.io/x"), 1, None),
            (&https, Some("file:///etc/passwd"), 1, None),
            (&https, None, 1, None),
            (&https, Some("/y"), MAX_REDIRECTS + 1, None),
            (&http, Some("http://cdn.io/x"), 1, Some("http://cdn.io/x")),
            (&http, Some("https://cdn.io/x"), 1, Some("https://cdn.io/x")),
        ];
        for (url, location, redirects, expected) in cases {
            let target = redirect_target(url, location, redirects);
            assert_eq!(target.as_ref().ok().map(Url::as_str), expected, "{location:?}");
            if let Err(error) = target {
                assert!(!error.to_string().contains("sig"), "{error}");
            }
        }
    }

    #[test]
    fn b39_retry_after_in_seconds_and_as_a_date() {
        let now = httpdate::parse_http_date("Sun, 06 Nov 1994 08:49:37 GMT").unwrap();
        for (value, seconds) in [
            ("7", Some(7)),
            (" 120 ", Some(120)),
            ("Sun, 06 Nov 1994 08:49:47 GMT", Some(10)),
            ("Sun, 06 Nov 1994 08:00:00 GMT", Some(0)),
            ("soon", None),
            ("-1", None),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(RETRY_AFTER, HeaderValue::from_static(value));
            assert_eq!(retry_after(&headers, now), seconds.map(Duration::from_secs), "{value}");
        }
    }
}
