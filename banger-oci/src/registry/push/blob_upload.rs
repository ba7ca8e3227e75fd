//! The upload of one blob: attempts, and what a registry may not take.

use reqwest::header::{CONTENT_RANGE, CONTENT_TYPE, HeaderMap, HeaderValue, RANGE};
use reqwest::{Method, Response};

use super::chunks::{BlobMode, may_want_parts};
use super::error::PushError;
use super::location::{UploadSession, next_url};
use super::target::{FoundBlob, PushRepository};
use crate::digest::Digest;
use crate::one_line::one_line;
use crate::registry::attempt::{Attempts, FailedAttempt};
use crate::registry::error::PullError;
use crate::registry::http::Request;
use crate::registry::origin::host_of;
use crate::registry::repository::content_digest;
use crate::registry::upload_body::UploadBody;
use crate::registry::upload_bytes::UploadBytes;

/// An answer to a part or to the end of an upload.
enum UploadAnswer {
    /// The registry has the blob.
    Stored,
    /// It does not take it like this.
    Refused { status: u16, detail: String, error: PullError },
}

impl PushRepository {
    /// Sends a blob. An attempt that fails begins again.
    pub(super) async fn send(
        &self,
        digest: &Digest,
        bytes: &UploadBytes,
        session: UploadSession,
    ) -> Result<(), PushError> {
        let size = bytes.len();
        let what = format!("the upload of blob {}", digest.short());
        let mut session = Some(session);
        let mut mode = self.mode.now();
        let mut attempts = Attempts::default();
        loop {
            let opened = match session.take() {
                Some(opened) => opened,
                None => match self.open(digest, false).await? {
                    FoundBlob::Missing(opened) => opened,
                    FoundBlob::Present | FoundBlob::Mounted => return Ok(()),
                },
            };
            mode = mode.after_breaks(attempts.failed);
            let min_chunk = opened.min_chunk;
            let failure = match self.attempt(digest, bytes, opened, mode, &attempts).await {
                Ok(UploadAnswer::Stored) => {
                    self.mode.learn(mode);
                    return Ok(());
                }
                Ok(UploadAnswer::Refused { status: 413, detail, error }) => {
                    match (mode.smaller(size, min_chunk), error) {
                        (Some(smaller), _) => mode = smaller,
                        (None, PullError::Status { host, .. }) => {
                            let what = format!("blob {digest}");
                            return Err(PushError::TooLarge { host, what, size_bytes: size, detail });
                        }
                        (None, error) => return Err(self.told(error)),
                    }
                    continue;
                }
                Ok(UploadAnswer::Refused { status, error, .. }) => {
                    let parts = mode.without_whole().filter(|_| may_want_parts(status));
                    if let Some(parts) = parts {
                        mode = parts;
                        continue;
                    }
                    // Its end was forgotten, or another of many servers answered.
                    match matches!(status, 404 | 409 | 416) {
                        true => {
                            let reason = format!("the upload is not known any more (status {status})");
                            FailedAttempt::Transient { reason, after: None, error }
                        }
                        false => FailedAttempt::Final(error),
                    }
                }
                Err(AttemptError::Push(error)) => return Err(error),
                Err(AttemptError::Failed(failure)) => failure,
            };
            self.pause(&mut attempts, &what, failure).await?;
        }
    }

    async fn attempt(
        &self,
        digest: &Digest,
        bytes: &UploadBytes,
        mut session: UploadSession,
        mode: BlobMode,
        attempts: &Attempts,
    ) -> Result<UploadAnswer, AttemptError> {
        let BlobMode::Parts(most) = mode else {
            let body = UploadBody::new(bytes.clone()).telling(&self.progress, digest, 0);
            return self.end(digest, &session, body, attempts).await;
        };
        let (http, access) = self.connection().await?;
        let most = most.max(session.min_chunk).max(1);
        let mut offset = 0;
        while offset < bytes.len() {
            let end = bytes.len().min(offset.saturating_add(most));
            let body = UploadBody::new(bytes.part(offset..end)).telling(&self.progress, digest, offset);
            let what = format!("a part of blob {}", digest.short());
            let mut request = Request::upload(Method::PATCH, session.url.clone(), what, body);
            request.headers.insert(CONTENT_TYPE, octets());
            let range = HeaderValue::from_str(&format!("{offset}-{}", end - 1));
            request.headers.insert(CONTENT_RANGE, range.expect("digits are fit for a header"));
            let response = access.once(http, &request.again(attempts)).await?;
            if !response.status().is_success() {
                return Ok(self.answer(&request, response).await?);
            }
            let host = host_of(response.url());
            if let Some(taken) = taken_bytes(response.headers())
                && taken != end
            {
                let reason = format!("{host} took {taken} bytes of an upload where {end} were sent");
                return Err(FailedAttempt::broken(&host, reason).into());
            }
            if let Some(url) = next_url(&response).map_err(FailedAttempt::from)? {
                session.url = url;
            }
            offset = end;
        }
        self.end(digest, &session, UploadBody::default(), attempts).await
    }

    /// Ends an upload. `body` has the bytes that were not sent before.
    async fn end(
        &self,
        digest: &Digest,
        session: &UploadSession,
        body: UploadBody,
        attempts: &Attempts,
    ) -> Result<UploadAnswer, AttemptError> {
        let (http, access) = self.connection().await?;
        let what = format!("blob {}", digest.short());
        let mut request = Request::upload(Method::PUT, session.end(digest), what, body);
        request.headers.insert(CONTENT_TYPE, octets());
        let response = access.once(http, &request.again(attempts)).await?;
        if !response.status().is_success() {
            return Ok(self.answer(&request, response).await?);
        }
        check_digest(&response, digest, &format!("blob {}", digest.short()))?;
        Ok(UploadAnswer::Stored)
    }

    async fn answer(&self, request: &Request, response: Response) -> Result<UploadAnswer, PushError> {
        let (http, _) = self.connection().await?;
        let status = response.status();
        let detail = http.detail(response).await;
        let error = request.status_error(status, detail.clone());
        Ok(UploadAnswer::Refused { status: status.as_u16(), detail, error })
    }
}

/// Why an attempt came to nothing.
enum AttemptError {
    /// As the next attempt would.
    Push(PushError),
    Failed(FailedAttempt),
}

impl From<PushError> for AttemptError {
    fn from(error: PushError) -> Self {
        Self::Push(error)
    }
}

impl From<FailedAttempt> for AttemptError {
    fn from(failure: FailedAttempt) -> Self {
        Self::Failed(failure)
    }
}

/// Fails if a registry states another digest for the content than was sent.
pub(super) fn check_digest(response: &Response, expected: &Digest, what: &str) -> Result<(), PushError> {
    match content_digest(response.headers())? {
        // With another algorithm, the digest says nothing about this one.
        Some(stated) if stated.algorithm() == expected.algorithm() && stated != *expected => {
            Err(PushError::WrongDigest {
                host: host_of(response.url()),
                what: one_line(what),
                expected: expected.clone(),
                stated,
            })
        }
        _ => Ok(()),
    }
}

/// Returns how many bytes of an upload a registry says that it has, in `Range: 0-LAST`.
fn taken_bytes(headers: &HeaderMap) -> Option<u64> {
    let text = headers.get(RANGE)?.to_str().ok()?;
    let (first, last) = text.trim().trim_start_matches("bytes=").split_once('-')?;
    let last: u64 = last.trim().parse().ok()?;
    (first.trim() == "0").then(|| last.saturating_add(1))
}

fn octets() -> HeaderValue {
    HeaderValue::from_static("application/octet-stream")
}
