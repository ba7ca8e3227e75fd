//! The source of one image whose blobs the caller brings.

use std::io::{self, Read};
use std::sync::Arc;

use super::blob_source::BlobSource;
use super::{Document, ImageSource, Root};
use crate::digest::Digest;
use crate::reference::Reference;
use crate::registry::cap::Cap;
use crate::registry::error::PullError;
use crate::registry::event::{Progress, PullEvent};
use crate::registry::layer::{Content, Stored};
use crate::registry::manifest::Descriptor;
use crate::registry::options::PullOptions;
use crate::registry::stop::PullStop;
use crate::registry::streamed::{OpenBytes, StreamedBlob};

/// The blob source of the caller as a source of one image.
#[derive(Debug)]
pub(crate) struct Brought {
    source: Arc<dyn BlobSource>,
    reference: Reference,
    options: PullOptions,
    progress: Progress,
    stop: PullStop,
}

/// A blob of the caller's source.
#[derive(Debug)]
struct BroughtBlob {
    source: Arc<dyn BlobSource>,
    digest: Digest,
}

impl OpenBytes for BroughtBlob {
    fn open(&self) -> Result<Box<dyn Read + Send>, PullError> {
        match self.source.open(&self.digest) {
            Ok(Some(reader)) => Ok(reader),
            Ok(None) => Err(self.failed(io::Error::new(io::ErrorKind::NotFound, "it lacks the blob"))),
            Err(error) => Err(self.failed(error)),
        }
    }

    fn failed(&self, error: io::Error) -> PullError {
        failure(format!("blob {}", self.digest))(error)
    }
}

fn failure(what: String) -> impl FnOnce(io::Error) -> PullError {
    move |source| PullError::BlobSource { what, source: Arc::new(source) }
}

impl Brought {
    pub(crate) fn new(
        source: &Arc<dyn BlobSource>,
        reference: &Reference,
        options: &PullOptions,
        progress: &Progress,
        stop: &PullStop,
    ) -> Self {
        Self {
            source: Arc::clone(source),
            reference: reference.clone(),
            options: options.clone(),
            progress: progress.clone(),
            stop: stop.clone(),
        }
    }

    fn blob(&self, digest: &Digest) -> BroughtBlob {
        BroughtBlob { source: Arc::clone(&self.source), digest: digest.clone() }
    }

    /// Reads a document. The caller checks its digest.
    fn small(&self, digest: &Digest, cap: Cap, what: &str) -> Result<Vec<u8>, PullError> {
        self.stop.check()?;
        let blob = self.blob(digest);
        let mut bytes = Vec::new();
        let read = blob.open()?.take(cap.bytes().saturating_add(1)).read_to_end(&mut bytes);
        read.map_err(|error| blob.failed(error))?;
        cap.check(bytes.len() as u64, what)?;
        Ok(bytes)
    }

    fn origin(&self) -> String {
        format!("the source given for {}", self.reference)
    }
}

impl ImageSource for Brought {
    fn root(&self) -> Result<Root, PullError> {
        let digest = match self.reference.digest() {
            Some(digest) => digest.clone(),
            None => {
                let resolved = self.source.resolve(&self.reference);
                let resolved = resolved.map_err(failure(format!("the digest of {}", self.reference)))?;
                resolved.ok_or_else(|| PullError::UnknownImage {
                    reference: self.reference.to_string(),
                    detail: "the given source does not know it".to_owned(),
                })?
            }
        };
        let bytes = self.small(&digest, self.options.manifest_cap(), &format!("manifest {digest}"))?;
        Descriptor::new(String::new(), digest.clone(), bytes.len() as u64).check(&bytes, &self.origin())?;
        Ok(Root::Document(Document { digest, bytes, media_type: None }))
    }

    fn document(&self, descriptor: &Descriptor) -> Result<Document, PullError> {
        let what = format!("manifest {}", descriptor.digest);
        let bytes = match descriptor.embedded()? {
            Some(bytes) => bytes,
            None => self.small(&descriptor.digest, self.options.manifest_cap(), &what)?,
        };
        let media_type = Some(descriptor.media_type.clone());
        Ok(Document { digest: descriptor.digest.clone(), bytes, media_type })
    }

    fn config(&self, descriptor: &Descriptor) -> Result<Vec<u8>, PullError> {
        let what = format!("image configuration {}", descriptor.digest);
        match descriptor.embedded()? {
            Some(bytes) => Ok(bytes),
            None => self.small(&descriptor.digest, self.options.config_cap(), &what),
        }
    }

    fn layers(&self, descriptors: &[Descriptor]) -> Result<Vec<Content>, PullError> {
        descriptors
            .iter()
            .map(|descriptor| {
                self.progress.emit(PullEvent::LayerCached {
                    digest: descriptor.digest.clone(),
                    size_bytes: descriptor.size,
                });
                Ok(match descriptor.embedded()? {
                    Some(bytes) => {
                        Content::Stored(Arc::new(Stored::from_bytes(&bytes, self.origin().as_str().into())?))
                    }
                    None => {
                        let bytes = self.blob(&descriptor.digest);
                        Content::Streamed(StreamedBlob::new(
                            descriptor.clone(),
                            self.origin(),
                            bytes,
                            &self.stop,
                        ))
                    }
                })
            })
            .collect()
    }
}
