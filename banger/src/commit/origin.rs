//! The place that the base was pulled from, if this machine does not have all of its blobs.

use std::fs::File;
use std::io::{Read as _, Write as _};
use std::sync::{Mutex, PoisonError};

use banger_oci::manifest::ImageManifest;
use banger_oci::{Digest, PullError, PullOptions, PulledImage, Puller, Reference, Selector};
use banger_tree::Cancellation;

use super::error::CommitError;
use crate::dirs::Dirs;
use crate::error::Error;
use crate::event::EventHandler;
use crate::fetch::Fetch;
use crate::output::OutputError;
use crate::rootfs_artifact::spool_in;
use crate::store::ImageRecord;

const CHUNK_BYTES: usize = 256 * 1024;

/// The place that the base was pulled from. It is asked for nothing that this machine or the target has.
pub(super) struct BaseOrigin<'a> {
    pub(super) record: &'a ImageRecord,
    pub(super) dirs: &'a Dirs,
    pub(super) puller: &'a Puller,
    pub(super) options: &'a PullOptions,
    pub(super) events: &'a EventHandler,
    pub(super) cancellation: &'a Cancellation,
    /// The pull of the base, if a layer was asked for.
    pub(super) pulled: Mutex<Option<PulledImage>>,
}

impl BaseOrigin<'_> {
    /// Returns the reference that leads to the base; `None` if nothing can be pulled by it again.
    pub(super) fn reference(&self) -> Option<Reference> {
        let record = self.record;
        // A finished image has no layers where it was pulled from.
        let source = record.artifact.as_ref().map_or(&record.source, |artifact| &artifact.source);
        let pinned = |digest: &str| digest.parse::<Digest>().ok().map(Selector::Digest);
        // An archive and a layout know the manifest by the digest of the index that leads to it.
        let listed = pinned(record.index_digest.as_deref().unwrap_or(&record.digest));
        match source.parse().ok()? {
            Reference::Registry(place) => {
                format!("{}/{}@{}", place.registry(), place.repository(), record.digest).parse().ok()
            }
            Reference::OciLayout { dir, .. } => Some(Reference::OciLayout { dir, selector: listed? }),
            input if input.is_input() => None,
            Reference::OciArchive { file, .. } => Some(Reference::OciArchive { file, selector: listed? }),
            other => Some(other),
        }
    }

    /// Fetches manifest and configuration.
    pub(super) fn documents(&self) -> Result<(ImageManifest, Vec<u8>), Error> {
        let (what, digest) = ("the manifest", self.record.digest.clone());
        let reference = self.reference().ok_or_else(|| self.gone(what, &digest))?;
        let fetch = Fetch::open(self.dirs, self.events, self.cancellation)?;
        let (options, progress) = (self.options(), &fetch.progress);
        let found = self.puller.inspect(&reference, &fetch.cache, &options, progress, self.cancellation);
        let image = found.map_err(|error| self.failed(what, digest, &reference, error))?;
        self.check(&reference, &image.digest)?;
        Ok((image.manifest, image.config_bytes))
    }

    /// Fetches a layer into a file without a name.
    pub(super) fn layer(&self, digest: &Digest) -> Result<File, Error> {
        let what = "the layer";
        let reference = self.reference().ok_or_else(|| self.gone(what, &digest.to_string()))?;
        let failed = |error| self.failed(what, digest.to_string(), &reference, error);
        let mut reader = {
            let mut pulled = self.pulled.lock().unwrap_or_else(PoisonError::into_inner);
            if pulled.is_none() {
                *pulled = Some(self.pull(&reference).map_err(failed)??);
            }
            let image = pulled.as_ref().expect("it was pulled");
            let layer = image.layers.iter().find(|layer| layer.descriptor.digest == *digest);
            let layer = layer.ok_or_else(|| self.gone(what, &digest.to_string()))?;
            layer.open().map_err(failed)?
        };
        let spool_failed = OutputError::io("write a file in", &self.dirs.state);
        let mut file = spool_in(&self.dirs.state)?;
        let mut buffer = vec![0; CHUNK_BYTES];
        loop {
            if self.cancellation.is_cancelled() {
                return Err(Error::Cancelled);
            }
            let length = match reader.read(&mut buffer) {
                Ok(0) => return Ok(file),
                Ok(length) => length,
                Err(error) => match PullError::from_io(&error) {
                    Some(error) => return Err(failed(error.clone())),
                    None => {
                        return Err(OutputError::io("read", digest.to_string().as_str().into())(error).into());
                    }
                },
            };
            file.write_all(&buffer[..length]).map_err(&spool_failed)?;
        }
    }

    fn pull(&self, reference: &Reference) -> Result<Result<PulledImage, Error>, PullError> {
        let fetch = match Fetch::open(self.dirs, self.events, self.cancellation) {
            Ok(fetch) => fetch,
            Err(error) => return Ok(Err(error)),
        };
        let (options, progress) = (self.options(), &fetch.progress);
        let image = self.puller.pull(reference, &fetch.cache, &options, progress, self.cancellation)?;
        Ok(self.check(reference, &image.digest).map(|()| image))
    }

    fn options(&self) -> PullOptions {
        self.options.clone().with_platform(self.record.platform.parse().ok())
    }

    /// Fails if the place has another image of this name by now.
    fn check(&self, reference: &Reference, digest: &Digest) -> Result<(), Error> {
        match digest.to_string() == self.record.digest {
            true => Ok(()),
            false => {
                let reason = format!("{reference} is another image by now: {digest}");
                Err(CommitError::UnfitBase { base: self.record.name.to_string(), reason }.into())
            }
        }
    }

    fn gone(&self, what: &'static str, digest: &str) -> Error {
        let (base, digest) = (self.record.name.to_string(), digest.to_owned());
        CommitError::MissingBlob { base, what, digest }.into()
    }

    fn failed(&self, what: &'static str, digest: String, reference: &Reference, error: PullError) -> Error {
        match error {
            PullError::Cancelled => Error::Cancelled,
            source => CommitError::GoneBlob {
                base: self.record.name.to_string(),
                what,
                digest,
                reference: reference.to_string(),
                source: Box::new(source),
            }
            .into(),
        }
    }
}
