//! What an image is, before any layer of it is downloaded.

use std::collections::HashSet;

use banger_boot::{BootContract, InitMode};
use banger_oci::{InspectedImage, Puller, PullerOptions};
use banger_tree::Cancellation;
use serde::Serialize;

use crate::dirs::Dirs;
use crate::error::Error;
use crate::event::{Event, EventHandler};
use crate::fetch::Fetch;
use crate::guest_binary::guest_binary;
use crate::request::PullRequest;
use crate::store::{ImageConfigRecord, ImageStore};

/// What manifest and configuration of an image tell. Its JSON form is the output of `banger image inspect --json`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct ImageInspection {
    /// Version of this document.
    pub version: u32,
    /// The reference in full.
    pub reference: String,
    /// Digest of the image manifest.
    pub digest: String,
    /// Digest of the index that led to the manifest.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub index_digest: Option<String>,
    /// Platform of the image: `linux/amd64`.
    pub platform: String,
    /// All platforms that the reference has images for.
    pub platforms: Vec<String>,
    /// When the image was made, as it says.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub created: Option<String>,
    /// How the image wants to be run.
    pub config: ImageConfigRecord,
    /// Its layers, base first.
    pub layers: Vec<InspectedLayer>,
    /// Bytes to download for all layers; a repeated layer counts once.
    pub size_bytes: u64,
    /// Whether the image will boot, and how.
    pub boot: BootOutlook,
    /// Odd facts that do not fail a pull.
    pub warnings: Vec<String>,
}

/// A layer as it is published.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct InspectedLayer {
    /// Its digest.
    pub digest: String,
    /// Its compressed size.
    pub size_bytes: u64,
    /// Its media type.
    pub media_type: String,
}

/// What is known of the boot of an image without its layers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct BootOutlook {
    /// Whether the image will boot; `None` if that depends on its layers.
    pub boots: Option<bool>,
    /// The init that it boots with; `None` if that depends on its layers.
    pub init: Option<BootContract>,
    /// Where this is known from, or what it depends on.
    pub reason: String,
}

/// The work of [`inspect_image`](crate::inspect_image).
pub(crate) fn inspect_image(
    request: &PullRequest,
    dirs: &Dirs,
    events: &EventHandler,
    cancellation: &Cancellation,
) -> Result<ImageInspection, Error> {
    let Fetch { cache, progress } = Fetch::open(dirs, events, cancellation)?;
    let puller = request.puller.clone().unwrap_or_else(|| Puller::new(PullerOptions::default()));
    let options = request.pull_options();
    let image = puller.inspect(&request.reference, &cache, &options, &progress, cancellation)?;
    for message in &image.warnings {
        events.emit(&Event::Warning { message: message.clone() }, cancellation);
    }
    let boot = outlook(request, &image, dirs);
    Ok(inspection(image, boot))
}

fn inspection(image: InspectedImage, boot: BootOutlook) -> ImageInspection {
    let mut counted = HashSet::new();
    let new_bytes = |layer: &banger_oci::Descriptor| match counted.insert(layer.digest.clone()) {
        true => layer.size,
        false => 0,
    };
    let layers = &image.manifest.layers;
    ImageInspection {
        version: 1,
        reference: image.reference.to_string(),
        digest: image.digest.to_string(),
        index_digest: image.index_digest.map(|digest| digest.to_string()),
        platform: image.platform.to_string(),
        platforms: image.platforms.iter().map(ToString::to_string).collect(),
        size_bytes: layers.iter().map(new_bytes).fold(0, u64::saturating_add),
        created: image.config.created.clone(),
        config: ImageConfigRecord::of(&image.config),
        layers: layers
            .iter()
            .map(|layer| InspectedLayer {
                digest: layer.digest.to_string(),
                size_bytes: layer.size,
                media_type: layer.media_type.clone(),
            })
            .collect(),
        boot,
        warnings: image.warnings,
    }
}

/// Returns what is known of the boot.
fn outlook(request: &PullRequest, image: &InspectedImage, dirs: &Dirs) -> BootOutlook {
    let Some(guest) = &request.guest else {
        let reason = "nothing is added to the image; its layers decide whether it has an init".to_owned();
        return BootOutlook { boots: None, init: None, reason };
    };
    if let Err(error) = guest_binary(guest, &image.platform.architecture) {
        return BootOutlook { boots: Some(false), init: None, reason: error.to_string() };
    }
    // The same image was built before: its record has the answer.
    let digest = image.digest.to_string();
    let listed = ImageStore::new(&dirs.state).list().map(|listing| listing.images).unwrap_or_default();
    let is_same = |init: &str| init == guest.init.name();
    let known = listed.iter().find(|record| {
        record.digest == digest
            && record.boot_contract.is_some()
            && record.build.guest.as_ref().is_some_and(|built| is_same(&built.init))
    });
    if let Some((record, contract)) = known.and_then(|record| Some((record, record.boot_contract?))) {
        let reason = format!("the image {} was built from it", record.name);
        return BootOutlook { boots: Some(true), init: Some(contract), reason };
    }
    let (boots, init, reason) = match guest.init {
        InitMode::Banger => {
            (Some(true), Some(BootContract::Banger), "banger-init is the init that was asked for")
        }
        InitMode::Image => (None, None, "the layers decide whether the image has an init"),
        InitMode::Install => (
            Some(true),
            None,
            "the image's init, if its layers have one; else banger-init, until the first boot has installed one",
        ),
        _ => (
            Some(true),
            None,
            "the image's init, if its layers have one; else banger-init, which runs the entry point",
        ),
    };
    BootOutlook { boots, init, reason: reason.to_owned() }
}
