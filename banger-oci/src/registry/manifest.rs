//! Manifests and indexes: OCI image-spec `manifest.md`, `image-index.md`, `descriptor.md`, and
//! their Docker schema 2 twins.

use std::collections::BTreeMap;
use std::fmt;

use banger_tree::Budget;
use base64::Engine as _;
use serde::de::{Deserializer, IgnoredAny, SeqAccess, Visitor};
use serde::{Deserialize, Serialize};

use crate::digest::Digest;
use crate::one_line::one_line;
use crate::platform::Platform;
use crate::registry::error::PullError;
use crate::registry::json::{
    self, Loose, LooseObject, loose_list, loose_map, loose_text, nullable, object, objects,
};

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

/// A pointer to content: its type, size and digest.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Descriptor {
    /// The media type of the content.
    #[serde(default, deserialize_with = "nullable")]
    pub media_type: String,
    /// The digest of the content.
    pub digest: Digest,
    /// The size of the content in bytes.
    pub size: u64,
    /// Other addresses of the content, for foreign layers.
    #[serde(default, skip_serializing_if = "Vec::is_empty", deserialize_with = "loose_list")]
    pub urls: Vec<String>,
    /// Annotations, for example the tag in the index of a layout.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty", deserialize_with = "loose_map")]
    pub annotations: BTreeMap<String, String>,
    /// The platform of the image, in an index.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "loose_platform")]
    pub platform: Option<Platform>,
    /// The content itself in base64, if it is small.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub data: Option<String>,
    /// The type of an artifact that is not an image.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "loose_text")]
    pub artifact_type: Option<String>,
}

/// The manifest of an image: its configuration and its layers, base first.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ImageManifest {
    /// Always 2.
    #[serde(skip_deserializing, default = "schema_version")]
    pub schema_version: u32,
    /// The media type, optional in OCI manifests.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub media_type: Option<String>,
    /// The image configuration.
    #[serde(deserialize_with = "object")]
    pub config: Descriptor,
    /// The layers, base first.
    #[serde(deserialize_with = "objects")]
    pub layers: Vec<Descriptor>,
    /// Annotations.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty", deserialize_with = "loose_map")]
    pub annotations: BTreeMap<String, String>,
    /// The type of an artifact that is not an image.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "loose_text")]
    pub artifact_type: Option<String>,
    /// The manifest or index that this one refers to.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "loose_subject")]
    pub subject: Option<Descriptor>,
}

fn schema_version() -> u32 {
    2
}

/// An index: a list of manifests, one for each platform.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ImageIndex {
    /// The manifests.
    pub manifests: Vec<Descriptor>,
    /// Manifests whose entry has an empty platform: they count only if no other entry does.
    pub vague: Vec<Descriptor>,
    /// The reason why the first unusable entry was skipped.
    pub passed_over: Option<String>,
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

/// The fields that identify the kind of a document.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Outline {
    schema_version: Option<u64>,
    media_type: Option<String>,
    layers: Option<IgnoredAny>,
    config: Option<IgnoredAny>,
    manifests: Option<IgnoredAny>,
    fs_layers: Option<IgnoredAny>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum ManifestKind {
    Image,
    Index,
    Schema1,
    /// A generic type without meaning, which static file servers send.
    Generic,
    Other,
}

/// The kind of document that a media type names.
pub(crate) fn manifest_kind(media_type: &str) -> ManifestKind {
    match media_type {
        OCI_MANIFEST | DOCKER_MANIFEST => ManifestKind::Image,
        OCI_INDEX | DOCKER_LIST => ManifestKind::Index,
        "application/vnd.docker.distribution.manifest.v1+json"
        | "application/vnd.docker.distribution.manifest.v1+prettyjws" => ManifestKind::Schema1,
        "" | "application/json" | "application/octet-stream" | "binary/octet-stream" | "text/plain" => {
            ManifestKind::Generic
        }
        _ => ManifestKind::Other,
    }
}

/// A media type without parameters, in lowercase.
pub(crate) fn bare_type(media_type: &str) -> String {
    media_type.split(';').next().unwrap_or_default().trim().to_ascii_lowercase()
}

