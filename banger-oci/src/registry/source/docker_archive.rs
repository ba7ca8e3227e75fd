//! The output of `docker save`: `manifest.json`, configurations and layers in a tar. `docker_legacy` reads
//! archives from before docker 1.10.

use std::collections::hash_map::Entry;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::io::Read;
use std::sync::Arc;

use serde::Deserialize;

use super::docker_legacy::legacy_image;
use super::docker_reading::{ArchiveReading, ArchivedConfig, ImageParts, layer_descriptor};
use super::layout::{names_there_are, read_stored};
use super::names::{select, set_name};
use super::{Archive, Document, ImageSource, Root};
use crate::decompress::{Compression, detect};
use crate::digest::Digest;
use crate::one_line::one_line;
use crate::reference::Selector;
use crate::registry::cap::Cap;
use crate::registry::config::ImageConfig;
use crate::registry::error::PullError;
use crate::registry::event::{Progress, PullEvent};
use crate::registry::json::{self, loose_list};
use crate::registry::layer::{Content, Stored};
use crate::registry::manifest::{DOCKER_CONFIG, DOCKER_MANIFEST, Descriptor, ImageIndex, ImageManifest};
use crate::registry::options::PullOptions;
use crate::registry::stop::PullStop;

/// Largest number of different images of an archive that are read.
const MAX_IMAGES: usize = 128;
const MAX_LEGACY_IMAGES: usize = 16;

/// Returns the images of a docker archive that fit a selector. They have no manifests, so each gets one,
/// which is always the same.
#[derive(Debug)]
pub(crate) struct DockerArchive {
    images: Vec<ArchivedImage>,
    config_cap: Cap,
    progress: Progress,
}

#[derive(Debug)]
struct ArchivedImage {
    names: Vec<String>,
    manifest: Vec<u8>,
    digest: Digest,
    config: ArchivedConfig,
    config_digest: Digest,
    layers: Vec<(Digest, Arc<Stored>)>,
}

/// An entry of `manifest.json`.
#[derive(Clone, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct ArchiveItem {
    config: String,
    #[serde(default, deserialize_with = "loose_list")]
    repo_tags: Vec<String>,
    #[serde(default, deserialize_with = "json::nullable")]
    layers: Vec<String>,
}

impl ArchiveItem {
    fn names(&self) -> Vec<&str> {
        self.repo_tags.iter().map(String::as_str).collect()
    }
}

impl DockerArchive {
    pub(crate) fn new(
        archive: &Archive,
        selector: &Selector,
        options: &PullOptions,
        progress: &Progress,
        cancel: &PullStop,
    ) -> Result<Self, PullError> {
        let reading = ArchiveReading::new(archive, options, cancel);
        let images = match archive.file("manifest.json")? {
            Some(stored) => reading.modern(&stored, selector)?,
            None => reading.legacy(selector)?,
        };
        Ok(Self { images, config_cap: options.config_cap(), progress: progress.clone() })
    }
}

