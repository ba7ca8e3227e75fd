//! Images of a registry, through the cache.

use std::cell::OnceCell;
use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use banger_tree::Budget;
use tokio::sync::Semaphore;

use super::{Document, ImageSource, Root};
use crate::digest::Digest;
use crate::reference::{Reference, RegistryReference};
use crate::registry::background::Background;
use crate::registry::cache::{BlobCache, DamagedBlobs, SmallBlob, Watch};
use crate::registry::cap::Cap;
use crate::registry::download::Download;
use crate::registry::endpoints::Endpoints;
use crate::registry::engine::Engine;
use crate::registry::error::PullError;
use crate::registry::event::{Progress, PullEvent};
use crate::registry::jobs::Jobs;
use crate::registry::layer::{Content, Layer, Stored};
use crate::registry::manifest::Descriptor;
use crate::registry::options::PullOptions;
use crate::registry::policy::PullPolicy;
use crate::registry::repository::{Answer, Registry};
use crate::registry::stop::PullStop;
use crate::registry::transfer::{BlobOrigin, FinishGuard, Transfers};
use crate::registry::trust::companions::Companions;

mod companions;

/// A repository of a registry behind the cache.
#[derive(Debug)]
pub(crate) struct Remote {
    reference: RegistryReference,
    /// The meaning of a short name, when it is known.
    resolved: OnceCell<RegistryReference>,
    options: PullOptions,
    fetcher: Fetcher,
}

/// Fetches blobs into the cache.
#[derive(Debug)]
pub(crate) struct Fetcher {
    endpoints: Arc<Endpoints>,
    policy: PullPolicy,
    cache: BlobCache,
    progress: Progress,
    jobs: usize,
    budget: Budget,
    damaged: DamagedBlobs,
    downloads: Arc<Semaphore>,
    background: Background,
}

impl Fetcher {
    fn watch(&self) -> Watch<'_> {
        Watch { progress: &self.progress, cancel: &self.background.stop }
    }

    /// Starts the download of layers that are not in the cache.
    fn download(&self, downloads: Vec<FinishGuard>) {
        let transfers = Transfers {
            origin: BlobOrigin::Registry(Arc::clone(&self.endpoints)),
            cache: self.cache.clone(),
            progress: self.progress.clone(),
            cancel: self.background.stop.clone(),
            jobs: Jobs::new(self.jobs, &self.downloads),
            budget: self.budget.clone(),
            damaged: self.damaged.clone(),
        };
        self.background.download(transfers, downloads);
    }

    fn manifest(
        &self,
        registry: &Arc<Registry>,
        name: String,
        expected: Option<Digest>,
    ) -> Result<Answer, PullError> {
        let registry = Arc::clone(registry);
        self.background.run(async move { registry.manifest(&name, expected.as_ref()).await })
    }

    /// Fetches a manifest by its digest from the first place that has it.
    fn manifest_anywhere(&self, digest: &Digest) -> Result<Answer, PullError> {
        let (endpoints, digest) = (Arc::clone(&self.endpoints), digest.clone());
        let what = format!("manifest {digest}");
        self.background.run(async move {
            let ask = |registry: Arc<Registry>| {
                let digest = digest.clone();
                async move { registry.manifest(&digest.to_string(), Some(&digest)).await }
            };
            let found = endpoints.first_answer(&what, ask).await;
            found.map(|(_, answer)| answer)
        })
    }

    fn tag_digest(&self, registry: &Arc<Registry>, tag: &str) -> Result<Option<Digest>, PullError> {
        let (registry, tag) = (Arc::clone(registry), tag.to_owned());
        self.background.run(async move { registry.tag_digest(&tag).await })
    }

    /// Fetches a configuration from the first place that has its bytes.
    fn config(&self, descriptor: &Descriptor, cap: Cap) -> Result<Vec<u8>, PullError> {
        let (endpoints, descriptor) = (Arc::clone(&self.endpoints), descriptor.clone());
        self.background.run(async move {
            let what = format!("image configuration {}", descriptor.digest);
            let ask = |registry: Arc<Registry>| {
                let (descriptor, what) = (descriptor.clone(), what.clone());
                async move {
                    let bytes = registry.small_blob(&descriptor.digest, cap, &what).await?;
                    descriptor.check(&bytes, registry.host()).map(|()| bytes)
                }
            };
            endpoints.first_answer(&what, ask).await.map(|(_, bytes)| bytes)
        })
    }

    /// Fails if the policy allows no request for `what`.
    fn check_policy(&self, what: &str) -> Result<(), PullError> {
        match self.policy {
            PullPolicy::Never => Err(PullError::NotCached { what: what.to_owned() }),
            PullPolicy::Always | PullPolicy::Missing => Ok(()),
        }
    }

    /// An error as it may be shown.
    pub(crate) fn shown(&self, error: PullError) -> PullError {
        self.endpoints.shown(error)
    }

    /// Checks the layers that came from the cache, and fetches damaged ones again. Returns whether there were
    /// any.
    pub(crate) fn repair(&self, layers: &mut [Layer]) -> Result<bool, PullError> {
        let mut fresh: HashMap<Digest, Content> = HashMap::new();
        let mut checked = HashSet::new();
        let mut downloads = Vec::new();
        let mut found = false;
        for layer in layers.iter() {
            let digest = &layer.descriptor.digest;
            if !checked.insert(digest.clone()) {
                continue;
            }
            match &layer.content {
                Content::Stored(stored) => {
                    if stored.is_sound(digest, &self.background.stop)? {
                        continue;
                    }
                    self.progress.emit(PullEvent::CacheDamaged { digest: digest.clone() });
                    self.check_policy(&format!("a sound copy of layer {digest}"))?;
                    let download = Download::new(layer.descriptor.clone());
                    downloads.push(FinishGuard(Arc::clone(&download)));
                    fresh.insert(digest.clone(), Content::Download(download));
                }
                // Bytes of an earlier download or of another place were wrong, and are right now.
                Content::Download(download) if download.may_roll_back() => {
                    found |= download.wait().is_ok() && download.take_roll_back();
                }
                Content::Download(_) | Content::Streamed(_) => {}
            }
        }
        for layer in layers {
            if let Some(content) = fresh.get(&layer.descriptor.digest) {
                layer.content = content.clone();
            }
        }
        found |= !downloads.is_empty();
        self.download(downloads);
        Ok(found)
    }
}

