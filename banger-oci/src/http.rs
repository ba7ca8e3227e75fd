//! Requests: redirects, retries and their limits, the same for registries and token servers.

use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use bytes::Bytes;
use camino::Utf8Path;
use reqwest::header::{ACCEPT_ENCODING, AUTHORIZATION, HeaderMap, HeaderValue, LOCATION, RETRY_AFTER};
use reqwest::{Method, Response, StatusCode};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use tokio::sync::Mutex;
use url::Url;

use crate::auth::{Auth, Login, Refusal, host_of, same_origin};
use crate::error::PullError;
use crate::event::{CancelToken, Progress, PullEvent};
use crate::foreign_text::{NO_REASON, error_detail, one_line};
use crate::options::{Cap, PullOptions};
use crate::rate::{MinRate, Pauses, RateMeter};
use crate::secrets::Secrets;

/// Redirects followed before a server is taken to send us in circles.
const MAX_REDIRECTS: u32 = 10;
/// As much of an error answer as is read for its explanation.
const ERROR_LEN: usize = 64 * 1024;
/// How long the explanation in an error answer may take to come.
const ERROR_TIME: Duration = Duration::from_secs(5);

/// An HTTP client with the rules of a pull.
#[derive(Debug)]
pub(crate) struct Http {
    client: reqwest::Client,
    pub(crate) cancel: CancelToken,
    pub(crate) progress: Progress,
    /// What was sent to prove who asks.
    pub(crate) secrets: Secrets,
    rate: MinRate,
    pauses: Pauses,
    attempts: u32,
    backoff: Duration,
    max_backoff: Duration,
}