impl ArchiveReading<'_> {
    fn unknown(&self, selector: &Selector, names: BTreeSet<String>) -> PullError {
        PullError::UnknownImage {
            reference: format!("{}{selector}", self.archive.path()),
            detail: names_there_are(&names),
        }
    }

    /// The images of `manifest.json` that fit.
    fn modern(&self, stored: &Stored, selector: &Selector) -> Result<Vec<ArchivedImage>, PullError> {
        let what = format!("manifest.json of {}", self.archive.path());
        let bytes = read_stored(stored, self.options.manifest_cap(), "manifest.json")?;
        let items: Vec<ArchiveItem> =
            json::parse_list(&bytes, &self.options.budget).map_err(PullError::document(what))?;
        let fits = |items: Vec<ArchiveItem>| {
            items.iter().map(|item| self.image(item)).collect::<Result<Vec<_>, PullError>>()
        };
        let unknown = || {
            let names = items.iter().flat_map(|item| &item.repo_tags).map(|name| one_line(name)).collect();
            Err(self.unknown(selector, names))
        };
        let (by_name, digest) = match selector {
            Selector::Only | Selector::Name(_) => (selector.clone(), None),
            Selector::Digest(digest) => (Selector::Only, Some(digest)),
            Selector::Pinned { name, digest } => (Selector::Name(name.clone()), Some(digest)),
        };
        let named = self.different(select(&items, &by_name, ArchiveItem::names, |_, _| false))?;
        let Some(digest) = digest else {
            return if named.is_empty() { unknown() } else { fits(named) };
        };
        // Docker calls an image by the digest of its configuration, banger by that of the manifest it
        // makes, which takes longer to find out.
        let mut by_config = Vec::new();
        for item in &named {
            let (_, bytes) = self.config(item)?;
            if digest.matches(&bytes) {
                by_config.push(item.clone());
            }
        }
        if !by_config.is_empty() {
            return fits(by_config);
        }
        let mut images = fits(named)?;
        images.retain(|image| image.digest == *digest);
        if images.is_empty() { unknown() } else { Ok(images) }
    }

    /// Joins the items of one image.
    fn different(&self, items: Vec<&ArchiveItem>) -> Result<Vec<ArchiveItem>, PullError> {
        let mut different: Vec<ArchiveItem> = Vec::new();
        let mut places: HashMap<(&str, &[String]), usize> = HashMap::new();
        for item in items {
            match places.entry((&item.config, &item.layers)) {
                Entry::Occupied(place) => {
                    different[*place.get()].repo_tags.extend_from_slice(&item.repo_tags);
                }
                Entry::Vacant(_) if different.len() == MAX_IMAGES => {
                    return Err(self.archive.unusable(format!(
                        "more than {MAX_IMAGES} of its images fit; choose one by its whole name"
                    )));
                }
                Entry::Vacant(place) => {
                    place.insert(different.len());
                    different.push(item.clone());
                }
            }
        }
        Ok(different)
    }

    fn config(&self, item: &ArchiveItem) -> Result<(Stored, Vec<u8>), PullError> {
        self.cancel.check()?;
        let config = self.open(&item.config)?;
        let bytes = read_stored(&config, self.options.config_cap(), "the image configuration")?;
        Ok((config, bytes))
    }

    fn image(&self, item: &ArchiveItem) -> Result<ArchivedImage, PullError> {
        let (config, bytes) = self.config(item)?;
        let digest = Digest::of(&bytes);
        // Charged when the image is chosen: this is the same document.
        let budget = self.options.budget.renewed();
        let diff_ids = ImageConfig::parse_within(&bytes, &digest, &budget)?.rootfs.diff_ids;
        if diff_ids.len() != item.layers.len() || diff_ids.is_empty() {
            return Err(PullError::LayerCount {
                digest,
                layers: item.layers.len(),
                diff_ids: diff_ids.len(),
            });
        }
        self.options.check_layers(item.layers.len(), &format!("image {digest}"))?;
        let stored = self.archive.files(&item.layers)?;
        let mut layers: Vec<(Descriptor, Arc<Stored>)> = Vec::new();
        let mut opened: HashMap<(u64, u64), Arc<Stored>> = HashMap::new();
        for ((name, stored), diff_id) in item.layers.iter().zip(stored).zip(&diff_ids) {
            let stored = self.found(name, stored)?;
            let place = (stored.offset, stored.len);
            let stored = Arc::clone(opened.entry(place).or_insert_with(|| Arc::new(stored)));
            // The digest of an uncompressed layer is its diff_id; the digest of a compressed one is unknown.
            let digest = match is_plain(&stored)? {
                true => diff_id.clone(),
                false => self.hash(&stored)?,
            };
            layers.push((layer_descriptor(digest, stored.len), stored));
        }
        let config_len = config.len;
        let parts =
            ImageParts { config: ArchivedConfig::Stored(config), config_digest: digest, config_len, layers };
        Ok(ArchivedImage::new(item.repo_tags.clone(), parts))
    }

    /// The images of an archive from before `manifest.json`.
    fn legacy(&self, selector: &Selector) -> Result<Vec<ArchivedImage>, PullError> {
        let Some(stored) = self.archive.file("repositories")? else {
            return Err(self.archive.instead().error(self.archive.path(), "it has no manifest.json"));
        };
        let what = format!("repositories of {}", self.archive.path());
        let bytes = read_stored(&stored, self.options.manifest_cap(), "repositories")?;
        let repositories: BTreeMap<String, BTreeMap<String, String>> =
            json::parse(&bytes, &self.options.budget).map_err(PullError::document(what))?;
        let named: Vec<(String, &String)> = repositories
            .iter()
            .flat_map(|(name, tags)| tags.iter().map(move |(tag, id)| (format!("{name}:{tag}"), id)))
            .collect();
        let (by_name, digest) = match selector {
            Selector::Only | Selector::Name(_) => (selector.clone(), None),
            Selector::Digest(digest) => (Selector::Only, Some(digest)),
            Selector::Pinned { name, digest } => (Selector::Name(name.clone()), Some(digest)),
        };
        let fitting = select(&named, &by_name, |(name, _)| vec![name.as_str()], |_, _| false);
        let mut by_top: BTreeMap<&String, Vec<String>> = BTreeMap::new();
        for (name, top) in fitting {
            by_top.entry(top).or_default().push(name.clone());
        }
        // Their configurations are made, and kept in memory.
        if by_top.len() > MAX_LEGACY_IMAGES {
            return Err(self.archive.unusable(format!(
                "more than {MAX_LEGACY_IMAGES} of its images fit; choose one by its whole name"
            )));
        }
        let mut images = Vec::new();
        for (top, names) in by_top {
            let image = ArchivedImage::new(names, legacy_image(self, top)?);
            let fits = |digest: &Digest| *digest == image.digest || *digest == image.config_digest;
            if digest.is_none_or(fits) {
                images.push(image);
            }
        }
        if images.is_empty() {
            let names = named.iter().map(|(name, _)| one_line(name)).collect();
            return Err(self.unknown(selector, names));
        }
        Ok(images)
    }
}

