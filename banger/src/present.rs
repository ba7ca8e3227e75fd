//! Managed images that make a request to a registry needless.

use banger_oci::{Platform, PullPolicy, Reference};
use banger_tree::Cancellation;

use crate::error::Error;
use crate::file_system::FileSystemOptions;
use crate::request::PullRequest;
use crate::store::{ImageName, ImageRecord, ImageStore, StoredImage};

/// Returns the managed image that an earlier pull of the same reference with the same options left, if the policy does
/// not want the registry to be asked.
pub(crate) fn present_image(
    request: &PullRequest,
    kernel: Option<&str>,
    store: &ImageStore,
    name: &ImageName,
    cancellation: &Cancellation,
) -> Result<Option<StoredImage>, Error> {
    let is_of_registry = matches!(request.reference, Reference::Registry(_));
    // Signatures and referrers are asked for at each pull.
    let needs_companions = request.pull.trust.is_some() || request.pull.referrers;
    let asks = request.force || needs_companions || request.pull.policy == PullPolicy::Always;
    if asks || !is_of_registry {
        return Ok(None);
    }
    let images = store.list()?.images;
    let fits = |record: &&ImageRecord| {
        record.name == *name && store.has_files(record) && is_made_as_asked(record, request, kernel)
    };
    match images.iter().find(fits) {
        Some(record) => Ok(store.keep(record.clone(), cancellation)?),
        None => Ok(None),
    }
}

/// Whether a record is that of the image that the request makes. The version of the guest binary does not count.
fn is_made_as_asked(record: &ImageRecord, request: &PullRequest, kernel: Option<&str>) -> bool {
    let wanted = request.pull.platform.clone().unwrap_or_else(Platform::host);
    let is_of_platform = record.platform.parse().is_ok_and(|platform: Platform| platform.is_like(&wanted));
    let build = &record.build;
    let init = request.guest.as_ref().map(|guest| guest.init.name());
    if record.source != request.reference.to_string() || !is_of_platform {
        return false;
    }
    // A finished image was made elsewhere: the request cannot change it.
    if record.artifact.is_some() {
        let has_tree = record.verity.is_some() || request.verity.is_none();
        return has_tree && kernel.is_none() && request.file_system == FileSystemOptions::default();
    }
    build.backend == request.backend.name()
        && build.file_system == request.file_system
        && build.kernel.as_deref() == kernel
        && build.verity == request.verity
        && build.guest.as_ref().map(|guest| guest.init.as_str()) == init
        && request.source_date_epoch.is_none_or(|seconds| seconds == build.timestamp_seconds)
}
