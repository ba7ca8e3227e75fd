//! Many pulls that share threads, connections, tokens and limits.

use std::sync::Arc;

use banger_tree::Cancellation;

use crate::digest::Digest;
use crate::reference::Reference;
use crate::registry::account::{log_in, log_out};
use crate::registry::artifact::{FoundArtifact, PulledArtifact, find_artifact};
use crate::registry::auth::{Credential, KeptLogin, RemovedLogins};
use crate::registry::cache::BlobCache;
use crate::registry::engine::{Engine, PullerOptions};
use crate::registry::error::PullError;
use crate::registry::event::Progress;
use crate::registry::inspect::{InspectedImage, inspect_image};
use crate::registry::options::PullOptions;
use crate::registry::pull::{PulledImage, find_image};
use crate::registry::push::{
    ArtifactToPush, PushError, PushedArtifact, PushedSignature, SignError, push_artifact, push_referrer,
    sign_artifact,
};
use crate::registry::stop::PullStop;
use crate::registry::trust::SigningKey;
use crate::registry::web_file::{WebFile, WebFileAddress, fetch_web_file};

/// Pulls images. Clones share the threads, the connections, the tokens of registries, and the limits
/// on parallel work; use one for all pulls of a program.
///
/// The threads start with the first pull from a registry, and end when the last clone and the last
/// [`PulledImage`] are dropped.
///
/// ```no_run
/// use banger_oci::{BlobCache, Progress, PullOptions, Puller, PullerOptions};
/// use banger_tree::Cancellation;
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let puller = Puller::new(PullerOptions::default());
/// let cache = BlobCache::open("/var/cache/images")?;
/// let (options, cancellation) = (PullOptions::default(), Cancellation::new());
/// for name in ["debian:bookworm", "alpine"] {
///     let image = puller.pull(&name.parse()?, &cache, &options, &Progress::none(), &cancellation)?;
///     image.finish()?;
/// }
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct Puller(Arc<Engine>);

impl Puller {
    /// Returns a puller with these limits. It starts no thread yet.
    #[must_use]
    pub fn new(options: PullerOptions) -> Self {
        Self(Engine::new(options))
    }

    /// Finds an image and starts its downloads, which go on in the background when this returns.
    ///
    /// A tag is looked up at the registry each time. Content that was fetched before comes from the cache. A
    /// digest with all its content in the cache needs no request at all.
    ///
    /// Blocks the thread. May be called on any thread and from many threads at a time, but not from a handler
    /// of events. On a thread of an async runtime it holds up the tasks of that thread.
    ///
    /// # Errors
    ///
    /// See [`PullError`]. Errors of layers come later, from their readers and from
    /// [`PulledImage::finish`].
    pub fn pull(
        &self,
        reference: &Reference,
        cache: &BlobCache,
        options: &PullOptions,
        progress: &Progress,
        cancellation: &Cancellation,
    ) -> Result<PulledImage, PullError> {
        find_image(&self.0, reference, cache, options, progress, &PullStop::new(cancellation))
    }

    /// Finds an image as [`pull`](Self::pull) does, and fetches its manifest and its configuration only.
    ///
    /// # Errors
    ///
    /// The errors of [`pull`](Self::pull).
    pub fn inspect(
        &self,
        reference: &Reference,
        cache: &BlobCache,
        options: &PullOptions,
        progress: &Progress,
        cancellation: &Cancellation,
    ) -> Result<InspectedImage, PullError> {
        inspect_image(&self.0, reference, cache, options, progress, &PullStop::new(cancellation))
    }

    /// Checks a credential at a registry, `HOST[:PORT][/PATH]`, and keeps it where docker and podman find it, too: in
    /// the files of `options.credentials`, or with the helper that they name.
    ///
    /// The login goes to the first file that knows the registry; else to the first of
    /// [`CredentialSource::Files`](crate::CredentialSource::Files), or for
    /// [`CredentialSource::User`](crate::CredentialSource::User) to `$REGISTRY_AUTH_FILE` or docker's
    /// `config.json`. Blocks the thread, as [`pull`](Self::pull) does.
    ///
    /// # Errors
    ///
    /// The registry refuses the credential or cannot be reached, or a file or a helper cannot be used. Nothing is kept
    /// then.
    pub fn log_in(
        &self,
        registry: &str,
        credential: &Credential,
        options: &PullOptions,
        progress: &Progress,
        cancellation: &Cancellation,
    ) -> Result<KeptLogin, PullError> {
        log_in(&self.0, registry, credential, options, progress, &PullStop::new(cancellation))
    }