/// Whether a layer is not compressed.
fn is_plain(stored: &Stored) -> Result<bool, PullError> {
    let mut magic = Vec::new();
    let read = stored.plain_reader().take(8).read_to_end(&mut magic);
    read.map_err(PullError::io("read", &stored.path))?;
    Ok(matches!(detect(&magic), Ok(Compression::None)))
}

impl ArchivedImage {
    fn new(names: Vec<String>, parts: ImageParts) -> Self {
        let ImageParts { config, config_digest, config_len, layers } = parts;
        let manifest = ImageManifest {
            schema_version: 2,
            media_type: Some(DOCKER_MANIFEST.to_owned()),
            config: Descriptor::new(DOCKER_CONFIG.to_owned(), config_digest.clone(), config_len),
            layers: layers.iter().map(|(descriptor, _)| descriptor.clone()).collect(),
            annotations: BTreeMap::new(),
            artifact_type: None,
            subject: None,
        };
        let manifest = serde_json::to_vec(&manifest).expect("a manifest is plain data");
        let layers = layers.into_iter().map(|(descriptor, stored)| (descriptor.digest, stored)).collect();
        Self { names, digest: Digest::of(&manifest), manifest, config, config_digest, layers }
    }
}

impl ImageSource for DockerArchive {
    fn root(&self) -> Result<Root, PullError> {
        let mut index = ImageIndex::default();
        for image in &self.images {
            let media_type = DOCKER_MANIFEST.to_owned();
            let entry = Descriptor::new(media_type, image.digest.clone(), image.manifest.len() as u64);
            // One entry for each of its names, as an index has them.
            for name in &image.names {
                let mut named = entry.clone();
                set_name(&mut named, name.clone());
                index.manifests.push(named);
            }
            if image.names.is_empty() {
                index.manifests.push(entry);
            }
        }
        Ok(Root::Choice(index))
    }

    fn document(&self, descriptor: &Descriptor) -> Result<Document, PullError> {
        let image = self.images.iter().find(|image| image.digest == descriptor.digest);
        match image {
            Some(image) => {
                Ok(Document { digest: image.digest.clone(), bytes: image.manifest.clone(), media_type: None })
            }
            None => Err(PullError::Malformed {
                what: format!("manifest {}", descriptor.digest),
                reason: "docker archives have no nested manifests".to_owned(),
            }),
        }
    }

    fn config(&self, descriptor: &Descriptor) -> Result<Vec<u8>, PullError> {
        let mut images = self.images.iter();
        match images.find(|image| image.config_digest == descriptor.digest).map(|image| &image.config) {
            Some(ArchivedConfig::Made(bytes)) => Ok(bytes.clone()),
            Some(ArchivedConfig::Stored(stored)) => {
                read_stored(stored, self.config_cap, "the image configuration")
            }
            None => Err(PullError::Malformed {
                what: format!("image configuration {}", descriptor.digest),
                reason: "it is not in the archive".to_owned(),
            }),
        }
    }

    fn layers(&self, descriptors: &[Descriptor]) -> Result<Vec<Content>, PullError> {
        let known: HashMap<(&Digest, u64), &Arc<Stored>> = self
            .images
            .iter()
            .flat_map(|image| &image.layers)
            .map(|(digest, stored)| ((digest, stored.len), stored))
            .collect();
        descriptors
            .iter()
            .map(|descriptor| {
                self.progress.emit(PullEvent::LayerCached {
                    digest: descriptor.digest.clone(),
                    size_bytes: descriptor.size,
                });
                let stored = known.get(&(&descriptor.digest, descriptor.size));
                let stored = stored.ok_or_else(|| PullError::Malformed {
                    what: format!("layer {}", descriptor.digest),
                    reason: "it is not in the archive".to_owned(),
                })?;
                Ok(Content::Stored(Arc::clone(stored)))
            })
            .collect()
    }
}