impl Manifest {
    /// Parses a manifest or an index.
    ///
    /// `what` names the document in errors. `declared` is the media type in the Content-Type header or the
    /// descriptor. Its kind must agree with the document: otherwise banger could see an index where another
    /// tool sees an image (CVE-2021-41190).
    ///
    /// # Errors
    ///
    /// [`PullError::Malformed`], [`PullError::Schema1`], [`PullError::OverBudget`], and
    /// [`PullError::NotAnImage`] for artifacts.
    pub fn parse(bytes: &[u8], declared: Option<&str>, what: &str) -> Result<Self, PullError> {
        let (manifest, _) = Self::parse_within(bytes, &[declared], what, &Budget::default())?;
        match &manifest {
            Self::Image(image) => image.check(what)?,
            Self::Index(_) => {}
        }
        Ok(manifest)
    }

    /// Like [`parse`](Self::parse), with several declared types, and for artifacts too. Charges the values of the
    /// document to `budget`; returns a warning if types of one kind differ.
    pub(crate) fn parse_within(
        bytes: &[u8],
        declared: &[Option<&str>],
        what: &str,
        budget: &Budget,
    ) -> Result<(Self, Option<String>), PullError> {
        let malformed = |reason: String| PullError::Malformed { what: what.to_owned(), reason };
        let declared: Vec<String> = declared
            .iter()
            .filter_map(|value| value.map(bare_type))
            .filter(|value| manifest_kind(value) != ManifestKind::Generic)
            .collect();
        let schema1 = || PullError::Schema1 { what: what.to_owned() };
        if declared.iter().any(|value| manifest_kind(value) == ManifestKind::Schema1) {
            return Err(schema1());
        }
        let text = json::prepare(bytes, budget).map_err(PullError::document(what))?;
        let outline: Outline = json::from_text(&text).map_err(PullError::document(what))?;
        if outline.schema_version == Some(1) || outline.fs_layers.is_some() {
            return Err(schema1());
        }
        let own = outline.media_type.filter(|value| !value.is_empty());
        let media_type = own.as_ref().or(declared.first());
        let foreign = |media_type: &str| PullError::NotAnImage {
            what: what.to_owned(),
            reason: format!("its media type is `{}`", one_line(media_type)),
        };
        // The artifact manifests of before OCI 1.1 have no version.
        if let (None, Some(media_type)) = (outline.schema_version, media_type)
            && manifest_kind(media_type) == ManifestKind::Other
        {
            return Err(foreign(media_type));
        }
        // Go's tools write and take documents without a version.
        if !matches!(outline.schema_version, None | Some(0 | 2)) {
            return Err(malformed("schemaVersion is not 2".to_owned()));
        }
        let is_image = outline.layers.is_some() || outline.config.is_some();
        let is_index = outline.manifests.is_some();
        if is_image && is_index {
            return Err(malformed("it has both layers and manifests".to_owned()));
        }
        let mut warning = None;
        if let Some(own) = &own {
            for other in declared.iter().filter(|other| *other != own) {
                let kinds = [own, other].map(|value| manifest_kind(value));
                let (own, other) = (one_line(own), one_line(other));
                if kinds[0] != kinds[1] || kinds[0] == ManifestKind::Other {
                    return Err(malformed(format!("its mediaType is `{own}`, declared was `{other}`")));
                }
                warning = Some(format!("{what} says that its mediaType is `{own}`; declared was `{other}`"));
            }
        }
        if let Some(media_type) = media_type {
            let fits = match manifest_kind(media_type) {
                ManifestKind::Image => is_image,
                ManifestKind::Index => is_index,
                ManifestKind::Schema1 => return Err(schema1()),
                ManifestKind::Generic | ManifestKind::Other => return Err(foreign(media_type)),
            };
            if !fits {
                let media_type = one_line(media_type);
                return Err(malformed(format!("the content is not of type `{media_type}`")));
            }
        }
        // Parsed from the text again, so that a key that comes twice is an error.
        if is_index {
            let index: IndexDocument = json::from_text(&text).map_err(PullError::document(what))?;
            return Ok((Self::Index(index.manifests.0), warning));
        }
        if !is_image {
            return Err(malformed("it has neither layers nor manifests".to_owned()));
        }
        let image: ImageManifest = json::from_text(&text).map_err(PullError::document(what))?;
        Ok((Self::Image(image), warning))
    }
}

