//! The common parts of docker archives of any age.

use std::cell::RefCell;
use std::collections::HashMap;
use std::io::Read;
use std::sync::Arc;

use super::Archive;
use crate::digest::{Algorithm, Digest, Hasher};
use crate::registry::cache::READ_LEN;
use crate::registry::error::PullError;
use crate::registry::layer::Stored;
use crate::registry::manifest::Descriptor;
use crate::registry::options::PullOptions;
use crate::registry::stop::PullStop;

/// The place of a configuration. Configurations in the archive stay there: many of them may be large.
#[derive(Debug)]
pub(super) enum ArchivedConfig {
    Stored(Stored),
    Made(Vec<u8>),
}

/// An archive that is being read.
pub(super) struct ArchiveReading<'a> {
    pub(super) archive: &'a Archive,
    pub(super) options: &'a PullOptions,
    pub(super) cancel: &'a PullStop,
    /// The digests of files that were hashed, by their place: a layer may be listed many times.
    digests: RefCell<HashMap<(u64, u64), Digest>>,
}

/// Configuration and layers of an image, base first.
pub(super) struct ImageParts {
    pub(super) config: ArchivedConfig,
    pub(super) config_digest: Digest,
    pub(super) config_len: u64,
    pub(super) layers: Vec<(Descriptor, Arc<Stored>)>,
}

pub(super) fn layer_descriptor(digest: Digest, len: u64) -> Descriptor {
    Descriptor::new("application/vnd.docker.image.rootfs.diff.tar".to_owned(), digest, len)
}

impl<'a> ArchiveReading<'a> {
    pub(super) fn new(archive: &'a Archive, options: &'a PullOptions, cancel: &'a PullStop) -> Self {
        Self { archive, options, cancel, digests: RefCell::default() }
    }

    pub(super) fn open(&self, name: &str) -> Result<Stored, PullError> {
        self.found(name, self.archive.file(name)?)
    }

    pub(super) fn found(&self, name: &str, stored: Option<Stored>) -> Result<Stored, PullError> {
        stored.ok_or_else(|| self.archive.unusable(format!("it lacks {}", name.escape_debug())))
    }

    /// Hashes a file of the archive, once.
    pub(super) fn hash(&self, stored: &Stored) -> Result<Digest, PullError> {
        let place = (stored.offset, stored.len);
        if let Some(digest) = self.digests.borrow().get(&place) {
            return Ok(digest.clone());
        }
        let mut hasher = Hasher::new(Algorithm::Sha256);
        let mut buffer = vec![0; READ_LEN];
        let mut reader = stored.plain_reader();
        let digest = loop {
            self.cancel.check()?;
            match reader.read(&mut buffer).map_err(PullError::io("read", &stored.path))? {
                0 => break hasher.finish(),
                count => hasher.update(&buffer[..count]),
            }
        };
        self.digests.borrow_mut().insert(place, digest.clone());
        Ok(digest)
    }
}
