//! Images of a registry, through the cache.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use banger_tree::Budget;
use tokio::sync::Semaphore;

use super::{Document, ImageSource, Root};
use crate::digest::Digest;
use crate::reference::RegistryReference;
use crate::registry::background::Background;
use crate::registry::cache::{BlobCache, DamagedBlobs, SmallBlob, Watch};
use crate::registry::cap::Cap;
use crate::registry::download::Download;
use crate::registry::engine::Engine;
use crate::registry::error::PullError;
use crate::registry::event::{Progress, PullEvent};
use crate::registry::layer::{Content, Layer, Stored};
use crate::registry::logins::Login;
use crate::registry::manifest::Descriptor;
use crate::registry::options::PullOptions;
use crate::registry::repository::{Answer, Registry};
use crate::registry::stop::PullStop;
use crate::registry::transfer::{BlobOrigin, FinishGuard, Transfers};

/// A repository of a registry behind the cache.
#[derive(Debug)]
pub(crate) struct Remote {
    reference: RegistryReference,
    options: PullOptions,
    fetcher: Fetcher,
}

/// Fetches blobs into the cache.
#[derive(Debug)]
pub(crate) struct Fetcher {
    registry: Arc<Registry>,
    cache: BlobCache,
    progress: Progress,
    jobs: usize,
    budget: Budget,
    damaged: DamagedBlobs,
    login: Arc<Login>,
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
            origin: BlobOrigin::Registry(Arc::clone(&self.registry)),
            cache: self.cache.clone(),
            progress: self.progress.clone(),
            cancel: self.background.stop.clone(),
            jobs: Arc::new(Semaphore::new(self.jobs.max(1))),
            downloads: Arc::clone(&self.downloads),
            budget: self.budget.clone(),
            damaged: self.damaged.clone(),
        };
        self.background.download(transfers, downloads);
    }

    fn manifest(&self, name: String, expected: Option<Digest>) -> Result<Answer, PullError> {
        let registry = Arc::clone(&self.registry);
        self.background.run(async move { registry.manifest(&name, expected.as_ref()).await })
    }

    fn tag_digest(&self, tag: &str) -> Result<Option<Digest>, PullError> {
        let (registry, tag) = (Arc::clone(&self.registry), tag.to_owned());
        self.background.run(async move { registry.tag_digest(&tag).await })
    }

    fn config(&self, digest: Digest, cap: Cap) -> Result<Vec<u8>, PullError> {
        let registry = Arc::clone(&self.registry);
        self.background.run(async move {
            registry.small_blob(&digest, cap, &format!("image configuration {digest}")).await
        })
    }

    /// An error as it may be shown.
    pub(crate) fn shown(&self, error: PullError) -> PullError {
        self.login.secrets.hide_in_error(error)
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
                    let download = Download::new(layer.descriptor.clone());
                    downloads.push(FinishGuard(Arc::clone(&download)));
                    fresh.insert(digest.clone(), Content::Download(download));
                }
                // The bytes of an earlier download were wrong, and are right now.
                Content::Download(download) if download.was_resumed() => {
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
        let (login, damaged) = (engine.connections.logins.login(reference, options), DamagedBlobs::default());
        let progress = {
            let (progress, login, damaged) = (progress.clone(), Arc::clone(&login), damaged.clone());
            Progress::new(move |event| {
                if let PullEvent::CacheDamaged { digest } = &event {
                    damaged.note(digest);
                }
                progress.emit(login.secrets.hide_in_event(event));
            })
        };
        let registry = Registry::new(
            reference.clone(),
            options.clone(),
            progress.clone(),
            stop.clone(),
            Arc::clone(&engine.connections),
            Arc::clone(&login),
        );
        let fetcher = Fetcher {
            registry: Arc::new(registry),
            cache: cache.clone(),
            progress,
            jobs: options.jobs,
            // Addresses are charged here and nowhere else, and anew for each pull.
            budget: options.budget.renewed(),
            damaged,
            login,
            downloads: Arc::clone(&engine.downloads),
            background,
        };
        Ok(Self { reference: reference.clone(), options: options.clone(), fetcher })
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

    fn document_by_digest(&self, digest: &Digest) -> Result<Document, PullError> {
        if let Some(bytes) = self.cached(digest, self.options.max_manifest_bytes)? {
            return Ok(Document { digest: digest.clone(), bytes, media_type: None });
        }
        let answer = self
            .fetcher
            .manifest(digest.to_string(), Some(digest.clone()))
            .map_err(|error| self.explain(error, digest))?;
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
    fn document_by_tag(&self, tag: &str, expected: Option<&Digest>) -> Result<Document, PullError> {
        let answer = self.fetcher.manifest(tag.to_owned(), expected.cloned())?;
        self.keep(&answer.digest, &answer.bytes)?;
        Ok(Document { digest: answer.digest, bytes: answer.bytes, media_type: answer.media_type })
    }
}

impl ImageSource for Remote {
    fn root(&self) -> Result<Root, PullError> {
        if let Some(digest) = self.reference.digest() {
            let document = match (self.document_by_digest(digest), self.reference.tag()) {
                (Err(error), Some(tag)) if is_refusal(&error) => {
                    // The first answer says more where the tag has moved on.
                    self.document_by_tag(tag, Some(digest)).map_err(|_| error)
                }
                (document, _) => document,
            };
            return document.map(Root::Document);
        }
        let tag = self.reference.tag().unwrap_or("latest");
        if let Some(digest) = self.fetcher.tag_digest(tag)? {
            match self.document_by_digest(&digest) {
                // The digest that it gave is not one that it gives by: it may give by the tag.
                Err(error) if is_refusal(&error) => {}
                document => return document.map(Root::Document),
            }
        }
        self.document_by_tag(tag, None).map(Root::Document)
    }

    fn document(&self, descriptor: &Descriptor) -> Result<Document, PullError> {
        if let Some(bytes) = descriptor.embedded()? {
            self.keep(&descriptor.digest, &bytes)?;
        }
        self.document_by_digest(&descriptor.digest)
    }

    fn config(&self, descriptor: &Descriptor) -> Result<Vec<u8>, PullError> {
        if let Some(bytes) = descriptor.embedded()? {
            self.keep(&descriptor.digest, &bytes)?;
            return Ok(bytes);
        }
        if let Some(bytes) = self.cached(&descriptor.digest, self.options.max_config_bytes)? {
            return Ok(bytes);
        }
        let bytes = self
            .fetcher
            .config(descriptor.digest.clone(), self.options.config_cap())
            .and_then(|bytes| descriptor.check(&bytes, self.reference.registry()).map(|()| bytes))
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

    fn shown(&self, error: PullError) -> PullError {
        self.fetcher.shown(error)
    }

    fn keep(self: Box<Self>) -> Option<Arc<Fetcher>> {
        Some(Arc::new(self.fetcher))
    }
}
