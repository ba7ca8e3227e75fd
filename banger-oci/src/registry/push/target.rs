//! The repository that receives the blobs, and the known limits of its registry.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use reqwest::{Method, Response, StatusCode};

use super::chunks::UploadMode;
use super::error::PushError;
use super::location::UploadSession;
use crate::digest::Digest;
use crate::registry::access::Access;
use crate::registry::attempt::{Attempts, FailedAttempt};
use crate::registry::error::{PullError, is_transient_status};
use crate::registry::event::Progress;
use crate::registry::http::{Http, Request};
use crate::registry::repository::Registry;
use crate::registry::upload_body::UploadBody;

/// No space is left: another attempt would send all bytes in vain.
pub(super) const INSUFFICIENT_STORAGE: u16 = 507;

/// The repository that blobs are sent to.
#[derive(Debug)]
pub(super) struct PushRepository {
    pub(super) registry: Arc<Registry>,
    pub(super) progress: Progress,
    /// Another repository of the same registry.
    pub(super) mount_from: Option<String>,
    /// Whether the registry did not refuse a mount so far.
    pub(super) can_mount: AtomicBool,
    pub(super) mode: UploadMode,
}

/// What the registry has of a blob.
#[derive(Debug)]
pub(super) enum FoundBlob {
    Present,
    /// Taken from the other repository just now.
    Mounted,
    /// It takes the blob.
    Missing(UploadSession),
}

impl PushRepository {
    /// Asks for a blob. If it is missing, opens an upload. So a user without the right to push gets the error before a
    /// blob is made.
    pub(super) async fn find(&self, digest: &Digest) -> Result<FoundBlob, PushError> {
        match self.has(digest).await? {
            true => Ok(FoundBlob::Present),
            false => self.open(digest, true).await,
        }
    }

    /// Returns whether the repository has a blob.
    pub(super) async fn has(&self, digest: &Digest) -> Result<bool, PushError> {
        let (http, access) = self.connection().await?;
        let url = self.registry.url(&access.origin, "blobs", &digest.to_string())?;
        let request = Request::head(url, format!("whether {} is there", digest.short()));
        let mut attempts = Attempts::default();
        loop {
            let failure = match access.once(http, &request.again(&attempts)).await {
                Ok(response) if response.status().is_success() => return Ok(true),
                Ok(response) if is_transient_status(response.status().as_u16()) => {
                    let url = response.url().clone();
                    http.try_later(&request, &url, response).await
                }
                // The answer to the upload has a better explanation.
                Ok(_) | Err(FailedAttempt::Final(PullError::Redirect { .. })) => return Ok(false),
                Err(failure) => failure,
            };
            self.pause(&mut attempts, &request.what, failure).await?;
        }
    }

    /// Opens an upload, or mounts the blob.
    pub(super) async fn open(&self, digest: &Digest, may_mount: bool) -> Result<FoundBlob, PushError> {
        let (http, access) = self.connection().await?;
        let mut attempts = Attempts::default();
        loop {
            let mount = self.mount_from.as_ref();
            let mount = mount.filter(|_| may_mount && self.can_mount.load(Ordering::Acquire));
            let mut url = self.registry.url(&access.origin, "blobs", "uploads/")?;
            if let Some(source) = mount {
                url.query_pairs_mut().append_pair("mount", &digest.to_string()).append_pair("from", source);
            }
            let what = format!("the upload of blob {}", digest.short());
            let request = Request::upload(Method::POST, url, what, UploadBody::default());
            let answer = access.once(http, &request.again(&attempts)).await;
            let is_refused = match &answer {
                Ok(response) => response.status().is_client_error(),
                Err(FailedAttempt::Final(PullError::Unauthorized { .. })) => true,
                Err(_) => false,
            };
            if mount.is_some() && is_refused {
                // Not every registry mounts, and not everybody may read the other repository.
                self.can_mount.store(false, Ordering::Release);
                continue;
            }
            match answer {
                Ok(response) if mount.is_some() && response.status() == StatusCode::CREATED => {
                    return Ok(FoundBlob::Mounted);
                }
                Ok(response) if response.status().is_success() => {
                    return UploadSession::of(&response).map(FoundBlob::Missing).map_err(|e| self.told(e));
                }
                Ok(response) => return Err(self.refused(&request, response).await),
                Err(failure) => self.pause(&mut attempts, &request.what, failure).await?,
            }
        }
    }

    /// The client and the access.
    pub(super) async fn connection(&self) -> Result<&(Http, Access), PushError> {
        self.registry.connection().await.map_err(|error| self.told(error))
    }

    /// Waits before the next attempt, or gives up.
    pub(super) async fn pause(
        &self,
        attempts: &mut Attempts,
        what: &str,
        failure: FailedAttempt,
    ) -> Result<(), PushError> {
        let (http, _) = self.connection().await?;
        let failure = match failure {
            FailedAttempt::Transient {
                error: error @ PullError::Status { status: INSUFFICIENT_STORAGE, .. },
                ..
            } => FailedAttempt::Final(error),
            failure => failure,
        };
        http.pause(attempts, what, failure).await.map_err(|error| self.told(error))
    }

    /// The error of an answer that refuses the push as a whole.
    pub(super) async fn refused(&self, request: &Request, response: Response) -> PushError {
        let status = response.status();
        let detail = match self.connection().await {
            Ok((http, _)) => http.detail(response).await,
            Err(error) => return error,
        };
        let error = request.status_error(status, detail);
        match status {
            StatusCode::NOT_FOUND | StatusCode::METHOD_NOT_ALLOWED => self.no_pushes(error),
            _ => self.told(error),
        }
    }

    /// The error of a registry without this repository, or without pushes.
    pub(super) fn no_pushes(&self, error: PullError) -> PushError {
        match error {
            PullError::Status { host, status, detail, .. } => {
                PushError::NoPushes { host, repository: self.registry.name(), status, detail }
            }
            error => self.told(error),
        }
    }

    /// The error as the caller of the push gets it.
    pub(super) fn told(&self, error: PullError) -> PushError {
        match error {
            PullError::Unauthorized { host, detail } => {
                PushError::Denied { host, repository: self.registry.name(), detail }
            }
            PullError::Status { host, status: INSUFFICIENT_STORAGE, detail, .. } => {
                PushError::Full { host, detail }
            }
            error => error.into(),
        }
    }
}