    /// Removes the credentials of a registry, or with `None` those of all registries, from the files of
    /// `options.credentials` and the helpers that they name.
    ///
    /// # Errors
    ///
    /// [`PullError::NoCredentials`] if there were none for this registry, or a file or a helper cannot be used.
    pub fn log_out(
        &self,
        registry: Option<&str>,
        options: &PullOptions,
        cancellation: &Cancellation,
    ) -> Result<RemovedLogins, PullError> {
        log_out(&self.0, registry, options, &PullStop::new(cancellation))
    }

    /// Finds an artifact of the type `artifact_type`, for example `application/vnd.example.v1`. Its manifest and
    /// configuration are checked; [`FoundArtifact::fetch`] starts the downloads of its blobs. Returns `None` if the
    /// reference leads to other content, for example an image.
    ///
    /// # Errors
    ///
    /// The errors of [`pull`](Self::pull).
    pub fn find_artifact(
        &self,
        reference: &Reference,
        artifact_type: &str,
        cache: &BlobCache,
        options: &PullOptions,
        progress: &Progress,
        cancellation: &Cancellation,
    ) -> Result<Option<FoundArtifact>, PullError> {
        find_artifact(&self.0, reference, artifact_type, cache, options, progress, cancellation)
    }

    /// Finds an artifact as [`find_artifact`](Self::find_artifact) does, and starts the downloads of all its blobs.
    ///
    /// # Errors
    ///
    /// The errors of [`pull`](Self::pull).
    pub fn pull_artifact(
        &self,
        reference: &Reference,
        artifact_type: &str,
        cache: &BlobCache,
        options: &PullOptions,
        progress: &Progress,
        cancellation: &Cancellation,
    ) -> Result<Option<PulledArtifact>, PullError> {
        let found = self.find_artifact(reference, artifact_type, cache, options, progress, cancellation)?;
        found.map(|artifact| artifact.fetch(|_| true)).transpose()
    }

    /// Pushes an artifact or an image: its blobs, then its manifest. Blobs that the target has are not sent again, so that a push
    /// that failed goes on where it was.
    ///
    /// - A registry gets the tag of `target`, or the digest of the artifact. Mirrors of `options.registries` are not
    ///   used, other locations are.
    /// - The directory of an OCI layout is made if it is missing. An artifact of the same tag is replaced; others
    ///   stay. A target without a tag has the tag `latest`.
    /// - An OCI archive is a new file.
    ///
    /// Of `options`, those of connections, logins, attempts, times and rates count; at most `options.jobs` blobs are
    /// made and sent at a time, and so many are in memory, unless they are in files. `options.max_manifest_bytes` limits the manifest: a
    /// registry need not take more than 4 MiB.
    ///
    /// Blocks the thread, as [`pull`](Self::pull) does. Calls `artifact`'s blobs on this and other threads, and
    /// panics if they do.
    ///
    /// # Errors
    ///
    /// See [`PushError`].
    pub fn push_artifact(
        &self,
        target: &Reference,
        artifact: &ArtifactToPush<'_>,
        options: &PullOptions,
        progress: &Progress,
        cancellation: &Cancellation,
    ) -> Result<PushedArtifact, PushError> {
        push_artifact(&self.0, target, artifact, options, progress, cancellation)
    }

    /// Signs the artifact with the digest `digest` that was pushed to `target`, as `cosign sign --key` does: the
    /// signature is a layer of the manifest under the tag `sha256-HEX.sig`. It names the target with its tag; a layout
    /// has no name. An equal signature by the same key is not added again.
    ///
    /// # Errors
    ///
    /// See [`SignError`]. An OCI archive cannot be added to.
    pub fn sign_artifact(
        &self,
        target: &Reference,
        digest: &Digest,
        key: &SigningKey,
        options: &PullOptions,
        progress: &Progress,
        cancellation: &Cancellation,
    ) -> Result<PushedSignature, SignError> {
        sign_artifact(&self.0, target, digest, key, options, progress, cancellation)
    }