impl Remote {
    pub(crate) fn new(
        engine: &Engine,
        reference: &RegistryReference,
        cache: &BlobCache,
        options: &PullOptions,
        progress: &Progress,
        stop: &PullStop,
    ) -> Result<Self, PullError> {
        let background = Background::start(engine, stop, options.max_time)?;
        let damaged = DamagedBlobs::default();
        let progress = {
            let (progress, damaged) = (progress.clone(), damaged.clone());
            Progress::new(move |event| {
                if let PullEvent::CacheDamaged { digest } = &event {
                    damaged.note(digest);
                }
                progress.emit(event);
            })
        };
        let mut places = Vec::new();
        for meaning in options.registries.meanings(reference)? {
            places.extend(options.registries.places(&meaning)?);
        }
        let endpoints = Endpoints::new(places, options, &progress, stop, &engine.connections);
        let fetcher = Fetcher {
            progress: endpoints.progress().clone(),
            endpoints: Arc::new(endpoints),
            policy: options.policy,
            cache: cache.clone(),
            jobs: options.jobs,
            // Addresses are charged here and nowhere else, and anew for each pull.
            budget: options.budget.renewed(),
            damaged,
            downloads: Arc::clone(&engine.downloads),
            background,
        };
        Ok(Self {
            reference: reference.clone(),
            resolved: OnceCell::new(),
            options: options.clone(),
            fetcher,
        })
    }

    /// Returns a small blob of the cache; a damaged one is fetched again.
    fn cached(&self, digest: &Digest, limit_bytes: u64) -> Result<Option<Vec<u8>>, PullError> {
        let fetcher = &self.fetcher;
        match fetcher.cache.read_small(digest, limit_bytes, &fetcher.watch())? {
            SmallBlob::Present(bytes, blob) => {
                fetcher.background.hold(blob);
                Ok(Some(bytes))
            }
            SmallBlob::Absent => Ok(None),
            SmallBlob::Damaged => {
                fetcher.progress.emit(PullEvent::CacheDamaged { digest: digest.clone() });
                Ok(None)
            }
        }
    }

