//! Registries: OCI distribution-spec, the pull half.

use std::io::Read as _;
use std::sync::Arc;
use std::time::Duration;

use banger_tree::Budget;
use reqwest::StatusCode;
use reqwest::header::{
    ACCEPT, CONTENT_ENCODING, CONTENT_RANGE, CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue,
};
use tokio::sync::OnceCell;
use url::Url;

use crate::decompress::{Checksums, Gzip};
use crate::digest::Digest;
use crate::reference::RegistryReference;
use crate::registry::access::Access;
use crate::registry::attempt::{Attempts, FailedAttempt, is_certificate_error};
use crate::registry::cap::Cap;
use crate::registry::clients::Server;
use crate::registry::content_range::is_rest;
use crate::registry::engine::Connections;
use crate::registry::error::PullError;
use crate::registry::event::Progress;
use crate::registry::foreign_text::web_page_title;
use crate::registry::http::{Http, Request, read_capped};
use crate::registry::logins::Login;
use crate::registry::manifest::{DOCKER_LIST, DOCKER_MANIFEST, Manifest, OCI_INDEX, OCI_MANIFEST};
use crate::registry::options::PullOptions;
use crate::registry::origin::{host_of, is_local};
use crate::registry::rate::RateLimit;
use crate::registry::registries::{Endpoint, EndpointKind};
use crate::registry::stop::PullStop;

mod companions;

/// Time for a registry that may speak plain http to answer https before plain http is tried.
const PROBE_TIMEOUT: Duration = Duration::from_secs(5);
const CONTENT_DIGEST: HeaderName = HeaderName::from_static("docker-content-digest");

/// A repository of a registry. Nothing is sent before the first question.
#[derive(Debug)]
pub(crate) struct Registry {
    reference: RegistryReference,
    place: Endpoint,
    options: PullOptions,
    progress: Progress,
    stop: PullStop,
    /// The limit of all places together.
    limit: RateLimit,
    connections: Arc<Connections>,
    login: Arc<Login>,
    connection: OnceCell<(Http, Access)>,
}

/// A manifest as a registry answered it.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) digest: Digest,
    pub(crate) bytes: Vec<u8>,
    pub(crate) media_type: Option<String>,
}

impl Registry {
    pub(crate) fn new(
        place: Endpoint,
        options: PullOptions,
        progress: Progress,
        stop: PullStop,
        limit: RateLimit,
        connections: Arc<Connections>,
        login: Arc<Login>,
    ) -> Self {
        let (reference, connection) = (place.reference.clone(), OnceCell::new());
        Self { reference, place, options, progress, stop, limit, connections, login, connection }
    }

    /// The name of the repository at this place.
    pub(crate) fn name(&self) -> String {
        format!("{}/{}", self.reference.registry(), self.reference.repository())
    }

    /// The reference at this place.
    pub(crate) fn reference(&self) -> &RegistryReference {
        &self.reference
    }

    /// The host of this place, for messages.
    pub(crate) fn host(&self) -> &str {
        self.reference.registry()
    }

    /// The name that led to this place: the one asked for, or what a short name may mean.
    pub(crate) fn meaning(&self) -> &RegistryReference {
        &self.place.meaning
    }

    /// Whether this is a mirror, or another location than the name of the image says.
    pub(crate) fn is_elsewhere(&self) -> bool {
        self.place.kind == EndpointKind::Mirror || self.place.is_moved
    }

    /// Hides the sent credentials in errors.
    pub(crate) fn shown(&self, error: PullError) -> PullError {
        self.login.secrets.hide_in_error(error)
    }

    /// Hides the sent credentials in the texts of an error.
    pub(crate) fn hide_in_texts(&self, texts: Vec<&mut String>) {
        self.login.secrets.hide_in_texts(texts);
    }

    fn http(&self, options: &PullOptions) -> Result<Http, PullError> {
        let (progress, stop, secrets) =
            (self.progress.clone(), self.stop.clone(), self.login.secrets.clone());
        let server = Server { registry: self.reference.registry(), insecure: self.place.insecure };
        Http::new(&self.connections.clients, options, server, progress, stop, self.limit.clone(), secrets)
    }

