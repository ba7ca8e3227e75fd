//! Layers whose bytes are brought by the caller, or are made while they are read.

use std::fmt;
use std::io::{self, Read};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::digest::Hasher;
use crate::registry::error::PullError;
use crate::registry::manifest::{Descriptor, size_reason};
use crate::registry::stop::PullStop;

/// Gives the bytes of one layer, from the first one, as often as it is read.
pub(crate) trait OpenBytes: fmt::Debug + Send + Sync {
    fn open(&self) -> Result<Box<dyn Read + Send>, PullError>;

    /// Returns the error of a read that failed.
    fn failed(&self, error: io::Error) -> PullError;
}

/// A layer that is no file of this machine.
#[derive(Debug)]
pub(crate) struct StreamedBlob {
    pub(crate) descriptor: Descriptor,
    /// Where the bytes come from, for errors.
    pub(crate) origin: String,
    pub(crate) bytes: Box<dyn OpenBytes>,
    pub(crate) stop: PullStop,
    /// Whether a reader read it to the end and found the right digest.
    pub(crate) verified: AtomicBool,
}

impl StreamedBlob {
    pub(crate) fn new(
        descriptor: Descriptor,
        origin: String,
        bytes: impl OpenBytes + 'static,
        stop: &PullStop,
    ) -> Arc<Self> {
        let (bytes, verified) = (Box::new(bytes), AtomicBool::new(false));
        Arc::new(Self { descriptor, origin, bytes, stop: stop.clone(), verified })
    }

    pub(crate) fn reader(self: &Arc<Self>) -> Result<StreamedReader, PullError> {
        Ok(StreamedReader {
            inner: self.bytes.open()?,
            hasher: Some(Hasher::new(self.descriptor.digest.algorithm())),
            blob: Arc::clone(self),
            position: 0,
            failure: None,
        })
    }

    fn refuse(&self, reason: String) -> PullError {
        PullError::Mismatch { digest: self.descriptor.digest.clone(), origin: self.origin.clone(), reason }
    }
}

/// Reads a streamed layer, and checks its size and digest at the end.
pub(crate) struct StreamedReader {
    blob: Arc<StreamedBlob>,
    inner: Box<dyn Read + Send>,
    /// Taken at the end.
    hasher: Option<Hasher>,
    position: u64,
    failure: Option<PullError>,
}

impl StreamedReader {
    fn step(&mut self, buffer: &mut [u8]) -> Result<usize, PullError> {
        let Some(hasher) = &mut self.hasher else { return Ok(0) };
        self.blob.stop.check()?;
        let count = loop {
            match self.inner.read(buffer) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => {
                    return Err(match PullError::from_io(&error) {
                        Some(known) => known.clone(),
                        None => self.blob.bytes.failed(error),
                    });
                }
                Ok(count) => break count,
            }
        };
        let Descriptor { digest, size, .. } = &self.blob.descriptor;
        self.position += count as u64;
        if self.position > *size || (count == 0 && self.position < *size) {
            return Err(self.blob.refuse(size_reason(*size, self.position)));
        }
        if count > 0 {
            hasher.update(&buffer[..count]);
            return Ok(count);
        }
        let found = self.hasher.take().expect("taken only here").finish();
        if found != *digest {
            return Err(self.blob.refuse(format!("its bytes have the digest {found}")));
        }
        self.blob.verified.store(true, Ordering::Release);
        Ok(0)
    }
}

impl Read for StreamedReader {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if buffer.is_empty() {
            return Ok(0);
        }
        if let Some(failure) = &self.failure {
            return Err(failure.clone().into_io());
        }
        self.step(buffer).map_err(|failure| {
            self.failure = Some(failure.clone());
            failure.into_io()
        })
    }
}
