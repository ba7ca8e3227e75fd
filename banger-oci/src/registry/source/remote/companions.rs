//! Documents beside the images of a registry. They are small, change with time, and are not kept in the cache.

use std::sync::Arc;

use banger_tree::Budget;

use super::{Fetcher, Remote};
use crate::digest::Digest;
use crate::registry::cap::Cap;
use crate::registry::error::PullError;
use crate::registry::manifest::{Descriptor, ImageIndex};
use crate::registry::repository::Registry;
use crate::registry::trust::SignaturePlace;
use crate::registry::trust::companions::{Companions, Referrers, referrers_tag};

impl Fetcher {
    /// Asks one place after the other, until one has something. If none has, a place that failed is an error: it may
    /// have it.
    fn beside<T, F>(
        &self,
        what: &str,
        ask: impl Fn(Arc<Registry>) -> F + Send + Sync + 'static,
    ) -> Result<Option<T>, PullError>
    where
        T: Send + 'static,
        F: Future<Output = Result<Option<T>, PullError>> + Send + 'static,
    {
        self.check_policy(what)?;
        let (endpoints, what) = (Arc::clone(&self.endpoints), what.to_owned());
        self.background.run(async move {
            let mut search = endpoints.search();
            for registry in endpoints.in_order() {
                match ask(Arc::clone(registry)).await {
                    Ok(None) => {}
                    Ok(found) => return Ok(found),
                    Err(error) => search.note(registry, error)?,
                }
            }
            match search.has_failures() {
                true => Err(search.into_error(&what)),
                false => Ok(None),
            }
        })
    }

    /// Fetches a document or a blob by its digest from the first place that has its bytes.
    fn beside_by_digest<F>(
        &self,
        descriptor: &Descriptor,
        ask: impl Fn(Arc<Registry>) -> F + Send + Sync + 'static,
    ) -> Result<Vec<u8>, PullError>
    where
        F: Future<Output = Result<Vec<u8>, PullError>> + Send + 'static,
    {
        let what = format!("blob {}", descriptor.digest);
        self.check_policy(&what)?;
        let (endpoints, descriptor) = (Arc::clone(&self.endpoints), descriptor.clone());
        self.background.run(async move {
            let ask = |registry: Arc<Registry>| {
                let (answer, descriptor) = (ask(Arc::clone(&registry)), &descriptor);
                async move {
                    let bytes = answer.await?;
                    descriptor.check(&bytes, registry.host()).map(|()| bytes)
                }
            };
            endpoints.first_answer(&what, ask).await.map(|(_, bytes)| bytes)
        })
    }
}

/// Returns the list under the tag that stands for the referrers of `digest`.
async fn referrers_by_tag(registry: &Registry, digest: &Digest) -> Result<Option<Vec<u8>>, PullError> {
    match referrers_tag(digest) {
        Some(tag) => registry.companion(&tag).await,
        None => Ok(None),
    }
}

/// Returns the entries of all pages of a list of referrers.
fn entries(pages: &[Vec<u8>], budget: &Budget, what: &str) -> Result<Vec<Descriptor>, PullError> {
    let mut found = Vec::new();
    for page in pages {
        let index = ImageIndex::parse_within(page, budget).map_err(PullError::document(what))?;
        found.extend(index.manifests.into_iter().chain(index.vague));
    }
    Ok(found)
}

impl Companions for Remote {
    fn tagged(&self, tag: &str) -> Result<Option<Vec<u8>>, PullError> {
        let name = tag.to_owned();
        self.fetcher.beside(&format!("manifest {tag}"), move |registry| {
            let name = name.clone();
            async move { registry.companion(&name).await }
        })
    }

    fn referrers(&self, digest: &Digest) -> Result<Referrers, PullError> {
        let what = format!("list of referrers of {digest}");
        let (wanted, budget, named) = (digest.clone(), self.options.budget.clone(), what.clone());
        let found = self.fetcher.beside(&what, move |registry| {
            let (wanted, budget, what) = (wanted.clone(), budget.clone(), named.clone());
            async move {
                let (pages, place) = match registry.referrers(&wanted).await? {
                    Some(pages) => (pages, SignaturePlace::Referrers),
                    None => {
                        let page = referrers_by_tag(&registry, &wanted).await?;
                        (page.into_iter().collect(), SignaturePlace::ReferrersTag)
                    }
                };
                let manifests = entries(&pages, &budget, &what)?;
                // A mirror that has none may lack those of its origin.
                Ok((!manifests.is_empty()).then_some(Referrers { manifests, found_by: Some(place) }))
            }
        })?;
        Ok(found.unwrap_or_default())
    }

    fn companion_manifest(&self, descriptor: &Descriptor) -> Result<Vec<u8>, PullError> {
        let digest = descriptor.digest.clone();
        self.fetcher.beside_by_digest(descriptor, move |registry| {
            let digest = digest.clone();
            async move {
                let bytes = registry.companion(&digest.to_string()).await?;
                bytes.ok_or_else(|| PullError::Mismatch {
                    digest,
                    origin: registry.host().to_owned(),
                    reason: "it is missing".to_owned(),
                })
            }
        })
    }

    fn companion_blob(&self, descriptor: &Descriptor, cap: Cap) -> Result<Vec<u8>, PullError> {
        if let Some(bytes) = descriptor.embedded()? {
            return Ok(bytes);
        }
        let digest = descriptor.digest.clone();
        self.fetcher.beside_by_digest(descriptor, move |registry| {
            let digest = digest.clone();
            async move { registry.companion_blob(&digest, cap).await }
        })
    }
}