    /// The error for a document that is not in the cache and cannot be fetched.
    fn explain(&self, error: PullError, digest: &Digest) -> PullError {
        self.fetcher.damaged.explain(error, digest, &self.fetcher.cache)
    }

    fn keep(&self, digest: &Digest, bytes: &[u8]) -> Result<(), PullError> {
        let fetcher = &self.fetcher;
        fetcher.cache.put_small(digest, bytes)?;
        if let Some(blob) = fetcher.cache.get(digest, &fetcher.watch())? {
            fetcher.background.hold(blob);
        }
        Ok(())
    }

    /// Returns a manifest or an index of the cache.
    fn cached_document(&self, digest: &Digest) -> Result<Option<Document>, PullError> {
        let cached = self.cached(digest, self.options.max_manifest_bytes)?;
        Ok(cached.map(|bytes| Document { digest: digest.clone(), bytes, media_type: None }))
    }

    /// Returns a manifest or an index of the cache, or of `registry`.
    fn document_by_digest(&self, registry: &Arc<Registry>, digest: &Digest) -> Result<Document, PullError> {
        if let Some(document) = self.cached_document(digest)? {
            return Ok(document);
        }
        let answer = self.fetcher.manifest(registry, digest.to_string(), Some(digest.clone()));
        self.kept(answer.map_err(|error| self.explain(error, digest))?)
    }

    /// Keeps a manifest or an index in the cache.
    fn kept(&self, answer: Answer) -> Result<Document, PullError> {
        self.keep(&answer.digest, &answer.bytes)?;
        Ok(Document { digest: answer.digest, bytes: answer.bytes, media_type: answer.media_type })
    }

    /// A layer that is already in the cache.
    fn stored(&self, descriptor: &Descriptor) -> Result<Option<Content>, PullError> {
        let fetcher = &self.fetcher;
        if let Some(bytes) = descriptor.embedded()? {
            fetcher.cache.put_small(&descriptor.digest, &bytes)?;
        }
        let Some(blob) = fetcher.cache.get(&descriptor.digest, &fetcher.watch())? else {
            return Ok(None);
        };
        if blob.len != descriptor.size {
            blob.remove()?;
            let event = PullEvent::CacheDamaged { digest: descriptor.digest.clone() };
            fetcher.progress.emit(event);
            return Ok(None);
        }
        fetcher
            .progress
            .emit(PullEvent::LayerCached { digest: descriptor.digest.clone(), size_bytes: descriptor.size });
        let path = blob.path.clone();
        let stored = Stored::cached(blob).map_err(PullError::io("open", &path))?;
        Ok(Some(Content::Stored(Arc::new(stored))))
    }
}

/// Returns whether a registry may give a manifest by tag that it refuses by digest.
fn is_refusal(error: &PullError) -> bool {
    matches!(
        error,
        PullError::Status { .. } | PullError::UnknownImage { .. } | PullError::Unauthorized { .. }
    )
}

impl Remote {
    /// Returns the manifest of a tag, which must have the digest `expected` if that is given.
    fn document_by_tag(
        &self,
        registry: &Arc<Registry>,
        tag: &str,
        expected: Option<&Digest>,
    ) -> Result<Document, PullError> {
        self.kept(self.fetcher.manifest(registry, tag.to_owned(), expected.cloned())?)
    }

    /// Returns the target of the reference at one place.
    fn root_at(&self, registry: &Arc<Registry>) -> Result<Document, PullError> {
        let reference = registry.reference();
        if let Some(digest) = reference.digest() {
            return match (self.document_by_digest(registry, digest), reference.tag()) {
                (Err(error), Some(tag)) if is_refusal(&error) => {
                    // The first answer says more where the tag has moved on.
                    self.document_by_tag(registry, tag, Some(digest)).map_err(|_| error)
                }
                (document, _) => document,
            };
        }
        let tag = reference.tag().unwrap_or("latest");
        if let Some(digest) = self.fetcher.tag_digest(registry, tag)? {
            match self.document_by_digest(registry, &digest) {
                // The digest that it gave is not one that it gives by: it may give by the tag.
                Err(error) if is_refusal(&error) => {}
                document => return document,
            }
        }
        self.document_by_tag(registry, tag, None)
    }

