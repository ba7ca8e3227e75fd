//! Images in the storage of podman, buildah and CRI-O, read in place (containers/storage, driver overlay).
//!
//! The storage keeps the manifest and the configuration as they were pulled, and the layers unpacked. A layer's tar is
//! made again from the headers that the storage kept, and must have its diff_id.

use std::collections::BTreeSet;
use std::io::{self, Read};
use std::os::fd::OwnedFd;

use banger_tree::{Advice, ErrorKind, Setting};
use base64::Engine as _;
use camino::{Utf8Path, Utf8PathBuf};

use super::layout::names_there_are;
use super::names::is_same_name;
use super::storage_index::{StorageIndex, StoredImageEntry, damaged};
use super::tar_split::{TarSplitReader, open_tree};
use super::{Document, ImageSource, Root};
use crate::digest::Digest;
use crate::one_line::one_line;
use crate::reference::Selector;
use crate::registry::cap::Cap;
use crate::registry::config::ImageConfig;
use crate::registry::error::PullError;
use crate::registry::event::{Progress, PullEvent};
use crate::registry::layer::Content;
use crate::registry::manifest::{Descriptor, ImageManifest};
use crate::registry::options::PullOptions;
use crate::registry::stop::PullStop;
use crate::registry::streamed::{OpenBytes, StreamedBlob};

/// The media type of a layer that is made again.
const LAYER: &str = "application/vnd.oci.image.layer.v1.tar";
/// Drivers whose layers are not read.
const OTHER_DRIVERS: [&str; 4] = ["vfs", "btrfs", "zfs", "aufs"];
/// The key of a manifest among the documents of an image.
const MANIFEST_KEY: &str = "manifest";

/// An image of a storage.
#[derive(Debug)]
pub(crate) struct ContainersStorage {
    root: Utf8PathBuf,
    image: StoredImageEntry,
    /// The layers, base first.
    layers: Vec<StorageLayer>,
    wanted: Option<Digest>,
    options: PullOptions,
    progress: Progress,
    stop: PullStop,
}

/// A layer of a storage.
#[derive(Clone, Debug)]
struct StorageLayer {
    root: Utf8PathBuf,
    id: String,
    size: Option<u64>,
}

impl ContainersStorage {
    pub(crate) fn open(
        root: Option<&Utf8Path>,
        selector: &Selector,
        options: &PullOptions,
        progress: &Progress,
        stop: &PullStop,
    ) -> Result<Self, PullError> {
        let root = match root {
            Some(root) => root.to_owned(),
            None => options.local.storage()?.ok_or_else(no_root)?,
        };
        check_driver(&root)?;
        let index = StorageIndex::read(&root, &options.budget)?;
        let image = choose(&root, &index.images, selector)?.clone();
        let layers = index.layers_of(&root, &image)?.into_iter().map(|layer| StorageLayer {
            root: root.clone(),
            size: layer.size(),
            id: layer.id.clone(),
        });
        let wanted = match selector {
            Selector::Digest(digest) | Selector::Pinned { digest, .. } => Some(digest.clone()),
            Selector::Only | Selector::Name(_) => None,
        };
        Ok(Self {
            layers: layers.collect(),
            root,
            image,
            wanted,
            options: options.clone(),
            progress: progress.clone(),
            stop: stop.clone(),
        })
    }

    /// Reads a document of the image; `None` if it is missing.
    fn document_bytes(&self, key: &str, cap: Cap, what: &str) -> Result<Option<Vec<u8>>, PullError> {
        let path = self.root.join("overlay-images").join(&self.image.id).join(file_name(key));
        let file = match std::fs::File::open(&path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(PullError::io("open", &path)(error)),
        };
        let mut bytes = Vec::new();
        let read = file.take(cap.bytes().saturating_add(1)).read_to_end(&mut bytes);
        read.map_err(PullError::io("read", &path))?;
        cap.check(bytes.len() as u64, what)?;
        Ok(Some(bytes))
    }

    fn manifest_with(&self, digest: &Digest) -> Result<Option<Vec<u8>>, PullError> {
        let what = format!("manifest {digest}");
        for key in [MANIFEST_KEY.to_owned(), format!("{MANIFEST_KEY}-{digest}")] {
            let bytes = self.document_bytes(&key, self.options.manifest_cap(), &what)?;
            if let Some(bytes) = bytes.filter(|bytes| digest.matches(bytes)) {
                return Ok(Some(bytes));
            }
        }
        Ok(None)
    }

