//! Pushes of artifacts and images: to a registry, a layout or an archive.

use std::sync::Arc;

use banger_tree::Cancellation;

use crate::reference::Reference;
use crate::registry::engine::Engine;
use crate::registry::event::{Progress, PullEvent};
use crate::registry::options::PullOptions;
use crate::registry::stop::PullStop;

mod archive;
mod artifact;
mod beside;
mod blob_upload;
mod chunks;
mod error;
mod layout;
mod layout_index;
mod location;
mod manifest_upload;
mod plan;
mod target;
mod target_kind;
mod to_registry;
mod workers;

pub use artifact::{ArtifactBlobs, ArtifactToPush, BlobFiles, PushedArtifact};
pub use beside::{PushedSignature, SignError};
pub(crate) use beside::{push_referrer, sign_artifact};
pub use error::PushError;
use plan::{PushPlan, PushTally};
use target_kind::TargetKind;
pub use target_kind::check_push_target;

/// Pushes an artifact or an image to any target that takes one.
pub(crate) fn push_artifact(
    engine: &Arc<Engine>,
    target: &Reference,
    artifact: &ArtifactToPush<'_>,
    options: &PullOptions,
    progress: &Progress,
    cancellation: &Cancellation,
) -> Result<PushedArtifact, PushError> {
    let stop = PullStop::of_push(cancellation);
    let progress = progress.guarded(&stop);
    let plan = PushPlan::new(artifact, target, options)?;
    let kind = TargetKind::of(target)?;
    progress.emit(PullEvent::Pushing {
        target: target.to_string(),
        digest: plan.digest.clone(),
        blobs: plan.blobs.len() as u64,
        total_bytes: plan.blobs.iter().fold(0, |sum, blob| sum.saturating_add(blob.size)),
    });
    stop.check()?;
    let tally = PushTally::default();
    let threads = options.jobs.clamp(1, engine.most_transfers());
    let run = workers::Workers { threads, stop: &stop };
    match kind {
        TargetKind::Registry(registry) => {
            to_registry::push(engine, registry, &plan, options, &progress, &run, &tally)?;
        }
        TargetKind::Layout(dir, selector) => {
            layout::push(dir, selector, &plan, options, &progress, &run, &tally)?;
        }
        TargetKind::Archive(file, selector) => {
            archive::push(file, selector, &plan, &progress, &run, &tally)?;
        }
    }
    stop.check_handler()?;
    Ok(tally.into_pushed(&plan))
}