    /// The client and the access, set up when they are first needed.
    pub(crate) async fn connection(&self) -> Result<&(Http, Access), PullError> {
        self.connection.get_or_try_init(|| self.connect()).await
    }

    async fn connect(&self) -> Result<(Http, Access), PullError> {
        let host = self.reference.api_host();
        // The configuration allows plain http for registries that it calls insecure.
        let may_be_plain = is_local(host) || self.place.insecure;
        let http = self.http(&self.options)?;
        let origin = |scheme: &str| {
            Url::parse(&format!("{scheme}://{host}/")).map_err(|error| PullError::Environment {
                reason: format!("`{host}` cannot be part of a URL: {error}"),
            })
        };
        let plain =
            self.options.plain_http || (may_be_plain && !self.speaks_https(&origin("https")?).await?);
        let origin = origin(if plain { "http" } else { "https" })?;
        Ok((http, Access { origin, login: Arc::clone(&self.login) }))
    }

    /// Returns whether a registry that may speak plain http answers https. An answer with an unaccepted certificate
    /// counts as https too: banger must not go on without it.
    async fn speaks_https(&self, origin: &Url) -> Result<bool, PullError> {
        let mut options = self.options.clone();
        options.connect_timeout = options.connect_timeout.min(PROBE_TIMEOUT);
        options.stall_timeout = options.stall_timeout.min(PROBE_TIMEOUT);
        let http = self.http(&options)?;
        let url = join(origin, "v2/")?;
        match self.stop.race(http.probe(url)).await? {
            Ok(_) => Ok(true),
            // What fails behind the handshake of TLS does not tell of plain http.
            Err(error) => Ok(is_certificate_error(&error) || !error.is_connect()),
        }
    }

    pub(crate) fn url(&self, origin: &Url, kind: &str, name: &str) -> Result<Url, PullError> {
        join(origin, &format!("v2/{}/{kind}/{name}", self.reference.repository()))
    }

    /// Asks for the current digest of a tag. `None` if the registry gives it only together with the manifest.
    pub(crate) async fn tag_digest(&self, tag: &str) -> Result<Option<Digest>, PullError> {
        let (http, access) = self.connection().await?;
        let url = self.url(&access.origin, "manifests", tag)?;
        let mut request = Request::head(url, format!("the digest of {}", self.reference));
        request.headers.insert(ACCEPT, accept());
        // After any failure of HEAD, GET is used, and its answer has a better explanation.
        let response = match access.once(http, &request).await {
            Ok(response) if response.status().is_success() => response,
            Ok(_)
            | Err(
                FailedAttempt::Transient { .. }
                | FailedAttempt::Doubtful { .. }
                | FailedAttempt::Final(PullError::Redirect { .. }),
            ) => {
                return Ok(None);
            }
            Err(FailedAttempt::Final(error)) => return Err(error),
        };
        content_digest(response.headers())
    }

    /// Fetches a manifest by tag or digest. The digest is checked, the content is not.
    pub(crate) async fn manifest(&self, name: &str, expected: Option<&Digest>) -> Result<Answer, PullError> {
        let (http, access) = self.connection().await?;
        let url = self.url(&access.origin, "manifests", name)?;
        let mut request = Request::get(url, format!("the manifest {name}"));
        request.headers.insert(ACCEPT, accept());
        let what =
            format!("manifest {name} of {}/{}", self.reference.registry(), self.reference.repository());
        let cap = self.options.manifest_cap();
        let (headers, bytes) =
            self.read_all(http, access, &request, cap, &what).await?.map_err(|detail| match expected {
                // The image exists, but a part of it is missing.
                Some(_) if expected != self.reference.digest() => {
                    request.status_error(StatusCode::NOT_FOUND, detail)
                }
                _ => PullError::UnknownImage { reference: self.place.meaning.to_string(), detail },
            })?;
        if bytes.is_empty() {
            return Err(PullError::Malformed {
                what,
                reason: "the registry sent an empty answer".to_owned(),
            });
        }
        let media_type = document_type(&headers);
        let stated = content_digest(&headers)?;
        let digest = match expected.or(stated.as_ref()) {
            Some(expected) if !expected.matches(&bytes) => {
                return Err(PullError::Mismatch {
                    digest: expected.clone(),
                    origin: access.origin.authority().to_owned(),
                    reason: format!("the manifest sent has the digest {}", Digest::of(&bytes)),
                });
            }
            Some(expected) => expected.clone(),
            None => Digest::of(&bytes),
        };
        // A document that another tool could read as another kind is not kept.
        let declared = [media_type.as_deref()];
        let (manifest, _) = Manifest::parse_within(&bytes, &declared, &what, &Budget::default())?;
        self.options.wanted.check(&manifest, &what)?;
        Ok(Answer { digest, bytes, media_type })
    }