/// The one field of an index that is used.
#[derive(Deserialize)]
struct IndexDocument {
    #[serde(deserialize_with = "nullable")]
    manifests: EntryList,
}

/// The entries of an index; foreign ones are skipped as they come.
#[derive(Default)]
struct EntryList(ImageIndex);

/// An entry of an index, of which any field may be odd.
#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct IndexEntry {
    media_type: Loose,
    digest: Loose,
    size: Loose,
    #[serde(deserialize_with = "loose_text")]
    artifact_type: Option<String>,
    #[serde(deserialize_with = "loose_map")]
    annotations: BTreeMap<String, String>,
    platform: LooseObject<PlatformDocument>,
    data: Loose,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct PlatformDocument {
    #[serde(deserialize_with = "loose_text")]
    os: Option<String>,
    #[serde(deserialize_with = "loose_text")]
    architecture: Option<String>,
    #[serde(deserialize_with = "loose_text")]
    variant: Option<String>,
}

impl PlatformDocument {
    fn platform(self) -> Option<Platform> {
        let given = |text: Option<String>| text.filter(|text| !text.is_empty());
        let (os, architecture) = (given(self.os)?, given(self.architecture)?);
        Some(Platform { os, architecture, variant: given(self.variant) })
    }
}

/// Reads a platform; any other value counts as missing.
fn loose_platform<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Platform>, D::Error> {
    Ok(match LooseObject::<PlatformDocument>::deserialize(deserializer)? {
        LooseObject::Object(document) => document.platform(),
        LooseObject::Absent | LooseObject::Odd => None,
    })
}

/// Reads a subject; any other value counts as missing.
fn loose_subject<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Descriptor>, D::Error> {
    Ok(match LooseObject::<IndexEntry>::deserialize(deserializer)? {
        LooseObject::Object(entry) => entry.subject(),
        LooseObject::Absent | LooseObject::Odd => None,
    })
}

impl<'de> Deserialize<'de> for EntryList {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct EntryVisitor;
        impl<'de> Visitor<'de> for EntryVisitor {
            type Value = EntryList;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a list of manifests")
            }
            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<EntryList, A::Error> {
                let mut index = ImageIndex::default();
                while let Some(entry) = seq.next_element::<LooseObject<IndexEntry>>()? {
                    match entry {
                        LooseObject::Object(entry) => entry.add_to(&mut index),
                        LooseObject::Absent | LooseObject::Odd => index.pass_over("is no object"),
                    }
                }
                Ok(EntryList(index))
            }
        }
        deserializer.deserialize_seq(EntryVisitor)
    }
}

impl ImageIndex {
    /// Parses the `index.json` of a layout. It is always an index: older tools leave the media type out.
    pub(crate) fn parse_within(bytes: &[u8], budget: &Budget) -> Result<Self, json::JsonError> {
        let document: IndexDocument = json::parse(bytes, budget)?;
        Ok(document.manifests.0)
    }

    fn pass_over(&mut self, reason: impl Into<String>) {
        self.passed_over.get_or_insert_with(|| reason.into());
    }
}

impl IndexEntry {
    /// The descriptor of a subject; `None` without a digest that is known.
    fn subject(self) -> Option<Descriptor> {
        let digest = self.digest.text()?.parse().ok()?;
        let descriptor =
            Descriptor::new(self.media_type.text().unwrap_or_default(), digest, self.size.number()?);
        Some(Descriptor { artifact_type: self.artifact_type, annotations: self.annotations, ..descriptor })
    }

