//! Manifests and indexes: OCI image-spec `manifest.md`, `image-index.md`, `descriptor.md`, and
//! their Docker schema 2 twins.

use std::collections::BTreeMap;

use base64::Engine as _;
use serde::{Deserialize, Serialize};

use crate::auth::one_line;
use crate::digest::Digest;
use crate::error::PullError;
use crate::platform::Platform;

/// `mediaType` of an OCI image manifest.
pub const OCI_MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
/// `mediaType` of an OCI image index.
pub const OCI_INDEX: &str = "application/vnd.oci.image.index.v1+json";
/// `mediaType` of an OCI image configuration.
pub const OCI_CONFIG: &str = "application/vnd.oci.image.config.v1+json";
/// `mediaType` of a Docker schema 2 manifest.
pub const DOCKER_MANIFEST: &str = "application/vnd.docker.distribution.manifest.v2+json";
/// `mediaType` of a Docker manifest list.
pub const DOCKER_LIST: &str = "application/vnd.docker.distribution.manifest.list.v2+json";
/// `mediaType` of a Docker image configuration.
pub const DOCKER_CONFIG: &str = "application/vnd.docker.container.image.v1+json";
/// The empty configuration that artifacts have.
const OCI_EMPTY: &str = "application/vnd.oci.empty.v1+json";

/// A pointer to content: what it is, how large it is, and its digest.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Descriptor {
    /// The media type of the content.
    #[serde(default)]
    pub media_type: String,
    /// The digest of the content.
    pub digest: Digest,
    /// The size of the content in bytes.
    pub size: u64,
    /// Where else the content is, for foreign layers.
    #[serde(default, skip_serializing_if = "Vec::is_empty", deserialize_with = "nullable")]
    pub urls: Vec<String>,
    /// Annotations, such as the tag in the index of a layout.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty", deserialize_with = "nullable")]
    pub annotations: BTreeMap<String, String>,
    /// What the image runs on, in an index.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub platform: Option<Platform>,
    /// The content itself in base64, where it is small.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub data: Option<String>,
}

/// The manifest of an image: its configuration and its layers, base first.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ImageManifest {
    /// Always 2.
    pub schema_version: u32,
    /// The media type, optional in OCI manifests.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub media_type: Option<String>,
    /// The image configuration.
    pub config: Descriptor,
    /// The layers, base first.
    pub layers: Vec<Descriptor>,
    /// Annotations.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty", deserialize_with = "nullable")]
    pub annotations: BTreeMap<String, String>,
}

/// An index: a list of manifests, one for each platform.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ImageIndex {
    /// Always 2.
    pub schema_version: u32,
    /// The media type, optional in OCI indexes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub media_type: Option<String>,
    /// The manifests.
    pub manifests: Vec<Descriptor>,
}

/// A document that a manifest request may answer with.
#[allow(clippy::large_enum_variant)] // There are never many at a time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Manifest {
    /// One image.
    Image(ImageManifest),
    /// A choice of images.
    Index(ImageIndex),
}

/// Reads `null` as the empty value; Go programs write it for lists and maps without entries.
pub(crate) fn nullable<'de, D, T>(deserializer: D) -> Result<T, D::Error>
where
    D: serde::Deserializer<'de>,
    T: Default + Deserialize<'de>,
{
    Ok(Option::<T>::deserialize(deserializer)?.unwrap_or_default())
}

/// The fields that say what a document is.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Outline {
    schema_version: Option<u32>,
    media_type: Option<String>,
    layers: Option<serde_json::Value>,
    config: Option<serde_json::Value>,
    manifests: Option<serde_json::Value>,
    fs_layers: Option<serde_json::Value>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Image,
    Index,
    Schema1,
    /// A type that says nothing about the content, as static file servers send it.
    Generic,
    Other,
}

fn kind(media_type: &str) -> Kind {
    match media_type {
        OCI_MANIFEST | DOCKER_MANIFEST => Kind::Image,
        OCI_INDEX | DOCKER_LIST => Kind::Index,
        "application/vnd.docker.distribution.manifest.v1+json"
        | "application/vnd.docker.distribution.manifest.v1+prettyjws" => Kind::Schema1,
        "" | "application/json" | "application/octet-stream" | "text/plain" => Kind::Generic,
        _ => Kind::Other,
    }
}

/// Whether `media_type` is that of a manifest or an index of images.
pub(crate) fn is_manifest_type(media_type: &str) -> bool {
    matches!(kind(media_type), Kind::Image | Kind::Index)
}

/// Whether `media_type` is that of an index.
pub(crate) fn is_index_type(media_type: &str) -> bool {
    kind(media_type) == Kind::Index
}

