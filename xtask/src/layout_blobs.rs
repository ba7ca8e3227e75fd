//! Blobs of OCI layouts.

use std::path::{Path, PathBuf};

use anyhow::Context as _;
use serde_json::Value;

/// The published layers of an image, base first.
pub(crate) fn layers(layout: &Path) -> anyhow::Result<Vec<PathBuf>> {
    let json = |path: &Path| -> anyhow::Result<Value> {
        Ok(serde_json::from_slice(&std::fs::read(path).with_context(|| path.display().to_string())?)?)
    };
    let index = json(&layout.join("index.json"))?;
    let manifest = json(&blob(layout, &index["manifests"][0])?)?;
    let layers = manifest["layers"].as_array().context("a manifest has layers")?;
    layers.iter().map(|layer| blob(layout, layer)).collect()
}

/// The file of what `descriptor` describes.
pub(crate) fn blob(layout: &Path, descriptor: &Value) -> anyhow::Result<PathBuf> {
    let digest = descriptor["digest"].as_str().context("a descriptor has a digest")?;
    Ok(layout.join("blobs").join(digest.replace(':', "/")))
}
