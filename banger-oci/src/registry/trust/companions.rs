//! Documents that lie beside an image: signatures and other artifacts that refer to it.

use banger_tree::Budget;
use serde::Deserialize;

use super::signature::SignaturePlace;
use crate::digest::{Algorithm, Digest};
use crate::registry::cap::Cap;
use crate::registry::error::PullError;
use crate::registry::json::{self, JsonError, Loose, LooseObject};
use crate::registry::manifest::{Descriptor, bare_type};

/// The artifacts that refer to an image.
#[derive(Debug, Default)]
pub(crate) struct Referrers {
    pub(crate) manifests: Vec<Descriptor>,
    /// How they were found; `None` if nothing was there.
    pub(crate) found_by: Option<SignaturePlace>,
}

/// A place that can hold artifacts beside an image. It checks digest and size of what a descriptor names.
pub(crate) trait Companions {
    /// Returns the bytes of the document under a tag; `None` if there is none.
    fn tagged(&self, tag: &str) -> Result<Option<Vec<u8>>, PullError>;

    /// Returns the artifacts that refer to `digest`.
    fn referrers(&self, digest: &Digest) -> Result<Referrers, PullError>;

    /// Returns a manifest.
    fn companion_manifest(&self, descriptor: &Descriptor) -> Result<Vec<u8>, PullError>;

    /// Returns a blob, which is not larger than `cap`.
    fn companion_blob(&self, descriptor: &Descriptor, cap: Cap) -> Result<Vec<u8>, PullError>;
}

/// Returns the tag of the index of referrers, of which the tags of signatures are made (distribution-spec,
/// "Referrers Tag Schema"). `None` if a tag cannot be so long.
pub(crate) fn referrers_tag(digest: &Digest) -> Option<String> {
    (digest.algorithm() == Algorithm::Sha256).then(|| format!("sha256-{}", digest.hex()))
}

/// Returns the tag of the signatures of `digest`, as cosign has it.
pub(crate) fn signature_tag(digest: &Digest) -> Option<String> {
    referrers_tag(digest).map(|tag| format!("{tag}.sig"))
}

/// The fields of a manifest that say what it is, and what it refers to. Any of them may be odd.
#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Referring {
    artifact_type: Loose,
    config: LooseObject<ReferringConfig>,
    subject: LooseObject<ReferringSubject>,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct ReferringConfig {
    media_type: Loose,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct ReferringSubject {
    digest: Loose,
}

impl Referring {
    /// A document that is not JSON refers to nothing.
    fn parse(manifest: &[u8], budget: &Budget) -> Result<Self, PullError> {
        match json::parse(manifest, budget) {
            Ok(referring) => Ok(referring),
            Err(JsonError::Malformed(_)) => Ok(Self::default()),
            Err(error) => Err(PullError::document("a referring manifest")(error)),
        }
    }
}

/// Returns whether a manifest refers to `digest`.
pub(crate) fn refers_to(manifest: &[u8], digest: &Digest, budget: &Budget) -> Result<bool, PullError> {
    Ok(match Referring::parse(manifest, budget)?.subject {
        LooseObject::Object(subject) => subject.digest == Loose::Text(digest.to_string()),
        LooseObject::Absent | LooseObject::Odd => false,
    })
}

/// Returns the type of an artifact: that of its entry, else its own, else that of its configuration.
pub(crate) fn artifact_type(
    entry: &Descriptor,
    manifest: &[u8],
    budget: &Budget,
) -> Result<String, PullError> {
    if let Some(kind) = entry.artifact_type.as_deref().filter(|kind| !kind.is_empty()) {
        return Ok(bare_type(kind));
    }
    let referring = Referring::parse(manifest, budget)?;
    let own = referring.artifact_type.text().filter(|kind| !kind.is_empty());
    let of_config = || match referring.config {
        LooseObject::Object(config) => config.media_type.text(),
        LooseObject::Absent | LooseObject::Odd => None,
    };
    Ok(bare_type(&own.or_else(of_config).unwrap_or_default()))
}