impl Manifest {
    /// Parses a manifest or an index.
    ///
    /// `what` names the document in errors. `declared` is the media type that the Content-Type
    /// header or the descriptor gave; it has to agree with the document, so that nobody can be
    /// shown an index where another tool sees an image (CVE-2021-41190).
    ///
    /// # Errors
    ///
    /// [`PullError::Malformed`], [`PullError::Schema1`], and [`PullError::NotAnImage`] for
    /// artifacts.
    pub fn parse(bytes: &[u8], declared: Option<&str>, what: &str) -> Result<Self, PullError> {
        let malformed = |reason: String| PullError::Malformed { what: what.to_owned(), reason };
        let declared = declared
            .map(|value| value.split(';').next().unwrap_or_default().trim().to_ascii_lowercase())
            .filter(|value| kind(value) != Kind::Generic);
        let schema1 = || PullError::Schema1 { what: what.to_owned() };
        if declared.as_deref().is_some_and(|value| kind(value) == Kind::Schema1) {
            return Err(schema1());
        }
        let outline: Outline = serde_json::from_slice(bytes).map_err(|error| malformed(error.to_string()))?;
        if outline.schema_version == Some(1) || outline.fs_layers.is_some() {
            return Err(schema1());
        }
        let media_type = outline.media_type.as_ref().or(declared.as_ref());
        let foreign = |media_type: &str| PullError::NotAnImage {
            what: what.to_owned(),
            reason: format!("its media type is `{}`", one_line(media_type)),
        };
        // The artifact manifests of before OCI 1.1 have no version.
        if let (None, Some(media_type)) = (outline.schema_version, media_type)
            && kind(media_type) == Kind::Other
        {
            return Err(foreign(media_type));
        }
        if outline.schema_version != Some(2) {
            return Err(malformed("schemaVersion is not 2".to_owned()));
        }
        let is_image = outline.layers.is_some() || outline.config.is_some();
        let is_index = outline.manifests.is_some();
        if is_image && is_index {
            return Err(malformed("it has both layers and manifests".to_owned()));
        }
        if let (Some(declared), Some(own)) = (&declared, &outline.media_type)
            && declared != own
        {
            let (own, declared) = (one_line(own), one_line(declared));
            return Err(malformed(format!("its mediaType is `{own}`, declared was `{declared}`")));
        }
        if let Some(media_type) = media_type {
            let fits = match kind(media_type) {
                Kind::Image => is_image,
                Kind::Index => is_index,
                Kind::Schema1 => return Err(schema1()),
                Kind::Generic | Kind::Other => return Err(foreign(media_type)),
            };
            if !fits {
                return Err(malformed(format!("the content is not of type `{media_type}`")));
            }
        }
        // Parsed from the text again, so that a key that comes twice is an error.
        let error = |error: serde_json::Error| malformed(error.to_string());
        if is_index {
            return serde_json::from_slice(bytes).map(Self::Index).map_err(error);
        }
        if !is_image {
            return Err(malformed("it has neither layers nor manifests".to_owned()));
        }
        let image: ImageManifest = serde_json::from_slice(bytes).map_err(error)?;
        image.check(what)?;
        Ok(Self::Image(image))
    }
}

impl ImageManifest {
    fn check(&self, what: &str) -> Result<(), PullError> {
        let not_an_image = |reason: String| PullError::NotAnImage { what: what.to_owned(), reason };
        match self.config.media_type.as_str() {
            OCI_CONFIG | DOCKER_CONFIG => {}
            OCI_EMPTY => return Err(not_an_image("its configuration is empty".to_owned())),
            other => {
                return Err(not_an_image(format!("its configuration is of type `{}`", one_line(other))));
            }
        }
        match self.layers.iter().find(|layer| !is_layer_type(&layer.media_type)) {
            Some(layer) => {
                Err(not_an_image(format!("it has a layer of type `{}`", one_line(&layer.media_type))))
            }
            None => Ok(()),
        }
    }
}

/// Whether a media type is that of a root file system layer, whatever its compression.
fn is_layer_type(media_type: &str) -> bool {
    let stems = [
        "application/vnd.oci.image.layer.v1.tar",
        "application/vnd.oci.image.layer.nondistributable.v1.tar",
        "application/vnd.docker.image.rootfs.diff.tar",
        "application/vnd.docker.image.rootfs.foreign.diff.tar",
    ];
    stems.iter().any(|stem| {
        media_type
            .strip_prefix(stem)
            .is_some_and(|rest| matches!(rest, "" | "+gzip" | "+zstd" | ".gzip" | ".zstd"))
    })
}

impl Descriptor {
    pub(crate) fn new(media_type: String, digest: Digest, size: u64) -> Self {
        Self {
            media_type,
            digest,
            size,
            urls: Vec::new(),
            annotations: BTreeMap::new(),
            platform: None,
            data: None,
        }
    }

    /// The embedded content, checked against size and digest; `None` where there is none.
    ///
    /// # Errors
    ///
    /// [`PullError::Mismatch`].
    pub fn embedded(&self) -> Result<Option<Vec<u8>>, PullError> {
        let Some(data) = &self.data else {
            return Ok(None);
        };
        let mismatch = |reason: String| PullError::Mismatch {
            digest: self.digest.clone(),
            origin: "the `data` of its descriptor".to_owned(),
            reason,
        };
        let bytes = base64::engine::general_purpose::STANDARD
            .decode(data)
            .map_err(|error| mismatch(format!("it is not base64: {error}")))?;
        self.check(&bytes, "the `data` of its descriptor")?;
        Ok(Some(bytes))
    }

    /// Compares `bytes` with size and digest.
    pub(crate) fn check(&self, bytes: &[u8], origin: &str) -> Result<(), PullError> {
        let mismatch =
            |reason| PullError::Mismatch { digest: self.digest.clone(), origin: origin.to_owned(), reason };
        if u64::try_from(bytes.len()) != Ok(self.size) {
            return Err(mismatch(size_reason(self.size, bytes.len() as u64)));
        }
        if !self.digest.matches(bytes) {
            return Err(mismatch(format!("its bytes have the digest {}", Digest::of(bytes))));
        }
        Ok(())
    }
}

pub(crate) fn size_reason(expected: u64, found: u64) -> String {
    format!("it has {found} bytes where its descriptor says {expected}")
}
