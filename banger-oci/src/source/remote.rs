//! Images of a registry, through the cache.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::runtime::Runtime;
use tokio::sync::Semaphore;

use super::{Document, ImageSource, Root};
use crate::cache::{BlobCache, CachedBlob, SmallBlob};
use crate::digest::Digest;
use crate::download::Download;
use crate::error::PullError;
use crate::event::{CancelToken, Progress, PullEvent};
use crate::layer::{Content, Stored};
use crate::manifest::Descriptor;
use crate::options::PullOptions;
use crate::reference::RegistryReference;
use crate::registry::Registry;
use crate::transfer::{FinishGuard, Transfers};

/// Threads for downloads; these hash and write between waits.
const WORKERS: usize = 2;
/// How long running downloads get to notice that nobody wants them any more.
const SHUTDOWN: std::time::Duration = std::time::Duration::from_secs(2);

/// The downloads of a pull. Dropping it stops them.
#[derive(Debug)]
pub(crate) struct Background {
    runtime: Option<Runtime>,
    /// Blobs that must not be pruned.
    _held: Vec<CachedBlob>,
}

impl Drop for Background {
    fn drop(&mut self) {
        let Some(runtime) = self.runtime.take() else {
            return;
        };
        if tokio::runtime::Handle::try_current().is_ok() {
            // Waiting is not allowed on a thread of another runtime.
            runtime.shutdown_background();
        } else {
            runtime.shutdown_timeout(SHUTDOWN);
        }
    }
}

/// A repository of a registry behind the cache.
#[derive(Debug)]
pub(crate) struct Remote {
    reference: RegistryReference,
    registry: Arc<Registry>,
    cache: BlobCache,
    options: PullOptions,
    progress: Progress,
    cancel: CancelToken,
    runtime: Runtime,
    held: Mutex<Vec<CachedBlob>>,
}

impl Remote {
    pub(crate) fn new(
        reference: &RegistryReference,
        cache: &BlobCache,
        options: &PullOptions,
        progress: &Progress,
        cancel: &CancelToken,
    ) -> Result<Self, PullError> {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(WORKERS)
            .thread_name("banger-pull")
            .enable_all()
            .build()
            .map_err(|error| PullError::Environment {
                reason: format!("cannot start threads for downloads: {error}"),
            })?;
        let registry = Registry::new(reference.clone(), options.clone(), progress.clone(), cancel.clone());
        Ok(Self {
            reference: reference.clone(),
            registry: Arc::new(registry),
            cache: cache.clone(),
            options: options.clone(),
            progress: progress.clone(),
            cancel: cancel.clone(),
            runtime,
            held: Mutex::default(),
        })
    }

    fn hold(&self, blob: CachedBlob) {
        self.held.lock().unwrap_or_else(PoisonError::into_inner).push(blob);
    }

    /// A small blob of the cache; what is damaged there is fetched again.
    fn cached(&self, digest: &Digest, limit_bytes: u64) -> Result<Option<Vec<u8>>, PullError> {
        match self.cache.read_small(digest, limit_bytes)? {
            SmallBlob::Present(bytes, blob) => {
                self.hold(blob);
                Ok(Some(bytes))
            }
            SmallBlob::Absent => Ok(None),
            SmallBlob::Damaged => {
                self.progress.emit(PullEvent::CacheDamaged { digest: digest.clone() });
                Ok(None)
            }
        }
    }

    fn keep(&self, digest: &Digest, bytes: &[u8]) -> Result<(), PullError> {
        self.cache.put_small(digest, bytes)?;
        if let Some(blob) = self.cache.get(digest)? {
            self.hold(blob);
        }
        Ok(())
    }

    fn document_by_digest(&self, digest: &Digest) -> Result<Document, PullError> {
        if let Some(bytes) = self.cached(digest, self.options.max_manifest_bytes)? {
            return Ok(Document { digest: digest.clone(), bytes, media_type: None });
        }
        let answer = self.runtime.block_on(self.registry.manifest(&digest.to_string(), Some(digest)))?;
        self.keep(&answer.digest, &answer.bytes)?;
        Ok(Document { digest: answer.digest, bytes: answer.bytes, media_type: answer.media_type })
    }

    /// A layer that is there already.
    fn stored(&self, descriptor: &Descriptor) -> Result<Option<Content>, PullError> {
        if let Some(bytes) = descriptor.embedded()? {
            self.cache.put_small(&descriptor.digest, &bytes)?;
        }
        let Some(blob) = self.cache.get(&descriptor.digest)? else {
            return Ok(None);
        };
        if blob.len != descriptor.size {
            blob.remove()?;
            let event = PullEvent::CacheDamaged { digest: descriptor.digest.clone() };
            self.progress.emit(event);
            return Ok(None);
        }
        self.progress
            .emit(PullEvent::LayerCached { digest: descriptor.digest.clone(), size_bytes: descriptor.size });
        let path = blob.path.clone();
        let stored = Stored::cached(blob).map_err(PullError::io("open", &path))?;
        Ok(Some(Content::Stored(Arc::new(stored))))
    }
}

impl ImageSource for Remote {
    fn root(&self) -> Result<Root, PullError> {
        if let Some(digest) = self.reference.digest() {
            return self.document_by_digest(digest).map(Root::Document);
        }
        let tag = self.reference.tag().unwrap_or("latest");
        if let Some(digest) = self.runtime.block_on(self.registry.tag_digest(tag))? {
            match self.document_by_digest(&digest) {
                // The digest that it gave is not one that it has: it may have the tag.
                Err(PullError::Status { status: 404, .. }) => {}
                document => return document.map(Root::Document),
            }
        }
        let answer = self.runtime.block_on(self.registry.manifest(tag, None))?;
        self.keep(&answer.digest, &answer.bytes)?;
        Ok(Root::Document(Document {
            digest: answer.digest,
            bytes: answer.bytes,
            media_type: answer.media_type,
        }))
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
        let what = format!("image configuration {}", descriptor.digest);
        let cap = self.options.config_cap();
        let bytes = self.runtime.block_on(self.registry.small_blob(&descriptor.digest, cap, &what))?;
        descriptor.check(&bytes, self.reference.registry())?;
        self.keep(&descriptor.digest, &bytes)?;
        Ok(bytes)
    }

    fn layers(&self, descriptors: &[Descriptor]) -> Result<Vec<Content>, PullError> {
        let mut known: HashMap<&Digest, Content> = HashMap::new();
        let mut downloads = Vec::new();
        let mut contents = Vec::new();
        for descriptor in descriptors {
            let content = match known.get(&descriptor.digest) {
                // The same layer twice, such as an empty one.
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
        if !downloads.is_empty() {
            let transfers = Transfers {
                registry: Arc::clone(&self.registry),
                cache: self.cache.clone(),
                progress: self.progress.clone(),
                cancel: self.cancel.clone(),
                jobs: Arc::new(Semaphore::new(self.options.jobs.max(1))),
            };
            self.runtime.spawn(transfers.run(downloads));
        }
        Ok(contents)
    }

    fn keep(self: Box<Self>) -> Option<Arc<Background>> {
        Some(Arc::new(Background {
            runtime: Some(self.runtime),
            _held: self.held.into_inner().unwrap_or_else(PoisonError::into_inner),
        }))
    }
}
