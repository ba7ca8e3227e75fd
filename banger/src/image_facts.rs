//! The part of a pulled image that a record keeps.

use banger_oci::{PulledImage, PulledReferrer, VerifiedSignature};

use crate::store::{ImageConfigRecord, ImageRecord, LayerRecord, ReferrerRecord};

/// The part of a pulled image that a record keeps.
pub(crate) struct ImageFacts {
    pub(crate) source: String,
    pub(crate) digest: String,
    pub(crate) index_digest: Option<String>,
    pub(crate) platform: String,
    pub(crate) config: ImageConfigRecord,
    pub(crate) layers: Vec<LayerRecord>,
    pub(crate) signatures: Vec<VerifiedSignature>,
    pub(crate) referrers: Vec<PulledReferrer>,
}

impl ImageFacts {
    pub(crate) fn of(image: &PulledImage) -> Self {
        let layer_record = |layer: &banger_oci::Layer| {
            let descriptor = &layer.descriptor;
            LayerRecord::new(descriptor.digest.to_string(), layer.diff_id.to_string(), descriptor.size)
        };
        Self {
            source: image.resolved.to_string(),
            digest: image.digest.to_string(),
            index_digest: image.index_digest.as_ref().map(ToString::to_string),
            platform: image.platform.to_string(),
            config: ImageConfigRecord::of(&image.config),
            layers: image.layers.iter().map(layer_record).collect(),
            signatures: image.signatures.clone(),
            referrers: image.referrers.clone(),
        }
    }
}

/// Returns whether a record has the signatures that a pull verified and the referrers that it fetched.
pub(crate) fn has_companions(
    record: &ImageRecord,
    signatures: &[VerifiedSignature],
    referrers: &[PulledReferrer],
) -> bool {
    signatures.iter().all(|signature| record.signatures.contains(signature))
        && referrers.iter().all(|referrer| record.referrers.contains(&ReferrerRecord::from(referrer)))
}
