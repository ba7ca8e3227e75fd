//! A request that may be made several times.

use reqwest::header::HeaderMap;
use reqwest::{Method, StatusCode};
use url::Url;

use crate::one_line::one_line;
use crate::registry::attempt::Attempts;
use crate::registry::error::PullError;
use crate::registry::origin::host_of;
use crate::registry::upload_body::UploadBody;

/// What a request sends.
#[derive(Clone, Debug)]
pub(crate) enum RequestBody {
    /// A form with a credential.
    Form(String),
    /// The whole of an upload, a part of it, or the empty beginning of one.
    Upload(UploadBody),
}

/// A request that may be made several times.
#[derive(Debug, Clone)]
pub(crate) struct Request {
    pub(crate) method: Method,
    pub(crate) url: Url,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Option<RequestBody>,
    /// The requested object, for messages.
    pub(crate) what: String,
    /// Whether the answer is a large blob.
    pub(crate) is_large: bool,
    /// The number of the attempt, from 1 on.
    pub(crate) attempt: u32,
}

impl Request {
    pub(crate) fn get(url: Url, what: String) -> Self {
        Self {
            method: Method::GET,
            url,
            headers: HeaderMap::new(),
            body: None,
            what,
            is_large: false,
            attempt: 1,
        }
    }

    pub(crate) fn head(url: Url, what: String) -> Self {
        Self { method: Method::HEAD, ..Self::get(url, what) }
    }

    pub(crate) fn post(url: Url, what: String, body: String) -> Self {
        Self { method: Method::POST, body: Some(RequestBody::Form(body)), ..Self::get(url, what) }
    }

    /// A request that changes the registry.
    pub(crate) fn upload(method: Method, url: Url, what: String, body: UploadBody) -> Self {
        Self { method, body: Some(RequestBody::Upload(body)), ..Self::get(url, what) }
    }

    pub(crate) fn is_upload(&self) -> bool {
        matches!(self.body, Some(RequestBody::Upload(_)))
    }

    /// The same request for the bytes of a large blob.
    pub(crate) fn large(self) -> Self {
        Self { is_large: true, ..self }
    }

    /// The same request, as the next attempt.
    pub(crate) fn again(&self, attempts: &Attempts) -> Self {
        Self { attempt: attempts.total.saturating_add(1), ..self.clone() }
    }

    /// The error for an answer with an unexpected status.
    pub(crate) fn status_error(&self, status: StatusCode, detail: String) -> PullError {
        PullError::Status {
            host: host_of(&self.url),
            status: status.as_u16(),
            method: match self.method {
                Method::HEAD => "HEAD",
                Method::POST => "POST",
                Method::PUT => "PUT",
                Method::PATCH => "PATCH",
                _ => "GET",
            },
            path: one_line(self.url.path()),
            detail,
        }
    }
}