    fn damaged(&self, reason: String) -> PullError {
        damaged(&self.root, reason)
    }
}

/// Returns the name of the file for a document, as the storage writes it.
fn file_name(key: &str) -> String {
    match key.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'.') {
        true => key.to_owned(),
        false => format!("={}", base64::engine::general_purpose::STANDARD.encode(key)),
    }
}

fn no_root() -> PullError {
    PullError::LocalStore {
        path: Utf8PathBuf::from("containers-storage"),
        reason: "its directory is not known".to_owned(),
        kind: ErrorKind::Argument,
        advice: Advice::with_setting(
            "give it by {setting}, or in the reference as containers-storage:[overlay@ROOT]NAME",
            Setting("storage_root"),
        ),
    }
}

/// Fails if `root` is not a storage whose layers can be read.
fn check_driver(root: &Utf8Path) -> Result<(), PullError> {
    let fault = |reason: String, kind, advice| {
        Err(PullError::LocalStore { path: root.to_owned(), reason, kind, advice: Advice::new(advice) })
    };
    match std::fs::metadata(root.join("overlay-images")) {
        Ok(_) => Ok(()),
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
            fault("this user may not read it".to_owned(), ErrorKind::Access, "run this as its owner")
        }
        Err(_) => match OTHER_DRIVERS.iter().find(|driver| root.join(format!("{driver}-images")).exists()) {
            Some(driver) => fault(
                format!("its driver is {driver}, and only the layers of the driver overlay are read"),
                ErrorKind::Unsupported,
                "push the image to an OCI layout, and give oci:DIR",
            ),
            None => fault(
                "it holds no images of podman, buildah or CRI-O".to_owned(),
                ErrorKind::NotFound,
                "check the directory of the storage",
            ),
        },
    }
}

/// Returns the image that a selector means.
fn choose<'a>(
    root: &Utf8Path,
    images: &'a [StoredImageEntry],
    selector: &Selector,
) -> Result<&'a StoredImageEntry, PullError> {
    let named = |wanted: &str| images.iter().find(|image| image.has_name(wanted));
    let by_name = |wanted: &str| {
        // Podman looks for a short name among its own images, too.
        named(wanted).or_else(|| named(&format!("localhost/{wanted}")))
    };
    let found = match selector {
        Selector::Only => None,
        Selector::Name(name) => by_name(name),
        Selector::Digest(digest) => images.iter().find(|image| image.has_digest(digest)),
        Selector::Pinned { name, digest } => by_name(name).filter(|image| image.has_digest(digest)),
    };
    found.ok_or_else(|| {
        let names: BTreeSet<String> =
            images.iter().flat_map(|image| &image.names).map(|name| one_line(name)).collect();
        PullError::UnknownImage {
            reference: format!("containers-storage:[overlay@{root}]{}", bare(selector)),
            detail: names_there_are(&names),
        }
    })
}

fn bare(selector: &Selector) -> String {
    let text = selector.to_string();
    text.strip_prefix(':').map(str::to_owned).unwrap_or(text)
}

impl StoredImageEntry {
    fn has_name(&self, wanted: &str) -> bool {
        self.names.iter().any(|name| is_same_name(name, wanted))
    }

    /// Whether a digest is the image's id, or that of one of its manifests.
    fn has_digest(&self, digest: &Digest) -> bool {
        let text = digest.to_string();
        let is_manifest = |key: &&String| key.starts_with(MANIFEST_KEY);
        self.id == digest.hex()
            || self.digest.as_deref() == Some(&text)
            || self.documents.keys().filter(is_manifest).any(|key| self.documents[key] == text)
    }
}

impl ImageSource for ContainersStorage {
    fn root(&self) -> Result<Root, PullError> {
        let what = format!("manifest of {}", self.image.id);
        let bytes = match self.wanted.as_ref().map(|digest| self.manifest_with(digest)).transpose()?.flatten()
        {
            Some(bytes) => bytes,
            // It was chosen by its name, or by its id.
            None => {
                let bytes = self.document_bytes(MANIFEST_KEY, self.options.manifest_cap(), &what)?;
                let bytes =
                    bytes.ok_or_else(|| self.damaged(format!("image {} has no manifest", self.image.id)))?;
                let by_id = self.wanted.as_ref().is_none_or(|digest| digest.hex() == self.image.id);
                if !by_id {
                    return Err(self.damaged(format!("image {} has another manifest", self.image.id)));
                }
                bytes
            }
        };
        Ok(Root::Document(Document { digest: Digest::of(&bytes), bytes, media_type: None }))
    }