    /// Pushes an artifact whose manifest has a `subject`: an artifact or image that was pushed to `target`. It gets no
    /// tag. A registry that keeps no lists of referrers gets the list under the tag `sha256-HEX`, so that
    /// [`PullOptions::referrers`] finds the artifact.
    ///
    /// # Errors
    ///
    /// See [`PushError`]. An OCI archive cannot be added to.
    pub fn push_referrer(
        &self,
        target: &Reference,
        artifact: &ArtifactToPush<'_>,
        options: &PullOptions,
        progress: &Progress,
        cancellation: &Cancellation,
    ) -> Result<PushedArtifact, PushError> {
        push_referrer(&self.0, target, artifact, options, progress, cancellation)
    }

    /// Downloads the file at `address` into the cache, unless it is there. Its bytes have the digest `digest`.
    ///
    /// Blocks the thread, as [`pull`](Self::pull) does. The credentials of `options` are not used.
    ///
    /// # Errors
    ///
    /// The server cannot be reached, does not say the length of the file, or sends other bytes; the file is
    /// larger than [`PullOptions::max_download_bytes`]; or the caller asks to stop.
    pub fn fetch_file(
        &self,
        address: &WebFileAddress,
        digest: &Digest,
        cache: &BlobCache,
        options: &PullOptions,
        progress: &Progress,
        cancellation: &Cancellation,
    ) -> Result<WebFile, PullError> {
        fetch_web_file(&self.0, address, digest, cache, options, progress, cancellation)
    }

    /// Like [`pull`](Self::pull), but does not block the thread. The work runs on a thread of the puller,
    /// which has at most [`PullerOptions::parallel_async`] of them. Needs no particular runtime.
    ///
    /// Dropping the future cancels the pull. Dropping the [`PulledImage`] waits for its downloads to
    /// stop, for a second at most.
    ///
    /// # Errors
    ///
    /// The errors of [`pull`](Self::pull).
    #[cfg(feature = "tokio")]
    pub async fn pull_async(
        &self,
        reference: &Reference,
        cache: &BlobCache,
        options: &PullOptions,
        progress: &Progress,
        cancellation: &Cancellation,
    ) -> Result<PulledImage, PullError> {
        let stop = PullStop::new(cancellation);
        let mut unfinished = StopOnDrop(Some(stop.clone()));
        let permit = stop.race(Arc::clone(&self.0.async_pulls).acquire_owned()).await?;
        let (sender, receiver) = tokio::sync::oneshot::channel();
        let (engine, reference, cache) = (Arc::clone(&self.0), reference.clone(), cache.clone());
        let (options, progress) = (options.clone(), progress.clone());
        let work = move || {
            let outcome = find_image(&engine, &reference, &cache, &options, &progress, &stop);
            drop(permit);
            // If the future was dropped, nobody waits for the result.
            let _unwanted = sender.send(outcome);
        };
        std::thread::Builder::new().name("banger-find".to_owned()).spawn(work).map_err(|error| {
            PullError::Environment { reason: format!("cannot start a thread for the pull: {error}") }
        })?;
        let outcome = receiver.await.unwrap_or_else(|_| {
            Err(PullError::Panicked { who: "a thread of the pull", message: "no message".to_owned() })
        });
        unfinished.0 = None;
        outcome
    }
}

/// Stops a pull whose future is dropped.
#[cfg(feature = "tokio")]
#[derive(Debug)]
struct StopOnDrop(Option<PullStop>);

#[cfg(feature = "tokio")]
impl Drop for StopOnDrop {
    fn drop(&mut self) {
        if let Some(stop) = self.0.take() {
            stop.cancel();
        }
    }
}

/// Finds an image and starts its downloads, with a new [`Puller`]: see [`Puller::pull`].
///
/// # Errors
///
/// The errors of [`Puller::pull`].
pub fn pull(
    reference: &Reference,
    cache: &BlobCache,
    options: &PullOptions,
    progress: &Progress,
    cancellation: &Cancellation,
) -> Result<PulledImage, PullError> {
    Puller::new(PullerOptions::default()).pull(reference, cache, options, progress, cancellation)
}
