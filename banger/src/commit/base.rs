//! The image below a new layer: its manifest and its configuration.

use std::fs::File;
use std::io::{ErrorKind, Read as _};

use banger_oci::manifest::{Descriptor, ImageManifest, Manifest};
use banger_oci::{BlobCache, Digest, ImageConfig, Reference};
use camino::Utf8PathBuf;
use serde_json::Value;

use super::error::CommitError;
use super::origin::BaseOrigin;
use crate::error::Error;
use crate::fetch::blob_directory;
use crate::output::OutputError;
use crate::store::ImageRecord;

/// The largest manifest or configuration that is read.
const MAX_DOCUMENT_BYTES: u64 = 16 << 20;

/// The blobs of a base: in the cache, in the OCI layout that it came from, or where it was pulled from.
pub(super) struct BaseBlobs<'a> {
    record: &'a ImageRecord,
    cache: BlobCache,
    layout: Option<Utf8PathBuf>,
    origin: BaseOrigin<'a>,
}

/// A base on whose layers a new one can lie.
pub(super) struct Base {
    /// Its layers, base first.
    pub(super) layers: Vec<Descriptor>,
    /// The whole configuration.
    pub(super) config: Value,
}

impl<'a> BaseBlobs<'a> {
    pub(super) fn new(record: &'a ImageRecord, origin: BaseOrigin<'a>) -> Self {
        let layout = match origin.reference() {
            Some(Reference::OciLayout { dir, .. }) => Some(dir.clone()),
            _ => None,
        };
        Self { record, cache: BlobCache::at(blob_directory(origin.dirs)), layout, origin }
    }

    /// Returns the base, if the record, the manifest and the configuration agree about its layers.
    pub(super) fn open(&self) -> Result<Base, Error> {
        let base = self.record.name.to_string();
        if self.record.built.is_some() {
            return Err(CommitError::BuiltBase { base }.into());
        }
        if self.record.ran {
            let original = self.record.cloned_from.as_ref().map(|original| original.name.to_string());
            return Err(CommitError::RanBase { base, original }.into());
        }
        if self.record.layers.is_empty() {
            return Err(CommitError::NoLayers { base }.into());
        }
        let (manifest, config) = self.documents()?;
        let parsed = ImageConfig::parse(config.to_string().as_bytes(), &manifest.config.digest)?;
        let recorded = self.record.layers.iter().map(|layer| (layer.digest.clone(), layer.diff_id.clone()));
        let listed = manifest.layers.iter().zip(&parsed.rootfs.diff_ids);
        let listed = listed.map(|(layer, diff_id)| (layer.digest.to_string(), diff_id.to_string()));
        let counts = (manifest.layers.len(), parsed.rootfs.diff_ids.len());
        if counts.0 != counts.1 || !recorded.eq(listed) {
            return Err(self.unfit("its record and its manifest name different layers".to_owned()));
        }
        Ok(Base { layers: manifest.layers.into_iter().map(oci_layer).collect(), config })
    }

    /// Returns the configuration, or `None` if no place on this machine has it any more.
    pub(super) fn config(&self) -> Result<Option<Value>, Error> {
        Ok(self.local_documents()?.map(|(_, config)| config))
    }

    /// Opens a layer, from wherever it is. An open blob can be read to its end, even if the cache removes it meanwhile.
    pub(super) fn layer(&self, digest: &Digest) -> Result<File, Error> {
        match self.local_blob(digest)? {
            Some(file) => Ok(file),
            None => self.origin.layer(digest),
        }
    }

    fn documents(&self) -> Result<(ImageManifest, Value), Error> {
        if let Some(documents) = self.local_documents()? {
            return Ok(documents);
        }
        let (manifest, config) = self.origin.documents()?;
        Ok((manifest, self.parse_config(&config)?))
    }

    fn local_documents(&self) -> Result<Option<(ImageManifest, Value)>, Error> {
        let digest: Digest =
            self.record.digest.parse().map_err(|_| self.unfit("its digest is not one".to_owned()))?;
        let Some(bytes) = self.local_document("the manifest", &digest)? else { return Ok(None) };
        let manifest = match Manifest::parse(&bytes, None, &format!("manifest {digest}"))? {
            Manifest::Image(manifest) => manifest,
            Manifest::Index(_) => return Err(self.unfit("its digest is that of an index".to_owned())),
        };
        match self.local_document("the configuration", &manifest.config.digest)? {
            Some(bytes) => Ok(Some((manifest, self.parse_config(&bytes)?))),
            None => Ok(None),
        }
    }

    fn parse_config(&self, bytes: &[u8]) -> Result<Value, Error> {
        serde_json::from_slice(bytes)
            .map_err(|error| self.unfit(format!("its configuration is damaged: {error}")))
    }

    fn unfit(&self, reason: String) -> Error {
        CommitError::UnfitBase { base: self.record.name.to_string(), reason }.into()
    }

    fn local_document(&self, what: &'static str, digest: &Digest) -> Result<Option<Vec<u8>>, Error> {
        let Some(file) = self.local_blob(digest)? else { return Ok(None) };
        let path = self.cache.blob_path(digest);
        let mut bytes = Vec::new();
        file.take(MAX_DOCUMENT_BYTES).read_to_end(&mut bytes).map_err(OutputError::io("read", &path))?;
        match digest.matches(&bytes) {
            true => Ok(Some(bytes)),
            false => {
                let (base, digest) = (self.record.name.to_string(), digest.to_string());
                Err(CommitError::DamagedBlob { base, what, digest }.into())
            }
        }
    }

    fn local_blob(&self, digest: &Digest) -> Result<Option<File>, Error> {
        let in_layout =
            |dir: &Utf8PathBuf| dir.join("blobs").join(digest.algorithm().as_str()).join(digest.hex());
        let places = [Some(self.cache.blob_path(digest)), self.layout.as_ref().map(in_layout)];
        for path in places.into_iter().flatten() {
            match File::open(&path) {
                Ok(file) if file.metadata().is_ok_and(|metadata| metadata.is_file()) => {
                    return Ok(Some(file));
                }
                Ok(_) => {}
                Err(error) if error.kind() == ErrorKind::NotFound => {}
                Err(error) => return Err(OutputError::io("read", &path)(error).into()),
            }
        }
        Ok(None)
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