/// What a request lacked that was refused, as an extension of its answer.
#[derive(Clone, Copy, Debug)]
struct LoginHint(&'static str);

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

    /// A server that is slower than allowed.
    pub(crate) fn slow(host: &str, reason: String) -> Self {
        let error = PullError::TooSlow {
            what: format!("the answer of {host}"),
            reason: reason.clone(),
            advice: "try again later, what has arrived is kept; or allow less by --min-rate",
        };
        Self::Transient { reason, after: None, error }
    }

    /// Whether the server was slow. What came then is no progress: it would come so for ever.
    pub(crate) fn is_slow(&self) -> bool {
        matches!(self, Self::Transient { error: PullError::TooSlow { .. }, .. })
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
            path: one_line(self.url.path()),
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
        secrets: Secrets,
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
            secrets,
            rate: MinRate::new(options),
            pauses: Pauses::new(options.max_wait),
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
        if !self.pauses.note(Instant::now(), delay) {
            return Err(PullError::TooSlow {
                what: what.to_owned(),
                reason: format!("{reason}, after pauses of {:?} in all", self.pauses.limit()),
                advice: "try again later, or allow longer pauses by --max-wait",
            });
        }
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
            let (mut generation, mut anonymous) = (0, true);
            if let Some(access) = access {
                let mut auth = self.cancel.race(access.auth.lock()).await?;
                let header;
                let current = Box::pin(auth.header(self, &access.origin));
                (header, generation) = self.cancel.race(current).await??;
                if let Some(header) = header {
                    anonymous = false;
                    builder = builder.header(AUTHORIZATION, header);
                }
            }
            let answer = self.cancel.race(builder.send()).await?;
            let mut response = answer.map_err(|error| classify(&url, &error))?;
            let status = response.status();
            // Some registries hide from strangers what there is.
            let is_refusal = status == StatusCode::UNAUTHORIZED
                || (anonymous && matches!(status, StatusCode::FORBIDDEN | StatusCode::NOT_FOUND));
            if is_refusal && let Some(access) = access {
                let mut auth = self.cancel.race(access.auth.lock()).await?;
                if renewed {
                    auth.reject(generation);
                } else {
                    renewed = true;
                    let refusal = Refusal { status, headers: response.headers(), generation, anonymous };
                    let login = Box::pin(auth.answer(self, &access.origin, refusal));
                    match self.cancel.race(login).await?? {
                        Login::Retry => continue,
                        Login::Refused(None) => {}
                        Login::Refused(Some(hint)) => {
                            response.extensions_mut().insert(LoginHint(hint));
                        }
                    }
                }
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
            // What is wrong with HEAD need not be wrong with GET, whose answer explains itself, too.
            if request.method == Method::HEAD && !status.is_success() {
                return Ok(response);
            }
            if is_transient(status) {
                let after = retry_after(response.headers(), SystemTime::now());
                let detail = self.detail(response).await;
                let reason = format!("{} answered {}", host_of(&url), status.as_u16());
                let error = Request { url, ..request.clone() }.status_error(status, detail);
                return Err(Failure::Transient { reason, after, error });
            }
            if matches!(status.as_u16(), 401 | 403) {
                let host = host_of(&url);
                let detail = self.detail(response).await;
                return Err(Failure::Final(PullError::Unauthorized { host, detail }));
            }
            return Ok(response);
        }
    }

    /// The explanation in an error answer: as much of it as comes soon.
    pub(crate) async fn detail(&self, mut response: Response) -> String {
        let hint = response.extensions().get::<LoginHint>().copied();
        // What such an answer holds is content, and explains nothing.
        let mut body = Vec::new();
        if !response.status().is_success() {
            let read = async {
                while let Ok(Some(chunk)) = response.chunk().await {
                    body.extend_from_slice(&chunk);
                    if body.len() >= ERROR_LEN {
                        break;
                    }
                }
            };
            let _as_much_as_came = self.cancel.race(tokio::time::timeout(ERROR_TIME, read)).await;
        }
        // Hidden before it is cut: a part of a secret is secret as well.
        let detail = error_detail(&self.secrets.hide(&String::from_utf8_lossy(&body)));
        match hint {
            Some(LoginHint(hint)) if detail == NO_REASON => hint.to_owned(),
            Some(LoginHint(hint)) => format!("{hint}, and says: {detail}"),
            None => detail,
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
    let mut pieces = Pieces::new(http);
    while let Some(chunk) = pieces.next(&mut response, &host).await? {
        body.extend_from_slice(&chunk);
        cap.check(body.len() as u64, what)?;
    }
    Ok(body)
}

/// The pieces of a body, as long as they come fast enough.
#[derive(Debug)]
pub(crate) struct Pieces<'a> {
    http: &'a Http,
    meter: RateMeter,
}

impl<'a> Pieces<'a> {
    pub(crate) fn new(http: &'a Http) -> Self {
        Self { http, meter: http.rate.meter() }
    }

    /// The next piece; `None` at the end.
    pub(crate) async fn next(
        &mut self,
        response: &mut Response,
        host: &str,
    ) -> Result<Option<Bytes>, Failure> {
        let asked = Instant::now();
        let chunk = self.http.cancel.race(response.chunk()).await?;
        let chunk = chunk.map_err(|error| Failure::broken(host, explain(&error)))?;
        if let Some(chunk) = &chunk {
            let slow = |reason| Failure::slow(host, reason);
            self.meter.note(chunk.len(), asked.elapsed()).map_err(slow)?;
        }
        Ok(chunk)
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
        target: one_line(target),
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
    let kept = "what is in the cache can be pulled by digest (NAME@sha256:…) without it";
    let causes: Vec<String> = chain(error).map(|cause| cause.to_ascii_lowercase()).collect();
    let says = |texts: &[&str]| causes.iter().any(|cause| texts.iter().any(|text| cause.contains(text)));
    let step = if says(&["dns error", "failed to lookup", "name or service not known"]) {
        "its name is not known: check the spelling, the network and the DNS settings"
    } else if says(&["connection refused"]) {
        "nothing listens there: check its address and port"
    } else if says(&["received fatal alert", "peer is incompatible", "tls handshake", "protocol version"]) {
        "it does not agree on an encryption: check that its TLS is version 1.2 or newer, and that no proxy is between"
    } else if says(&["unreachable", "no route"]) {
        "there is no way to it: check the network and the address"
    } else if error.is_timeout() {
        "check the network, its address, and whether a firewall or proxy is between"
    } else {
        "check its address and the network"
    };
    let advice = format!("{step}; {kept}");
    Failure::Transient {
        reason: reason.clone(),
        after: None,
        error: PullError::Unreachable { host, reason, advice },
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
    one_line(&text)
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