    fn document(&self, descriptor: &Descriptor) -> Result<Document, PullError> {
        let digest = &descriptor.digest;
        let bytes = self.manifest_with(digest)?;
        let bytes = bytes.ok_or_else(|| self.damaged(format!("it lacks the manifest {digest}")))?;
        Ok(Document { digest: digest.clone(), bytes, media_type: Some(descriptor.media_type.clone()) })
    }

    fn config(&self, descriptor: &Descriptor) -> Result<Vec<u8>, PullError> {
        let digest = &descriptor.digest;
        let what = format!("image configuration {digest}");
        let bytes = self.document_bytes(&digest.to_string(), self.options.config_cap(), &what)?;
        bytes.ok_or_else(|| self.damaged(format!("it lacks the configuration {digest}")))
    }

    fn own_layers(
        &self,
        _manifest: &ImageManifest,
        config: &ImageConfig,
    ) -> Result<Option<Vec<Descriptor>>, PullError> {
        let diff_ids = &config.rootfs.diff_ids;
        if diff_ids.len() != self.layers.len() {
            return Err(self.damaged(format!(
                "image {} has {} layers in it, and {} in its configuration",
                self.image.id,
                self.layers.len(),
                diff_ids.len()
            )));
        }
        let own = self.layers.iter().zip(diff_ids).map(|(layer, diff_id)| {
            let size = match layer.size {
                Some(size) => size,
                None => layer.reader()?.measure().map_err(|error| layer.failed(error))?,
            };
            Ok(Descriptor::new(LAYER.to_owned(), diff_id.clone(), size))
        });
        own.collect::<Result<_, PullError>>().map(Some)
    }

    fn layers(&self, descriptors: &[Descriptor]) -> Result<Vec<Content>, PullError> {
        let layers = self.layers.iter().zip(descriptors).map(|(layer, descriptor)| {
            // Says now what is missing, before anything is written.
            drop(layer.reader()?);
            self.progress.emit(PullEvent::LayerCached {
                digest: descriptor.digest.clone(),
                size_bytes: descriptor.size,
            });
            let origin = format!("{} (layer {})", self.root, layer.id);
            Ok(Content::Streamed(StreamedBlob::new(descriptor.clone(), origin, layer.clone(), &self.stop)))
        });
        layers.collect()
    }
}

impl StorageLayer {
    fn reader(&self) -> Result<TarSplitReader, PullError> {
        let headers = self.root.join("overlay-layers").join(format!("{}.tar-split.gz", self.id));
        let file = std::fs::File::open(&headers).map_err(|source| match source.kind() {
            io::ErrorKind::NotFound => PullError::LocalStore {
                path: self.root.clone(),
                reason: format!("layer {} has no tar-split file, so its tar cannot be made again", self.id),
                kind: ErrorKind::Unsupported,
                advice: Advice::new("push the image to an OCI layout, and give oci:DIR"),
            },
            _ => PullError::io("open", &headers)(source),
        })?;
        let tree = self.root.join("overlay").join(&self.id).join("diff");
        let dir: OwnedFd = open_tree(&tree).map_err(|source| match source.kind() {
            io::ErrorKind::NotFound => {
                damaged(&self.root, format!("layer {} has no directory overlay/{0}/diff", self.id))
            }
            _ => PullError::io("open", &tree)(source),
        })?;
        TarSplitReader::new(file, dir).map_err(|error| self.failed(error))
    }
}

impl OpenBytes for StorageLayer {
    fn open(&self) -> Result<Box<dyn Read + Send>, PullError> {
        Ok(Box::new(self.reader()?))
    }

    fn failed(&self, error: io::Error) -> PullError {
        match error.kind() {
            io::ErrorKind::PermissionDenied => PullError::LocalStore {
                path: self.root.clone(),
                reason: format!("this user may not read a file of layer {}: {error}", self.id),
                kind: ErrorKind::Access,
                advice: Advice::new("run this as root, or in the user namespace of `podman unshare`"),
            },
            _ => damaged(&self.root, format!("layer {}: {error}", self.id)),
        }
    }
}
