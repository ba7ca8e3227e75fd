//! Docker archives from before docker 1.10: `repositories` and one `json` per layer.

use std::sync::Arc;

use serde::Deserialize;

use super::docker_reading::{ArchiveReading, ArchivedConfig, ImageParts, layer_descriptor};
use super::layout::read_stored;
use crate::digest::Digest;
use crate::registry::config::{ContainerConfig, ImageConfig, RootfsConfig};
use crate::registry::error::PullError;
use crate::registry::json::{self, loose_text, nullable, nullable_object};

/// The `json` of a layer.
#[derive(Default, Deserialize)]
#[serde(default)]
struct LegacyLayer {
    #[serde(deserialize_with = "nullable")]
    parent: String,
    #[serde(deserialize_with = "loose_text")]
    created: Option<String>,
    #[serde(deserialize_with = "nullable")]
    architecture: String,
    #[serde(deserialize_with = "nullable")]
    os: String,
    #[serde(deserialize_with = "nullable_object")]
    config: ContainerConfig,
}

/// The image whose topmost layer is `top`.
pub(super) fn legacy_image(reading: &ArchiveReading<'_>, top: &str) -> Result<ImageParts, PullError> {
    let options = reading.options;
    // From the topmost layer down to the base.
    let mut layers = Vec::new();
    let mut topmost = None;
    let mut next = top.to_owned();
    while !next.is_empty() {
        let what = format!("the json of layer {}", next.escape_debug());
        options.check_layers(layers.len() + 1, &format!("image {}", top.escape_debug()))?;
        let json = reading.open(&format!("{next}/json"))?;
        let json = read_stored(&json, options.config_cap(), &what)?;
        let mut layer: LegacyLayer =
            json::parse(&json, &options.budget).map_err(PullError::document(what))?;
        let stored = reading.open(&format!("{next}/layer.tar"))?;
        let digest = reading.hash(&stored)?;
        layers.push((layer_descriptor(digest, stored.len), Arc::new(stored)));
        next = std::mem::take(&mut layer.parent);
        topmost.get_or_insert(layer);
    }
    layers.reverse();
    // The configuration of the topmost layer is that of the image; only the list of layers, which is
    // newer than this format, has to be added.
    let LegacyLayer { created, architecture, os, config, .. } = topmost.unwrap_or_default();
    let diff_ids = layers.iter().map(|(layer, _)| layer.digest.clone()).collect();
    let rootfs = RootfsConfig { kind: Some("layers".to_owned()), diff_ids };
    let config = ImageConfig { created, architecture, os, variant: None, config, rootfs };
    let config = serde_json::to_vec(&config).expect("a configuration is plain data");
    Ok(ImageParts {
        config_digest: Digest::of(&config),
        config_len: config.len() as u64,
        config: ArchivedConfig::Made(config),
        layers,
    })
}
