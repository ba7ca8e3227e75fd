//! Artifacts that refer to a pushed one (OCI distribution-spec 1.1, "Pushing Manifests with Subject").

use std::sync::Arc;

use banger_tree::Cancellation;

use super::place::PushPlace;
use crate::digest::Digest;
use crate::reference::Reference;
use crate::registry::engine::Engine;
use crate::registry::event::Progress;
use crate::registry::manifest::{Descriptor, OCI_INDEX, OCI_MANIFEST};
use crate::registry::options::PullOptions;
use crate::registry::push::artifact::{ArtifactToPush, PushedArtifact};
use crate::registry::push::error::PushError;
use crate::registry::push::layout_index::with_entry;
use crate::registry::push::manifest_upload::ManifestUpload;
use crate::registry::push::push_artifact;
use crate::registry::stop::PullStop;
use crate::registry::trust::companions::referrers_tag;

/// Pushes an artifact that refers to another one in the same place. It has no tag. A registry that keeps no lists of
/// referrers gets the list under the tag that the specification names.
pub(crate) fn push_referrer(
    engine: &Arc<Engine>,
    target: &Reference,
    artifact: &ArtifactToPush<'_>,
    options: &PullOptions,
    progress: &Progress,
    cancellation: &Cancellation,
) -> Result<PushedArtifact, PushError> {
    let stop = PullStop::of_push(cancellation);
    let Some(subject) = &artifact.manifest.subject else {
        return Err(PushError::Artifact { reason: "its manifest refers to no other one".to_owned() });
    };
    let Some(place) = PushPlace::open(engine, target, options, progress, &stop)? else {
        let reason = "artifacts beside others go to registries and OCI layouts only".to_owned();
        return Err(PushError::Target { target: target.to_string(), reason });
    };
    let manifest =
        serde_json::to_vec(artifact.manifest).expect("keys are texts, and nothing fails to serialize");
    let digest = Digest::of(&manifest);
    let named = place.digest_reference(&digest);
    let pushed = push_artifact(engine, &named, artifact, options, progress, cancellation)?;
    if place.lists(&subject.digest, &digest)? {
        return Ok(pushed);
    }
    let Some(tag) = referrers_tag(&subject.digest) else {
        let reason = format!("its registry keeps no list of what refers to {}", subject.digest);
        return Err(PushError::Target { target: target.to_string(), reason });
    };
    let entry = Descriptor {
        artifact_type: artifact.manifest.artifact_type.clone(),
        annotations: artifact.manifest.annotations.clone(),
        ..Descriptor::new(OCI_MANIFEST, digest, manifest.len() as u64)
    };
    let existing = place.tagged(&tag)?;
    let what = format!("the list of referrers {tag}");
    let index = with_entry(existing.as_deref(), entry, None, &what, &options.budget.renewed())?;
    if existing.as_deref() != Some(&index[..]) {
        options.manifest_cap().check(index.len() as u64, &what)?;
        place.put_document(ManifestUpload {
            name: tag,
            media_type: OCI_INDEX.to_owned(),
            digest: Digest::of(&index),
            bytes: index.into(),
        })?;
    }
    Ok(pushed)
}
