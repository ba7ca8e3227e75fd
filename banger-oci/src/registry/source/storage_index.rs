//! The tables of a container storage: `overlay-images/images.json` and `overlay-layers/layers.json`.

use std::collections::{BTreeMap, HashMap};
use std::io::{self, Read as _};

use banger_tree::{Advice, Budget, ErrorKind};
use camino::Utf8Path;
use serde::Deserialize;
use serde::de::DeserializeOwned;

use crate::registry::cap::Cap;
use crate::registry::error::PullError;
use crate::registry::json::{self, Loose, loose_list, loose_map, loose_text};

/// The largest table that is read.
const MAX_TABLE_BYTES: u64 = 64 << 20;
/// The most layers of an image: more than the kernel stacks.
const MAX_LAYERS: usize = 4096;

/// The error of a storage whose tables, headers or files do not fit.
pub(super) fn damaged(root: &Utf8Path, reason: String) -> PullError {
    PullError::LocalStore {
        path: root.to_owned(),
        reason,
        kind: ErrorKind::Damaged,
        advice: Advice::new("pull the image into it again"),
    }
}

/// The images and layers of a storage.
#[derive(Debug)]
pub(super) struct StorageIndex {
    pub(super) images: Vec<StoredImageEntry>,
    layers: HashMap<String, StoredLayerEntry>,
}

/// An image of `images.json`.
#[derive(Clone, Debug, Deserialize)]
pub(super) struct StoredImageEntry {
    pub(super) id: String,
    #[serde(default, deserialize_with = "loose_text")]
    pub(super) digest: Option<String>,
    #[serde(default, deserialize_with = "loose_list")]
    pub(super) names: Vec<String>,
    /// The uppermost layer.
    #[serde(default, deserialize_with = "loose_text")]
    pub(super) layer: Option<String>,
    /// The digests of its documents, by their keys.
    #[serde(default, rename = "big-data-digests", deserialize_with = "loose_map")]
    pub(super) documents: BTreeMap<String, String>,
}

/// A layer of `layers.json`.
#[derive(Clone, Debug, Deserialize)]
pub(super) struct StoredLayerEntry {
    pub(super) id: String,
    #[serde(default, deserialize_with = "loose_text")]
    parent: Option<String>,
    #[serde(default, rename = "diff-size")]
    diff_size: Loose,
}

impl StoredLayerEntry {
    /// Returns the size of the layer's tar, if the storage knows it.
    pub(super) fn size(&self) -> Option<u64> {
        self.diff_size.number().filter(|size| *size > 0)
    }
}

impl StorageIndex {
    pub(super) fn read(root: &Utf8Path, budget: &Budget) -> Result<Self, PullError> {
        let images: Vec<StoredImageEntry> = table(&root.join("overlay-images/images.json"), budget)?;
        let mut layers: HashMap<String, StoredLayerEntry> = HashMap::new();
        for name in ["layers.json", "volatile-layers.json"] {
            let found: Vec<StoredLayerEntry> = table(&root.join("overlay-layers").join(name), budget)?;
            layers.extend(found.into_iter().map(|layer| (layer.id.clone(), layer)));
        }
        Ok(Self { images, layers })
    }

    /// Returns the layers of an image, base first.
    pub(super) fn layers_of(
        &self,
        root: &Utf8Path,
        image: &StoredImageEntry,
    ) -> Result<Vec<&StoredLayerEntry>, PullError> {
        let mut chain = Vec::new();
        let mut next = image.layer.as_deref().filter(|id| !id.is_empty());
        while let Some(id) = next {
            let layer = self.layers.get(id);
            let layer =
                layer.ok_or_else(|| damaged(root, format!("image {} lacks the layer {id}", image.id)))?;
            // It becomes a part of a path.
            if !is_id(&layer.id) || chain.len() == MAX_LAYERS {
                return Err(damaged(root, format!("image {} has unusable layers", image.id)));
            }
            chain.push(layer);
            next = layer.parent.as_deref().filter(|id| !id.is_empty());
        }
        if !is_id(&image.id) {
            return Err(damaged(root, "an image has an unusable id".to_owned()));
        }
        chain.reverse();
        Ok(chain)
    }
}

fn is_id(id: &str) -> bool {
    !id.is_empty() && id.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_')
}

/// Reads a table; a missing one is empty.
fn table<T: DeserializeOwned>(path: &Utf8Path, budget: &Budget) -> Result<Vec<T>, PullError> {
    let file = match std::fs::File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(PullError::io("open", path)(error)),
    };
    let mut bytes = Vec::new();
    file.take(MAX_TABLE_BYTES + 1).read_to_end(&mut bytes).map_err(PullError::io("read", path))?;
    if Cap::fixed(MAX_TABLE_BYTES).check(bytes.len() as u64, "").is_err() {
        return Err(damaged(path, "it is too large for a table of images".to_owned()));
    }
    json::parse_list(&bytes, budget).map_err(PullError::document(path.as_str()))
}