    /// Fetches a small blob. The digest is not checked.
    pub(crate) async fn small_blob(
        &self,
        digest: &Digest,
        cap: Cap,
        what: &str,
    ) -> Result<Vec<u8>, PullError> {
        let (http, access) = self.connection().await?;
        let request = self.blob_request(access, digest)?;
        let answer = self.read_all(http, access, &request, cap, what).await?;
        answer.map(|(_, bytes)| bytes).map_err(|detail| request.status_error(StatusCode::NOT_FOUND, detail))
    }

    /// The request for a blob of this repository.
    pub(crate) fn blob_request(&self, access: &Access, digest: &Digest) -> Result<Request, PullError> {
        let url = self.url(&access.origin, "blobs", &digest.to_string())?;
        Ok(Request::get(url, format!("blob {}", digest.short())))
    }

    /// Reads a whole answer, and retries if it breaks off. The inner error is the text of a 404.
    async fn read_all(
        &self,
        http: &Http,
        access: &Access,
        request: &Request,
        cap: Cap,
        what: &str,
    ) -> Result<Result<(HeaderMap, Vec<u8>), String>, PullError> {
        let mut attempts = Attempts::default();
        loop {
            let failure = match access.once(http, &request.again(&attempts)).await {
                Ok(response) if matches!(response.status().as_u16(), 200 | 206) => {
                    let (status, host) = (response.status(), host_of(response.url()));
                    let headers = response.headers().clone();
                    match read_capped(http, response, cap, what).await {
                        Ok(bytes) if status == StatusCode::OK || is_whole(&headers, bytes.len()) => {
                            let bytes = decoded(&headers, bytes, cap, what)?;
                            return match web_page_title(&http.secrets.hide(&beginning(&bytes))) {
                                None => Ok(Ok((headers, bytes))),
                                Some(title) => {
                                    let (who, what) = ("the registry", what.to_owned());
                                    Err(PullError::WebPage { who, host, title, what })
                                }
                            };
                        }
                        Ok(_) => FailedAttempt::broken(
                            &host,
                            "it sent a part where the whole was asked for".to_owned(),
                        ),
                        Err(failure) => failure,
                    }
                }
                Ok(response) if response.status() == StatusCode::NOT_FOUND => {
                    return Ok(Err(http.detail(response).await));
                }
                Ok(response) => {
                    let status = response.status();
                    let detail = http.detail(response).await;
                    FailedAttempt::Final(request.status_error(status, detail))
                }
                Err(failure) => failure,
            };
            http.pause(&mut attempts, &request.what, failure).await?;
        }
    }
}

fn join(origin: &Url, path: &str) -> Result<Url, PullError> {
    origin.join(path).map_err(|error| PullError::Environment {
        reason: format!("`{path}` cannot be part of a URL: {error}"),
    })
}

fn accept() -> HeaderValue {
    let types = [OCI_INDEX, OCI_MANIFEST, DOCKER_LIST, DOCKER_MANIFEST].join(", ");
    HeaderValue::from_str(&types).expect("media types are fit for a header")
}