    /// Returns the target of the reference as the cache has it, if no registry needs to be asked.
    fn cached_root(&self) -> Result<Option<Document>, PullError> {
        for registry in self.fetcher.endpoints.in_order() {
            let meaning = registry.meaning();
            let known = match (meaning.digest(), self.fetcher.policy) {
                (Some(digest), _) => Some(digest.clone()),
                (None, PullPolicy::Always) => None,
                (None, PullPolicy::Missing | PullPolicy::Never) => self.fetcher.cache.tag(meaning)?,
            };
            if let Some(digest) = known
                && let Some(document) = self.cached_document(&digest)?
            {
                let _is_set = self.resolved.set(meaning.clone());
                return Ok(Some(document));
            }
        }
        Ok(None)
    }
}

impl ImageSource for Remote {
    fn root(&self) -> Result<Root, PullError> {
        if let Some(document) = self.cached_root()? {
            return Ok(Root::Document(document));
        }
        let name = format!("image `{}`", self.reference);
        self.fetcher.check_policy(&name)?;
        let endpoints = &self.fetcher.endpoints;
        let mut search = endpoints.search();
        for registry in endpoints.in_order() {
            match self.root_at(registry) {
                Ok(document) => {
                    endpoints.prefer(registry);
                    let meaning = registry.meaning();
                    if meaning.digest().is_none() {
                        self.fetcher.cache.note_tag(meaning, &document.digest)?;
                    }
                    let _is_set = self.resolved.set(meaning.clone());
                    return Ok(Root::Document(document));
                }
                Err(error) => search.note(registry, error)?,
            }
        }
        Err(search.into_error(&name))
    }

    fn resolved(&self) -> Option<Reference> {
        self.resolved.get().cloned().map(Reference::Registry)
    }

    fn document(&self, descriptor: &Descriptor) -> Result<Document, PullError> {
        if let Some(bytes) = descriptor.embedded()? {
            self.keep(&descriptor.digest, &bytes)?;
        }
        let digest = &descriptor.digest;
        if let Some(document) = self.cached_document(digest)? {
            return Ok(document);
        }
        self.fetcher.check_policy(&format!("manifest {digest}"))?;
        let answer = self.fetcher.manifest_anywhere(digest);
        self.kept(answer.map_err(|error| self.explain(error, digest))?)
    }

    fn config(&self, descriptor: &Descriptor) -> Result<Vec<u8>, PullError> {
        if let Some(bytes) = descriptor.embedded()? {
            self.keep(&descriptor.digest, &bytes)?;
            return Ok(bytes);
        }
        if let Some(bytes) = self.cached(&descriptor.digest, self.options.max_config_bytes)? {
            return Ok(bytes);
        }
        self.fetcher.check_policy(&format!("image configuration {}", descriptor.digest))?;
        let bytes = self
            .fetcher
            .config(descriptor, self.options.config_cap())
            .map_err(|error| self.explain(error, &descriptor.digest))?;
        self.keep(&descriptor.digest, &bytes)?;
        Ok(bytes)
    }

    fn layers(&self, descriptors: &[Descriptor]) -> Result<Vec<Content>, PullError> {
        let mut known: HashMap<&Digest, Content> = HashMap::new();
        let mut downloads = Vec::new();
        let mut contents = Vec::new();
        for descriptor in descriptors {
            let content = match known.get(&descriptor.digest) {
                // The same layer twice, for example an empty one.
                Some(content) => content.clone(),
                None => match self.stored(descriptor)? {
                    Some(content) => content,
                    None => {
                        self.fetcher.check_policy(&format!("layer {}", descriptor.digest))?;
                        let download = Download::new(descriptor.clone());
                        downloads.push(FinishGuard(Arc::clone(&download)));
                        Content::Download(download)
                    }
                },
            };
            known.insert(&descriptor.digest, content.clone());
            contents.push(content);
        }
        self.fetcher.download(downloads);
        Ok(contents)
    }

    fn companions(&self) -> Option<&dyn Companions> {
        Some(self)
    }

    fn shown(&self, error: PullError) -> PullError {
        self.fetcher.shown(error)
    }

    fn keep(self: Box<Self>) -> Option<Arc<Fetcher>> {
        Some(Arc::new(self.fetcher))
    }
}
