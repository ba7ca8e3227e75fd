//! What `docker save` writes: `manifest.json`, configurations and layers in a tar. Archives from
//! before docker 1.10 have `repositories` and one `json` per layer instead.

use std::collections::BTreeMap;
use std::io::Read;
use std::sync::Arc;

use serde::Deserialize;

use super::layout::read_stored;
use super::{Archive, Document, ImageSource, Root};
use crate::auth::one_line;
use crate::cache::READ_LEN;
use crate::config::ImageConfig;
use crate::decompress::{Compression, detect};
use crate::digest::{Algorithm, Digest, Hasher};
use crate::error::PullError;
use crate::event::{CancelToken, Progress, PullEvent};
use crate::layer::{Content, Stored};
use crate::manifest::{DOCKER_CONFIG, DOCKER_MANIFEST, Descriptor, ImageManifest, nullable};
use crate::options::PullOptions;
use crate::reference::Selector;

/// The longest chain of parents an old archive may have.
const MAX_LAYERS: usize = 1024;

/// An image of a docker archive. It has no manifest of its own, so one is made of it, the same
/// each time.
#[derive(Debug)]
pub(crate) struct DockerArchive {
    image: Image,
    manifest: Vec<u8>,
    progress: Progress,
}

#[derive(Debug)]
struct Image {
    config: Vec<u8>,
    layers: Vec<(Descriptor, Arc<Stored>)>,
}

/// An entry of `manifest.json`.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Item {
    config: String,
    #[serde(default, deserialize_with = "nullable")]
    repo_tags: Vec<String>,
    layers: Vec<String>,
}

/// The `json` of a layer in an old archive.
#[derive(Deserialize)]
struct LegacyLayer {
    parent: Option<String>,
}

impl DockerArchive {
    pub(crate) fn new(
        archive: &Archive,
        selector: &Selector,
        options: &PullOptions,
        progress: &Progress,
        cancel: &CancelToken,
    ) -> Result<Self, PullError> {
        let image = match archive.file(b"manifest.json")? {
            Some(stored) => modern(archive, &stored, selector, options, cancel)?,
            None => legacy(archive, selector, options, cancel)?,
        };
        let config =
            Descriptor::new(DOCKER_CONFIG.to_owned(), Digest::of(&image.config), image.config.len() as u64);
        let manifest = ImageManifest {
            schema_version: 2,
            media_type: Some(DOCKER_MANIFEST.to_owned()),
            config,
            layers: image.layers.iter().map(|(descriptor, _)| descriptor.clone()).collect(),
            annotations: BTreeMap::new(),
        };
        let manifest = serde_json::to_vec(&manifest).expect("a manifest is plain data");
        if let Selector::Digest(digest) = selector
            && !digest.matches(&manifest)
        {
            return Err(PullError::UnknownImage {
                reference: format!("{}@{digest}", archive.path()),
                detail: format!("the digest of its image is {}", Digest::of(&manifest)),
            });
        }
        Ok(Self { image, manifest, progress: progress.clone() })
    }
}

fn unusable(archive: &Archive, reason: String) -> PullError {
    PullError::Layout { path: archive.path().to_owned(), reason }
}

fn open(archive: &Archive, name: &str) -> Result<Stored, PullError> {
    archive
        .file(name.as_bytes())?
        .ok_or_else(|| unusable(archive, format!("it lacks {}", name.escape_debug())))
}

fn unknown(archive: &Archive, selector: &Selector, names: &[String]) -> PullError {
    let wanted = match selector {
        Selector::Tag(tag) => format!("{}:{tag}", archive.path()),
        Selector::Only | Selector::Digest(_) => archive.path().to_string(),
    };
    let detail = if names.is_empty() {
        "none of its images has a name".to_owned()
    } else {
        let names: Vec<String> = names.iter().map(|name| one_line(name)).collect();
        format!("it has {}", names.join(", "))
    };
    PullError::UnknownImage { reference: wanted, detail }
}