    fn add_to(self, index: &mut ImageIndex) {
        let digest: Digest = match self.digest.text().as_deref().map(str::parse) {
            None => return index.pass_over("has no digest"),
            Some(Err(error)) => return index.pass_over(format!("has a digest that is not known: {error}")),
            Some(Ok(digest)) => digest,
        };
        let Some(size) = self.size.number() else { return index.pass_over("has no size") };
        let descriptor = Descriptor {
            annotations: self.annotations,
            data: self.data.text(),
            artifact_type: self.artifact_type,
            ..Descriptor::new(self.media_type.text().unwrap_or_default(), digest, size)
        };
        match self.platform {
            LooseObject::Absent => index.manifests.push(descriptor),
            LooseObject::Object(document) => {
                let says_nothing =
                    [&document.os, &document.architecture].into_iter().flatten().all(String::is_empty);
                match document.platform() {
                    None if says_nothing => index.vague.push(descriptor),
                    None => index.pass_over("has a platform without operating system or architecture"),
                    platform => index.manifests.push(Descriptor { platform, ..descriptor }),
                }
            }
            LooseObject::Odd => index.pass_over("has a platform that is none"),
        }
    }
}

impl ImageManifest {
    /// Fails if it is not the manifest of an image.
    pub(crate) fn check(&self, what: &str) -> Result<(), PullError> {
        let not_an_image = |reason: String| PullError::NotAnImage { what: what.to_owned(), reason };
        match bare_type(&self.config.media_type).as_str() {
            OCI_CONFIG | DOCKER_CONFIG => {}
            OCI_EMPTY => return Err(not_an_image("its configuration is empty".to_owned())),
            // Some registries, and tools that copied from them, changed it to this (moby#22378).
            ""
            | "application/json"
            | "application/octet-stream"
            | "binary/octet-stream"
            | "text/html"
            | "text/plain" => {
                if let Some(artifact) = self.artifact_type.as_deref().filter(|value| !value.is_empty()) {
                    return Err(not_an_image(format!("it is an artifact of type `{}`", one_line(artifact))));
                }
            }
            other => {
                return Err(not_an_image(format!("its configuration is of type `{}`", one_line(other))));
            }
        }
        match self.layers.iter().find(|layer| !is_layer_type(&layer.media_type)) {
            Some(layer) if is_encrypted_type(&layer.media_type) => Err(not_an_image(format!(
                "layer {} is encrypted; decrypt the image first, as `skopeo copy --decryption-key` does",
                layer.digest
            ))),
            Some(layer) => {
                Err(not_an_image(format!("it has a layer of type `{}`", one_line(&layer.media_type))))
            }
            None => Ok(()),
        }
    }
}

/// Whether a media type is that of a layer encrypted with ocicrypt.
fn is_encrypted_type(media_type: &str) -> bool {
    ["+encrypted", "+enc"].iter().any(|ending| media_type.ends_with(ending))
}

/// Returns whether an entry of an index describes something other than an image, with any media type.
pub(crate) fn is_foreign_entry(descriptor: &Descriptor) -> bool {
    let artifact = descriptor.artifact_type.as_deref().unwrap_or_default();
    descriptor.annotations.contains_key("vnd.docker.reference.type")
        || !matches!(artifact, "" | OCI_CONFIG | DOCKER_CONFIG)
        || descriptor
            .platform
            .as_ref()
            .is_some_and(|platform| platform.os == "unknown" && platform.architecture == "unknown")
}

/// Returns whether a media type is that of a root file system layer, with any compression.
fn is_layer_type(media_type: &str) -> bool {
    let stems = [
        "application/vnd.oci.image.layer.v1.tar",
        "application/vnd.oci.image.layer.nondistributable.v1.tar",
        "application/vnd.docker.image.rootfs.diff.tar",
        "application/vnd.docker.image.rootfs.foreign.diff.tar",
    ];
    stems.iter().any(|stem| {
        media_type.strip_prefix(stem).is_some_and(|rest| {
            matches!(rest.trim_start_matches(['+', '.']), "" | "gzip" | "zstd" | "xz" | "bzip2")
        })
    })
}

impl Descriptor {
    /// Returns a pointer to content, with nothing but its type, digest and size in bytes.
    #[must_use]
    pub fn new(media_type: impl Into<String>, digest: Digest, size: u64) -> Self {
        Self {
            media_type: media_type.into(),
            digest,
            size,
            urls: Vec::new(),
            annotations: BTreeMap::new(),
            platform: None,
            data: None,
            artifact_type: None,
        }
    }

    /// Returns the embedded content, checked against size and digest; `None` if there is none.
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
