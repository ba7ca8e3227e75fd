//! The place that an artifact was pushed to, and what lies beside it there. Mirrors are not asked: they may be older.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use camino::Utf8Path;

use crate::digest::Digest;
use crate::reference::{Reference, RegistryReference, Selector};
use crate::registry::background::Background;
use crate::registry::endpoints::Endpoints;
use crate::registry::engine::Engine;
use crate::registry::error::PullError;
use crate::registry::event::Progress;
use crate::registry::manifest::ImageIndex;
use crate::registry::options::PullOptions;
use crate::registry::push::chunks::UploadMode;
use crate::registry::push::error::PushError;
use crate::registry::push::manifest_upload::ManifestUpload;
use crate::registry::push::target::PushRepository;
use crate::registry::push::to_registry::place_of;
use crate::registry::repository::Registry;
use crate::registry::repository_use::RepositoryUse;
use crate::registry::source::{DirFiles, Layout};
use crate::registry::stop::PullStop;
use crate::registry::trust::companions::Companions as _;

/// A place that can have documents beside an artifact.
#[derive(Debug)]
pub(super) enum PushPlace<'a> {
    Registry(Box<RepositoryPlace<'a>>),
    Layout { dir: &'a Utf8Path, layout: Box<Layout<DirFiles>> },
}

/// The repository of a push.
#[derive(Debug)]
pub(super) struct RepositoryPlace<'a> {
    target: &'a RegistryReference,
    registry: Arc<Registry>,
    endpoints: Endpoints,
    background: Background,
    options: PullOptions,
}

impl<'a> PushPlace<'a> {
    /// Opens the place of a target; `None` if nothing can be added there.
    pub(super) fn open(
        engine: &Arc<Engine>,
        target: &'a Reference,
        options: &PullOptions,
        progress: &Progress,
        stop: &PullStop,
    ) -> Result<Option<Self>, PushError> {
        stop.check()?;
        Ok(match target {
            Reference::Registry(target) => {
                let place = place_of(&options.registries, target)?;
                let mut options = options.clone();
                options.repository_use = RepositoryUse::Push { mount_from: None };
                let endpoints = Endpoints::new(vec![place], &options, progress, stop, &engine.connections);
                let registry = endpoints.in_order().next().cloned();
                let background = Background::start(engine, stop, options.max_time)?;
                registry.map(|registry| {
                    Self::Registry(Box::new(RepositoryPlace {
                        target,
                        registry,
                        endpoints,
                        background,
                        options,
                    }))
                })
            }
            Reference::OciLayout { dir, .. } => {
                let layout = Layout::new(DirFiles(dir.clone()), &Selector::Only, options, progress);
                Some(Self::Layout { dir, layout: Box::new(layout) })
            }
            _ => None,
        })
    }

    /// Returns the reference of a tag at this place.
    pub(super) fn tag_reference(&self, tag: &str) -> Reference {
        match self {
            Self::Registry(place) => Reference::Registry(place.target.with_tag(tag)),
            Self::Layout { dir, .. } => {
                Reference::OciLayout { dir: (*dir).to_owned(), selector: Selector::Name(tag.to_owned()) }
            }
        }
    }

    /// Returns the reference of a digest at this place.
    pub(super) fn digest_reference(&self, digest: &Digest) -> Reference {
        match self {
            Self::Registry(place) => Reference::Registry(place.target.with_digest(digest)),
            Self::Layout { dir, .. } => {
                Reference::OciLayout { dir: (*dir).to_owned(), selector: Selector::Digest(digest.clone()) }
            }
        }
    }

    /// Returns the document under a tag; `None` if the tag does not exist.
    pub(super) fn tagged(&self, tag: &str) -> Result<Option<Vec<u8>>, PushError> {
        match self {
            Self::Layout { layout, .. } => Ok(layout.tagged(tag)?),
            Self::Registry(place) => {
                let tag = tag.to_owned();
                place.ask(|registry| async move { registry.companion(&tag).await })
            }
        }
    }

    /// Returns whether the place itself lists `referrer` among those that refer to `subject`.
    pub(super) fn lists(&self, subject: &Digest, referrer: &Digest) -> Result<bool, PushError> {
        // Readers look at each entry of a layout.
        let Self::Registry(place) = self else { return Ok(true) };
        let wanted = subject.clone();
        let pages = place.ask(|registry| async move { registry.referrers(&wanted).await })?;
        for page in pages.unwrap_or_default() {
            let what = format!("the list of referrers of {subject}");
            let index = ImageIndex::parse_within(&page, &place.options.budget.renewed())
                .map_err(PullError::document(what))?;
            if index.manifests.iter().chain(&index.vague).any(|entry| entry.digest == *referrer) {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Puts a document without blobs under a tag of a repository.
    pub(super) fn put_document(&self, document: ManifestUpload) -> Result<(), PushError> {
        let Self::Registry(place) = self else { return Ok(()) };
        let repository = PushRepository {
            registry: Arc::clone(&place.registry),
            progress: place.endpoints.progress().clone(),
            mount_from: None,
            can_mount: AtomicBool::new(false),
            mode: UploadMode::default(),
        };
        let put = place.background.run(async move {
            let answer = repository.put_manifest(&document).await?;
            answer.map_err(|error| repository.told(error))
        });
        put.map_err(|error| place.shown(error))
    }
}

impl RepositoryPlace<'_> {
    /// Asks the registry, and waits for its answer.
    fn ask<T, F>(&self, ask: impl FnOnce(Arc<Registry>) -> F) -> Result<T, PushError>
    where
        T: Send + 'static,
        F: Future<Output = Result<T, PullError>> + Send + 'static,
    {
        let answer = self.background.run(ask(Arc::clone(&self.registry)));
        answer.map_err(|error: PullError| self.shown(error.into()))
    }

    /// Hides credentials in an error.
    fn shown(&self, mut error: PushError) -> PushError {
        self.endpoints.hide_in_texts(error.foreign_texts());
        error
    }
}
