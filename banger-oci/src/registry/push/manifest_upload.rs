//! The upload of the manifest, which makes the artifact visible.

use bytes::Bytes;
use reqwest::Method;
use reqwest::header::{CONTENT_TYPE, HeaderValue};

use super::blob_upload::check_digest;
use super::error::PushError;
use super::target::PushRepository;
use crate::digest::Digest;
use crate::registry::attempt::Attempts;
use crate::registry::error::PullError;
use crate::registry::http::Request;
use crate::registry::origin::host_of;
use crate::registry::upload_body::UploadBody;

/// A manifest as it is sent.
#[derive(Clone, Debug)]
pub(super) struct ManifestUpload {
    /// The tag or the digest.
    pub(super) name: String,
    pub(super) media_type: String,
    pub(super) digest: Digest,
    pub(super) bytes: Bytes,
}

impl PushRepository {
    /// Sends a manifest. The inner error is that of a registry which may lack a blob.
    pub(super) async fn put_manifest(
        &self,
        manifest: &ManifestUpload,
    ) -> Result<Result<(), PullError>, PushError> {
        let (http, access) = self.connection().await?;
        let url = self.registry.url(&access.origin, "manifests", &manifest.name)?;
        let what = format!("the manifest {}", manifest.name);
        let body = UploadBody::new(manifest.bytes.clone());
        let mut request = Request::upload(Method::PUT, url, what, body);
        let media_type = HeaderValue::from_str(&manifest.media_type);
        request
            .headers
            .insert(CONTENT_TYPE, media_type.expect("the types of manifests are fit for a header"));
        let mut attempts = Attempts::default();
        loop {
            let failure = match access.once(http, &request.again(&attempts)).await {
                Ok(response) if response.status().is_success() => {
                    let what = format!("the manifest {}", manifest.name);
                    return check_digest(&response, &manifest.digest, &what).map(Ok);
                }
                Ok(response) => {
                    let (status, host) = (response.status(), host_of(response.url()));
                    return match status.as_u16() {
                        400 | 404 | 409 | 412 | 422 => {
                            let detail = http.detail(response).await;
                            Ok(Err(request.status_error(status, detail)))
                        }
                        413 => Err(PushError::TooLarge {
                            host,
                            what: "the manifest".to_owned(),
                            size_bytes: manifest.bytes.len() as u64,
                            detail: http.detail(response).await,
                        }),
                        _ => Err(self.refused(&request, response).await),
                    };
                }
                Err(failure) => failure,
            };
            self.pause(&mut attempts, &request.what, failure).await?;
        }
    }
}
