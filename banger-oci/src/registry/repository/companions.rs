//! Requests for documents beside an image: signatures and referrers, which may be missing.

use reqwest::StatusCode;
use reqwest::header::{ACCEPT, HeaderMap, HeaderValue, LINK};
use url::Url;

use super::{Registry, accept};
use crate::digest::Digest;
use crate::registry::cap::Cap;
use crate::registry::error::PullError;
use crate::registry::http::Request;
use crate::registry::manifest::OCI_INDEX;
use crate::registry::origin::same_origin;

/// Pages of a list of referrers that are read.
const MAX_PAGES: usize = 16;

impl Registry {
    /// Fetches the document under a tag or digest; `None` if there is none. Nothing of it is checked.
    pub(crate) async fn companion(&self, name: &str) -> Result<Option<Vec<u8>>, PullError> {
        let (http, access) = self.connection().await?;
        let url = self.url(&access.origin, "manifests", name)?;
        let mut request = Request::get(url, format!("the manifest {name}"));
        request.headers.insert(ACCEPT, accept());
        let what = self.companion_name(name);
        let answer = self.read_all(http, access, &request, self.options.manifest_cap(), &what).await?;
        Ok(answer.ok().map(|(_, bytes)| bytes))
    }

    /// Fetches the pages of the list of referrers of `digest`; `None` if the registry has no such lists.
    pub(crate) async fn referrers(&self, digest: &Digest) -> Result<Option<Vec<Vec<u8>>>, PullError> {
        let (http, access) = self.connection().await?;
        let what = self.companion_name(&format!("list of referrers of {digest}"));
        let cap = self.options.manifest_cap();
        let mut url = self.url(&access.origin, "referrers", &digest.to_string())?;
        let mut pages = Vec::new();
        loop {
            let mut request = Request::get(url.clone(), format!("the referrers of {}", digest.short()));
            request.headers.insert(ACCEPT, HeaderValue::from_static(OCI_INDEX));
            match self.read_all(http, access, &request, cap, &what).await {
                Ok(Ok((headers, bytes))) => {
                    pages.push(bytes);
                    let total: usize = pages.iter().map(Vec::len).sum();
                    cap.check(total as u64, &what)?;
                    match next_page(&headers, &url, &access.origin) {
                        Some(next) if pages.len() < MAX_PAGES => url = next,
                        _ => return Ok(Some(pages)),
                    }
                }
                Ok(Err(_)) if pages.is_empty() => return Ok(None),
                Ok(Err(detail)) => return Err(request.status_error(StatusCode::NOT_FOUND, detail)),
                // Registries that do not know such requests.
                Err(PullError::Status { status: 400 | 405 | 406 | 501, .. } | PullError::WebPage { .. })
                    if pages.is_empty() =>
                {
                    return Ok(None);
                }
                Err(error) => return Err(error),
            }
        }
    }

    /// Fetches a blob that lies beside an image. Nothing of it is checked.
    pub(crate) async fn companion_blob(&self, digest: &Digest, cap: Cap) -> Result<Vec<u8>, PullError> {
        self.small_blob(digest, cap, &format!("blob {digest}")).await
    }

    fn companion_name(&self, name: &str) -> String {
        format!("manifest {name} of {}/{}", self.reference.registry(), self.reference.repository())
    }
}

/// Returns the address of the next page (RFC 8288), if it is at the same registry.
fn next_page(headers: &HeaderMap, current: &Url, origin: &Url) -> Option<Url> {
    let text = headers.get(LINK)?.to_str().ok()?;
    let link = text.split(',').find(|link| {
        link.split(';').skip(1).any(|parameter| {
            parameter.trim().strip_prefix("rel=").is_some_and(|rel| rel.trim_matches('"') == "next")
        })
    })?;
    let target = link.split_once('<')?.1.split_once('>')?.0;
    current.join(target).ok().filter(|next| same_origin(next, origin))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_lead_to_the_same_registry_only() {
        let current: Url = "https://h.example/v2/a/referrers/sha256:00".parse().unwrap();
        let origin: Url = "https://h.example/".parse().unwrap();
        for (link, next) in [
            ("</v2/a/referrers/x?n=1>; rel=\"next\"", Some("https://h.example/v2/a/referrers/x?n=1")),
            (
                "</first>; rel=first, <?last=2>; rel=next",
                Some("https://h.example/v2/a/referrers/sha256:00?last=2"),
            ),
            ("<https://evil.example/>; rel=\"next\"", None),
            ("<http://h.example/x>; rel=\"next\"", None),
            ("</x>; rel=\"prev\"", None),
            ("/x", None),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(LINK, HeaderValue::from_str(link).unwrap());
            let found = next_page(&headers, &current, &origin);
            assert_eq!(found.as_ref().map(Url::as_str), next, "{link}");
        }
    }
}
