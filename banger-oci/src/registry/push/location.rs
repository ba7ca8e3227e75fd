//! Where an upload goes on: the `Location` of an answer (distribution-spec, "Pushing blobs").

use reqwest::Response;
use reqwest::header::{HeaderMap, HeaderName, LOCATION};
use url::Url;

use crate::digest::Digest;
use crate::registry::error::PullError;
use crate::registry::origin::host_of;
use crate::registry::redirect::redirect_target;

const CHUNK_MIN: HeaderName = HeaderName::from_static("oci-chunk-min-length");

/// An upload that a registry has opened.
#[derive(Clone, Debug)]
pub(super) struct UploadSession {
    pub(super) url: Url,
    /// The smallest part that the registry takes, but for the last one.
    pub(super) min_chunk: u64,
}

impl UploadSession {
    /// Reads the answer that opens an upload.
    pub(super) fn of(response: &Response) -> Result<Self, PullError> {
        let missing = || PullError::Malformed {
            what: format!("the answer of {} to the start of an upload", host_of(response.url())),
            reason: "it has no Location header".to_owned(),
        };
        let url = next_url(response)?.ok_or_else(missing)?;
        Ok(Self { url, min_chunk: min_chunk(response.headers()) })
    }

    /// The address for the end of the upload of the blob `digest`.
    pub(super) fn end(&self, digest: &Digest) -> Url {
        let mut url = self.url.clone();
        // The query that is there stays as it is: it may be signed.
        url.query_pairs_mut().append_pair("digest", &digest.to_string());
        url
    }
}

/// Returns the address in the `Location` of an answer, if there is one. Another host gets no credentials, as with
/// redirects.
pub(super) fn next_url(response: &Response) -> Result<Option<Url>, PullError> {
    let location = response.headers().get(LOCATION).map(|value| String::from_utf8_lossy(value.as_bytes()));
    location.map(|location| redirect_target(response.url(), Some(location.trim()), 0)).transpose()
}

fn min_chunk(headers: &HeaderMap) -> u64 {
    let text = headers.get(CHUNK_MIN).and_then(|value| value.to_str().ok());
    text.and_then(|text| text.trim().parse().ok()).unwrap_or_default()
}
