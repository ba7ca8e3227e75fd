//! A push to a repository of a registry: all blobs, then the manifest.

use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex, PoisonError};

use super::chunks::UploadMode;
use super::error::PushError;
use super::manifest_upload::ManifestUpload;
use super::plan::{PushPlan, PushTally};
use super::target::{FoundBlob, PushRepository};
use super::workers::Workers;
use crate::reference::RegistryReference;
use crate::registry::attempt::{Attempts, FailedAttempt};
use crate::registry::background::Background;
use crate::registry::endpoints::Endpoints;
use crate::registry::engine::Engine;
use crate::registry::error::PullError;
use crate::registry::event::{Progress, PullEvent};
use crate::registry::jobs::Jobs;
use crate::registry::manifest::Descriptor;
use crate::registry::options::PullOptions;
use crate::registry::registries::{Endpoint, RegistriesConfig};
use crate::registry::repository_use::RepositoryUse;
use crate::registry::trace::trace;

/// Sends an artifact to a registry.
pub(super) fn push(
    engine: &Arc<Engine>,
    target: &RegistryReference,
    plan: &PushPlan<'_>,
    options: &PullOptions,
    progress: &Progress,
    workers: &Workers<'_>,
    tally: &PushTally,
) -> Result<(), PushError> {
    let place = place_of(&options.registries, target)?;
    let mount_from = match plan.artifact.mount_from {
        Some(source) => mount_source(&options.registries, source, &place)?,
        None => None,
    };
    let mut options = options.clone();
    options.repository_use = RepositoryUse::Push { mount_from: mount_from.clone() };
    let endpoints = Endpoints::new(vec![place], &options, progress, workers.stop, &engine.connections);
    let Some(registry) = endpoints.in_order().next().cloned() else {
        return Err(PullError::Environment { reason: "the push has no target".to_owned() }.into());
    };
    let reference = registry.reference();
    let name = match (reference.tag(), reference.digest()) {
        (Some(tag), _) => tag.to_owned(),
        (None, _) => plan.digest.to_string(),
    };
    let repository = Arc::new(PushRepository {
        registry: Arc::clone(&registry),
        progress: endpoints.progress().clone(),
        mount_from,
        can_mount: AtomicBool::new(true),
        mode: UploadMode::default(),
    });
    let push = RegistryPush {
        background: Background::start(engine, workers.stop, options.max_time)?,
        jobs: Jobs::new(workers.threads, &engine.downloads),
        repository,
        plan,
        workers,
        tally,
    };
    let manifest = ManifestUpload {
        name,
        media_type: plan.media_type.to_owned(),
        digest: plan.digest.clone(),
        bytes: plan.manifest.clone(),
    };
    push.run(manifest).map_err(|mut error| {
        endpoints.hide_in_texts(error.foreign_texts());
        error
    })
}

/// The place of a repository. Mirrors take no pushes.
pub(super) fn place_of(
    registries: &RegistriesConfig,
    reference: &RegistryReference,
) -> Result<Endpoint, PullError> {
    let mut meanings = registries.meanings(reference)?;
    let meaning = match (meanings.pop(), meanings.len()) {
        (Some(meaning), 0) => meaning,
        _ => {
            return Err(PullError::ShortName {
                name: reference.short_name().unwrap_or_default().to_owned(),
                reason: "a push goes to one registry, and several are searched".to_owned(),
            });
        }
    };
    Ok(registries.places(&meaning)?.pop().unwrap_or_else(|| Endpoint::of(&meaning)))
}

/// The repository of `source`, if it is another one of the registry of `place`.
fn mount_source(
    registries: &RegistriesConfig,
    source: &RegistryReference,
    place: &Endpoint,
) -> Result<Option<String>, PullError> {
    let source = place_of(registries, source)?.reference;
    let is_beside = source.registry() == place.reference.registry()
        && source.repository() != place.reference.repository();
    Ok(is_beside.then(|| source.repository().to_owned()))
}

/// Returns whether a registry refuses a manifest because of a blob.
fn says_unknown_blob(error: &PullError) -> bool {
    matches!(error, PullError::Status { detail, .. } if detail.contains("BLOB_UNKNOWN"))
}

/// A push that runs.
struct RegistryPush<'a> {
    background: Background,
    jobs: Jobs,
    repository: Arc<PushRepository>,
    plan: &'a PushPlan<'a>,
    workers: &'a Workers<'a>,
    tally: &'a PushTally,
}

