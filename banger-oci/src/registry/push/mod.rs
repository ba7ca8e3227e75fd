//! Pushes of artifacts: to a registry, a layout or an archive.

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
mod tar_writer;
mod target;
mod to_registry;
mod workers;

pub use artifact::{ArtifactBlobs, ArtifactToPush, PushedArtifact};
pub use beside::{PushedSignature, SignError};
pub(crate) use beside::{push_referrer, sign_artifact};
pub use error::PushError;
use plan::{PushPlan, PushTally};

/// Pushes an artifact to any target that takes one.
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
    check_target(target)?;
    let plan = PushPlan::new(artifact, target, options)?;
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
    match target {
        Reference::Registry(registry) => {
            to_registry::push(engine, registry, &plan, options, &progress, &run, &tally)?;
        }
        Reference::OciLayout { dir, selector } => {
            layout::push(dir, selector, &plan, options, &progress, &run, &tally)?;
        }
        Reference::OciArchive { file, selector } => {
            archive::push(file, selector, &plan, &progress, &run, &tally)?;
        }
        other => return Err(no_target(other)),
    }
    stop.check_handler()?;
    Ok(tally.into_pushed(&plan))
}

/// Fails if nothing can be pushed to `target`, whatever it is.
pub(crate) fn check_target(target: &Reference) -> Result<(), PushError> {
    match target {
        Reference::OciArchive { .. } if target.is_input() => Err(no_target(target)),
        Reference::OciArchive { file, .. } => archive::check_is_new(file),
        Reference::Registry(_) | Reference::OciLayout { .. } => Ok(()),
        other => Err(no_target(other)),
    }
}

fn no_target(target: &Reference) -> PushError {
    let reason = "artifacts go to registries, OCI layouts and OCI archives only";
    PushError::Target { target: target.to_string(), reason: reason.to_owned() }
}
