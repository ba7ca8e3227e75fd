//! The layers of a new image, as a push asks for them.

use std::fs::File;
use std::io;
use std::sync::{Mutex, PoisonError};

use banger_oci::BlobFiles;
use banger_oci::manifest::Descriptor;

use super::base::BaseBlobs;
use crate::error::Error;

/// The new layer, and those of the base.
pub(super) struct CommitLayers<'a> {
    pub(super) layer: &'a Descriptor,
    /// The bytes of the new layer.
    pub(super) file: &'a File,
    pub(super) base: &'a BaseBlobs<'a>,
    failure: Mutex<Option<Error>>,
}

impl<'a> CommitLayers<'a> {
    pub(super) fn new(layer: &'a Descriptor, file: &'a File, base: &'a BaseBlobs<'a>) -> Self {
        Self { layer, file, base, failure: Mutex::default() }
    }

    /// Returns why a layer could not be opened, if that ended the push.
    pub(super) fn into_failure(self) -> Option<Error> {
        self.failure.into_inner().unwrap_or_else(PoisonError::into_inner)
    }
}

impl BlobFiles for CommitLayers<'_> {
    fn open(&self, blob: &Descriptor) -> io::Result<File> {
        if blob.digest == self.layer.digest {
            return self.file.try_clone();
        }
        self.base.layer(&blob.digest).map_err(|error| {
            let told = io::Error::other(error.to_string());
            self.failure.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(error);
            told
        })
    }
}
