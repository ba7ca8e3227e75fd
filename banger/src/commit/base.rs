//! The image below a new layer: its manifest and configuration, and its layers as blobs.

use std::fs::File;
use std::io::{ErrorKind, Read as _};

use banger_oci::manifest::{Descriptor, ImageManifest, Manifest};
use banger_oci::{BlobCache, Digest, ImageConfig, Reference};
use camino::Utf8PathBuf;
use serde_json::Value;

use super::error::CommitError;
use crate::dirs::Dirs;
use crate::error::Error;
use crate::fetch::blob_directory;
use crate::output::OutputError;
use crate::store::ImageRecord;

/// The largest manifest or configuration that is read.
const MAX_DOCUMENT_BYTES: u64 = 16 << 20;

/// The blobs of a base: in the cache, or in the OCI layout that it came from.
pub(super) struct BaseBlobs<'a> {
    record: &'a ImageRecord,
    cache: BlobCache,
    layout: Option<Utf8PathBuf>,
}

/// A base on whose layers a new one can lie.
pub(super) struct Base {
    /// Its layers, base first, each with its blob.
    pub(super) layers: Vec<(Descriptor, File)>,
    /// The whole configuration.
    pub(super) config: Value,
}

impl<'a> BaseBlobs<'a> {
    pub(super) fn new(record: &'a ImageRecord, dirs: &Dirs) -> Self {
        let layout = match record.source.parse() {
            Ok(Reference::OciLayout { dir, .. }) => Some(dir),
            _ => None,
        };
        Self { record, cache: BlobCache::at(blob_directory(dirs)), layout }
    }

    /// Returns the base, if the record, the manifest and the configuration agree about its layers.
    pub(super) fn open(&self) -> Result<Base, Error> {
        let base = self.record.name.to_string();
        if self.record.built.is_some() {
            return Err(CommitError::BuiltBase { base }.into());
        }
        if self.record.layers.is_empty() {
            return Err(CommitError::NoLayers { base }.into());
        }
        let manifest = self.manifest()?;
        let config = self.config_of(&manifest)?;
        let parsed = ImageConfig::parse(config.to_string().as_bytes(), &manifest.config.digest)?;
        let recorded = self.record.layers.iter().map(|layer| (layer.digest.clone(), layer.diff_id.clone()));
        let listed = manifest.layers.iter().zip(&parsed.rootfs.diff_ids);
        let listed = listed.map(|(layer, diff_id)| (layer.digest.to_string(), diff_id.to_string()));
        let counts = (manifest.layers.len(), parsed.rootfs.diff_ids.len());
        if counts.0 != counts.1 || !recorded.eq(listed) {
            let reason = "its record and its manifest name different layers".to_owned();
            return Err(CommitError::UnfitBase { base, reason }.into());
        }
        let mut layers = Vec::new();
        for layer in manifest.layers {
            let file = self.blob("the layer", &layer.digest)?;
            layers.push((oci_layer(layer), file));
        }
        Ok(Base { layers, config })
    }

    /// Returns the configuration, or `None` if no place has it any more.
    pub(super) fn config(&self) -> Result<Option<Value>, Error> {
        let found = self.manifest().and_then(|manifest| self.config_of(&manifest));
        match found {
            Ok(config) => Ok(Some(config)),
            Err(Error::Commit(CommitError::MissingBlob { .. } | CommitError::UnfitBase { .. })) => Ok(None),
            Err(error) => Err(error),
        }
    }

    fn manifest(&self) -> Result<ImageManifest, Error> {
        let unfit = |reason: String| CommitError::UnfitBase { base: self.record.name.to_string(), reason };
        let digest: Digest =
            self.record.digest.parse().map_err(|_| unfit("its digest is not one".to_owned()))?;
        let bytes = self.document("the manifest", &digest)?;
        match Manifest::parse(&bytes, None, &format!("manifest {digest}"))? {
            Manifest::Image(manifest) => Ok(manifest),
            Manifest::Index(_) => Err(unfit("its digest is that of an index".to_owned()).into()),
        }
    }

    fn config_of(&self, manifest: &ImageManifest) -> Result<Value, Error> {
        let digest = &manifest.config.digest;
        let bytes = self.document("the configuration", digest)?;
        serde_json::from_slice(&bytes).map_err(|error| {
            let base = self.record.name.to_string();
            CommitError::UnfitBase { base, reason: format!("its configuration is damaged: {error}") }.into()
        })
    }

    fn document(&self, what: &'static str, digest: &Digest) -> Result<Vec<u8>, Error> {
        let path = self.cache.blob_path(digest);
        let mut bytes = Vec::new();
        let file = self.blob(what, digest)?;
        file.take(MAX_DOCUMENT_BYTES).read_to_end(&mut bytes).map_err(OutputError::io("read", &path))?;
        match digest.matches(&bytes) {
            true => Ok(bytes),
            false => {
                let (base, digest) = (self.record.name.to_string(), digest.to_string());
                Err(CommitError::DamagedBlob { base, what, digest }.into())
            }
        }
    }

    /// Opens a blob. An open blob can be read to its end, even if the cache removes it meanwhile.
    fn blob(&self, what: &'static str, digest: &Digest) -> Result<File, Error> {
        let in_layout =
            |dir: &Utf8PathBuf| dir.join("blobs").join(digest.algorithm().as_str()).join(digest.hex());
        let places = [Some(self.cache.blob_path(digest)), self.layout.as_ref().map(in_layout)];
        for path in places.into_iter().flatten() {
            match File::open(&path) {
                Ok(file) if file.metadata().is_ok_and(|metadata| metadata.is_file()) => return Ok(file),
                Ok(_) => {}
                Err(error) if error.kind() == ErrorKind::NotFound => {}
                Err(error) => return Err(OutputError::io("read", &path)(error).into()),
            }
        }
        let (base, digest) = (self.record.name.to_string(), digest.to_string());
        Err(CommitError::MissingBlob { base, what, digest }.into())
    }
}

/// Returns the entry of a layer for an OCI manifest. Its bytes stay the same.
fn oci_layer(mut layer: Descriptor) -> Descriptor {
    const DOCKER: &str = "application/vnd.docker.image.rootfs.diff.tar";
    const DOCKER_FOREIGN: &str = "application/vnd.docker.image.rootfs.foreign.diff.tar";
    for prefix in [DOCKER, DOCKER_FOREIGN] {
        let oci = match layer.media_type.strip_prefix(prefix) {
            Some("") => "application/vnd.oci.image.layer.v1.tar",
            Some(".gzip") => "application/vnd.oci.image.layer.v1.tar+gzip",
            Some(".zstd") => "application/vnd.oci.image.layer.v1.tar+zstd",
            _ => continue,
        };
        oci.clone_into(&mut layer.media_type);
        break;
    }
    layer.data = None;
    layer
}