impl RegistryPush<'_> {
    fn run(&self, manifest: ManifestUpload) -> Result<(), PushError> {
        self.workers.each(&self.plan.blobs, |_, blob| self.blob(blob))?;
        let mut attempts = Attempts::default();
        let mut is_sent_again = false;
        loop {
            let Err(error) = self.put(&manifest)? else { return Ok(()) };
            trace!(
                WARN,
                reason = error.to_string().as_str(),
                "the manifest is refused; the blobs are looked for"
            );
            // A registry may have removed a blob that it had a moment ago, or have lost one.
            let missing = self.missing()?;
            match (missing.first(), error) {
                (Some(blob), PullError::Status { host, detail, .. }) if is_sent_again => {
                    return Err(PushError::BlobLost { host, digest: blob.digest.clone(), detail });
                }
                (Some(_), _) => {
                    self.workers.each(&missing, |_, blob| self.upload_again(blob))?;
                    is_sent_again = true;
                }
                (None, error) if says_unknown_blob(&error) => attempts = self.pause(attempts, error)?,
                (None, error) => return Err(self.refused(error)),
            }
        }
    }

    /// Waits before the next attempt at the manifest: docker-registry takes a blob for unknown while another push of
    /// the same blob ends.
    fn pause(&self, mut attempts: Attempts, error: PullError) -> Result<Attempts, PushError> {
        let repository = Arc::clone(&self.repository);
        self.background.run(async move {
            let reason = "the registry does not know a blob that it has".to_owned();
            let failure = FailedAttempt::Transient { reason, after: None, error };
            repository.pause(&mut attempts, "the manifest", failure).await?;
            Ok(attempts)
        })
    }

    /// Brings one blob to the registry.
    fn blob(&self, blob: &Descriptor) -> Result<(), PushError> {
        let (digest, size_bytes) = (blob.digest.clone(), blob.size);
        let found = self.network({
            let (repository, digest) = (Arc::clone(&self.repository), digest.clone());
            async move { repository.find(&digest).await }
        })?;
        let mounted = match found {
            FoundBlob::Present => false,
            FoundBlob::Mounted => true,
            FoundBlob::Missing(session) => {
                let bytes = self.plan.read(blob, self.workers.stop)?;
                let progress = &self.repository.progress;
                progress.emit(PullEvent::UploadStarted { digest: digest.clone(), size_bytes });
                self.network({
                    let (repository, digest) = (Arc::clone(&self.repository), digest.clone());
                    async move { repository.send(&digest, &bytes, session).await }
                })?;
                trace!(DEBUG, digest = digest.to_string().as_str(), size_bytes, "a blob was sent");
                progress.emit(PullEvent::UploadDone { digest });
                self.tally.note_sent(blob);
                return Ok(());
            }
        };
        match mounted {
            true => self.tally.note_mounted(),
            false => self.tally.note_present(),
        }
        self.repository.progress.emit(PullEvent::BlobPresent { digest, size_bytes, mounted });
        Ok(())
    }

    /// Sends a blob that the registry lost.
    fn upload_again(&self, blob: &Descriptor) -> Result<(), PushError> {
        let repository = Arc::clone(&self.repository);
        let bytes = self.plan.read(blob, self.workers.stop)?;
        let digest = blob.digest.clone();
        self.network(async move {
            match repository.open(&digest, false).await? {
                FoundBlob::Missing(session) => repository.send(&digest, &bytes, session).await,
                FoundBlob::Present | FoundBlob::Mounted => Ok(()),
            }
        })?;
        self.tally.note_sent(blob);
        Ok(())
    }

    /// The blobs that the registry does not have.
    fn missing(&self) -> Result<Vec<&Descriptor>, PushError> {
        let missing = Mutex::new(Vec::new());
        self.workers.each(&self.plan.blobs, |at, blob| {
            let (repository, digest) = (Arc::clone(&self.repository), blob.digest.clone());
            if !self.network(async move { repository.has(&digest).await })? {
                missing.lock().unwrap_or_else(PoisonError::into_inner).push(at);
            }
            Ok(())
        })?;
        let mut missing = missing.into_inner().unwrap_or_else(PoisonError::into_inner);
        missing.sort_unstable();
        Ok(missing.into_iter().map(|at| self.plan.blobs[at]).collect())
    }

    fn put(&self, manifest: &ManifestUpload) -> Result<Result<(), PullError>, PushError> {
        let (repository, manifest) = (Arc::clone(&self.repository), manifest.clone());
        self.network(async move { repository.put_manifest(&manifest).await })
    }

    fn refused(&self, error: PullError) -> PushError {
        match error {
            error @ PullError::Status { status: 404, .. } => self.repository.no_pushes(error),
            error => self.repository.told(error),
        }
    }

    /// Runs requests as one of the transfers of all pulls and pushes, and waits for their end.
    fn network<T: Send + 'static>(
        &self,
        work: impl Future<Output = Result<T, PushError>> + Send + 'static,
    ) -> Result<T, PushError> {
        let (jobs, stop) = (self.jobs.clone(), self.workers.stop.clone());
        self.background.run(async move {
            // Not while the blob is made: that may need a pull.
            let _permit = jobs.wait(&stop).await?;
            work.await
        })
    }
}