/// Whether one of the names an image has is the one asked for: a tag, or a name with a tag.
fn is_named(names: &[String], wanted: &str) -> bool {
    let canonical =
        |name: &str| name.parse::<crate::Reference>().map_or_else(|_| name.to_owned(), |r| r.to_string());
    names.iter().any(|name| {
        name.rsplit_once(':').is_some_and(|(_, tag)| tag == wanted)
            || (wanted.contains(':') && canonical(name) == canonical(wanted))
    })
}

fn modern(
    archive: &Archive,
    stored: &Stored,
    selector: &Selector,
    options: &PullOptions,
    cancel: &CancelToken,
) -> Result<Image, PullError> {
    let bytes = read_stored(stored, options.manifest_cap(), "manifest.json")?;
    let items: Vec<Item> = serde_json::from_slice(&bytes)
        .map_err(|error| unusable(archive, format!("manifest.json is malformed: {error}")))?;
    let names: Vec<String> = items.iter().flat_map(|item| item.repo_tags.clone()).collect();
    let item = match selector {
        Selector::Tag(tag) => items.iter().find(|item| is_named(&item.repo_tags, tag)),
        Selector::Only | Selector::Digest(_) => match &items[..] {
            [only] => Some(only),
            _ => None,
        },
    };
    let item = item.ok_or_else(|| unknown(archive, selector, &names))?;
    let config = open(archive, &item.config)?;
    let config = read_stored(&config, options.config_cap(), "the image configuration")?;
    let digest = Digest::of(&config);
    let diff_ids = ImageConfig::parse(&config, &digest)?.rootfs.diff_ids;
    if diff_ids.len() != item.layers.len() || diff_ids.is_empty() {
        return Err(PullError::LayerCount { digest, layers: item.layers.len(), diff_ids: diff_ids.len() });
    }
    let layers = item.layers.iter().zip(&diff_ids);
    let layers = layers.map(|(name, diff_id)| {
        let stored = open(archive, name)?;
        let mut magic = Vec::new();
        let read = stored.plain_reader().take(8).read_to_end(&mut magic);
        read.map_err(PullError::io("read", &stored.path))?;
        // An uncompressed layer is its own diff_id; of a compressed one nobody says the digest.
        let digest = match detect(&magic) {
            Ok(Compression::None) => diff_id.clone(),
            _ => hash(&stored, cancel)?,
        };
        Ok((layer_descriptor(digest, stored.len), Arc::new(stored)))
    });
    Ok(Image { layers: layers.collect::<Result<_, PullError>>()?, config })
}

/// Returns whether an archive has the directories of a root file system at its top.
fn is_root_file_system(archive: &Archive) -> bool {
    let is_top = |name: &[u8]| {
        let top = name.split(|byte| *byte == b'/').next().unwrap_or_default();
        matches!(top, b"etc" | b"usr" | b"bin" | b"sbin" | b"lib")
    };
    archive.names().any(is_top)
}