/// Returns the digest that a registry states, checked before use. An empty header, or one with an unknown
/// algorithm, counts as missing.
pub(crate) fn content_digest(headers: &HeaderMap) -> Result<Option<Digest>, PullError> {
    let Some(value) = headers.get(CONTENT_DIGEST) else {
        return Ok(None);
    };
    let text = String::from_utf8_lossy(value.as_bytes());
    let text = text.trim();
    let is_known = text.split(':').next().is_some_and(|name| matches!(name, "sha256" | "sha512"));
    if text.is_empty() || (!is_known && is_digest_syntax(text)) {
        return Ok(None);
    }
    text.parse().map(Some).map_err(|error: crate::digest::DigestError| PullError::Malformed {
        what: "the Docker-Content-Digest header".to_owned(),
        reason: error.to_string(),
    })
}

/// Returns whether a text has the form of a digest (image-spec, "Digests"), with any algorithm.
fn is_digest_syntax(text: &str) -> bool {
    text.split_once(':').is_some_and(|(algorithm, encoded)| {
        let is_name = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || "+._-".contains(c);
        let is_value = |c: char| c.is_ascii_alphanumeric() || "=_-".contains(c);
        !algorithm.is_empty()
            && algorithm.chars().all(is_name)
            && !encoded.is_empty()
            && encoded.chars().all(is_value)
    })
}

/// Returns the type that a registry gives a document. Types of object stores, for example
/// `binary/octet-stream`, count as missing.
fn document_type(headers: &HeaderMap) -> Option<String> {
    let text = headers.get(CONTENT_TYPE)?.to_str().ok()?.trim();
    text.to_ascii_lowercase().starts_with("application/vnd.").then(|| text.to_owned())
}

/// Returns whether an answer with status 206 has the whole content.
fn is_whole(headers: &HeaderMap, len: usize) -> bool {
    let range = headers.get(CONTENT_RANGE).and_then(|value| value.to_str().ok());
    range.is_some_and(|range| is_rest(range, 0, len as u64))
}

/// Returns the document in an answer that was compressed on the way, although banger did not ask for that.
fn decoded(headers: &HeaderMap, bytes: Vec<u8>, cap: Cap, what: &str) -> Result<Vec<u8>, PullError> {
    let encoding = headers.get(CONTENT_ENCODING).map(|value| String::from_utf8_lossy(value.as_bytes()));
    // A JSON text does not begin with these bytes, so an answer that only claims to be compressed
    // is taken as it is.
    if encoding.is_some_and(|name| name.trim().eq_ignore_ascii_case("gzip"))
        && bytes.starts_with(&[0x1f, 0x8b])
    {
        let mut plain = Vec::new();
        let mut reader =
            Gzip::new(&bytes[..], Checksums::Checked, Arc::default()).take(cap.bytes().saturating_add(1));
        reader.read_to_end(&mut plain).map_err(|error| PullError::Malformed {
            what: what.to_owned(),
            reason: format!("the registry compressed it on the way, and it does not decompress: {error}"),
        })?;
        cap.check(plain.len() as u64, what)?;
        return Ok(plain);
    }
    Ok(bytes)
}

/// The beginning of a document, which shows its kind.
fn beginning(bytes: &[u8]) -> String {
    String::from_utf8_lossy(&bytes[..bytes.len().min(4096)]).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn b32_digests_in_headers() {
        let sha256 = Digest::of(b"x").to_string();
        for (value, found) in [
            (sha256.as_str(), Some(true)),
            (&format!(" {sha256} "), Some(true)),
            ("", Some(false)),
            ("  ", Some(false)),
            ("blake3:0123", Some(false)),
            ("sha256:0123", None),
            ("sha256:../../etc/passwd", None),
            ("x/../y:0123", None),
            ("nothing", None),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(CONTENT_DIGEST, HeaderValue::from_str(value).unwrap());
            assert_eq!(content_digest(&headers).ok().map(|digest| digest.is_some()), found, "{value}");
        }
    }
}
