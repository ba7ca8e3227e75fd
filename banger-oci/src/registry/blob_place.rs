//! A place that has a blob.

use reqwest::Response;

use crate::registry::access::Access;
use crate::registry::attempt::FailedAttempt;
use crate::registry::http::{Http, Request};
use crate::registry::jobs::Jobs;

/// A place that has a blob.
pub(crate) struct BlobPlace<'a> {
    pub(crate) http: &'a Http,
    pub(crate) request: Request,
    pub(crate) access: Option<&'a Access>,
    pub(crate) jobs: &'a Jobs,
}

impl BlobPlace<'_> {
    /// Makes one request.
    pub(crate) async fn ask(&self, request: &Request) -> Result<Response, FailedAttempt> {
        match self.access {
            Some(access) => access.once(self.http, request).await,
            None => self.http.once(request).await,
        }
    }
}