fn legacy(
    archive: &Archive,
    selector: &Selector,
    options: &PullOptions,
    cancel: &CancelToken,
) -> Result<Image, PullError> {
    let Some(stored) = archive.file(b"repositories")? else {
        let layout = archive.names().any(|name| name == b"oci-layout");
        let hint = match layout {
            true => "; it is an OCI layout, use oci-archive:",
            // What `docker export` writes.
            false if is_root_file_system(archive) => "; it is a root file system, use `banger rootfs build`",
            false => "",
        };
        return Err(unusable(archive, format!("it has no manifest.json{hint}")));
    };
    let bytes = read_stored(&stored, options.manifest_cap(), "repositories")?;
    let repositories: BTreeMap<String, BTreeMap<String, String>> = serde_json::from_slice(&bytes)
        .map_err(|error| unusable(archive, format!("repositories is malformed: {error}")))?;
    let named: Vec<(String, &String)> = repositories
        .iter()
        .flat_map(|(name, tags)| tags.iter().map(move |(tag, id)| (format!("{name}:{tag}"), id)))
        .collect();
    let names: Vec<String> = named.iter().map(|(name, _)| name.clone()).collect();
    let top = match selector {
        Selector::Tag(tag) => named.iter().find(|(name, _)| is_named(std::slice::from_ref(name), tag)),
        Selector::Only | Selector::Digest(_) if named.len() == 1 => named.first(),
        Selector::Only | Selector::Digest(_) => None,
    };
    let (_, top) = top.ok_or_else(|| unknown(archive, selector, &names))?;
    // From the topmost layer down to the base.
    let mut layers = Vec::new();
    let mut top_json = None;
    let mut next = Some((*top).clone());
    while let Some(id) = next {
        if layers.len() >= MAX_LAYERS {
            return Err(unusable(archive, "its layers are each other's parents".to_owned()));
        }
        let json = open(archive, &format!("{id}/json"))?;
        let json = read_stored(&json, options.config_cap(), "the json of a layer")?;
        let layer: LegacyLayer = serde_json::from_slice(&json).map_err(|error| {
            unusable(archive, format!("the json of {} is malformed: {error}", id.escape_debug()))
        })?;
        top_json.get_or_insert(json);
        let stored = open(archive, &format!("{id}/layer.tar"))?;
        let digest = hash(&stored, cancel)?;
        layers.push((layer_descriptor(digest, stored.len), Arc::new(stored)));
        next = layer.parent.filter(|parent| !parent.is_empty());
    }
    layers.reverse();
    // The configuration of the topmost layer is that of the image; only the list of layers,
    // which is newer than this format, has to be added.
    let mut config: serde_json::Map<String, serde_json::Value> =
        serde_json::from_slice(&top_json.unwrap_or_default())
            .map_err(|error| unusable(archive, format!("a layer's json is malformed: {error}")))?;
    let diff_ids: Vec<&Digest> = layers.iter().map(|(layer, _)| &layer.digest).collect();
    let rootfs = serde_json::json!({ "type": "layers", "diff_ids": diff_ids });
    config.insert("rootfs".to_owned(), rootfs);
    let config = serde_json::to_vec(&config).expect("a configuration is plain data");
    Ok(Image { config, layers })
}

fn layer_descriptor(digest: Digest, len: u64) -> Descriptor {
    Descriptor::new("application/vnd.docker.image.rootfs.diff.tar".to_owned(), digest, len)
}

fn hash(stored: &Stored, cancel: &CancelToken) -> Result<Digest, PullError> {
    let mut hasher = Hasher::new(Algorithm::Sha256);
    let mut buffer = vec![0; READ_LEN];
    let mut reader = stored.plain_reader();
    loop {
        cancel.check()?;
        match reader.read(&mut buffer).map_err(PullError::io("read", &stored.path))? {
            0 => return Ok(hasher.finish()),
            count => hasher.update(&buffer[..count]),
        }
    }
}

impl ImageSource for DockerArchive {
    fn root(&self) -> Result<Root, PullError> {
        Ok(Root::Document(Document {
            digest: Digest::of(&self.manifest),
            bytes: self.manifest.clone(),
            media_type: None,
        }))
    }

    fn document(&self, descriptor: &Descriptor) -> Result<Document, PullError> {
        Err(PullError::Malformed {
            what: format!("manifest {}", descriptor.digest),
            reason: "docker archives have no nested manifests".to_owned(),
        })
    }

    fn config(&self, _descriptor: &Descriptor) -> Result<Vec<u8>, PullError> {
        Ok(self.image.config.clone())
    }

    fn layers(&self, _descriptors: &[Descriptor]) -> Result<Vec<Content>, PullError> {
        let emit = |descriptor: &Descriptor| {
            self.progress.emit(PullEvent::LayerCached {
                digest: descriptor.digest.clone(),
                size_bytes: descriptor.size,
            });
        };
        Ok(self
            .image
            .layers
            .iter()
            .map(|(descriptor, stored)| {
                emit(descriptor);
                Content::Stored(Arc::clone(stored))
            })
            .collect())
    }
}
