//! What to build.

use super::step::BuildStep;
use crate::store::{ImageName, StoredImage};
use crate::verity::VerityPlace;
use crate::vm::VmRequest;

/// What to build, and from what.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct ImageBuildRequest {
    /// The managed image to start from: name, id, or unique beginning of an id.
    pub base: String,
    /// The name of the new image. It takes the place of an older image of this name.
    pub name: ImageName,
    /// The steps, in their order.
    pub steps: Vec<BuildStep>,
    /// The kernel of the machine, see [`choose_kernel`](crate::vm::choose_kernel).
    pub kernel: Option<String>,
    /// The machine.
    pub vm: VmRequest,
    /// Size of the new file system; `None` for that of the base.
    pub size_bytes: Option<u64>,
    /// Where the dm-verity hash tree goes; `None` makes none. Only `beside` is possible.
    pub verity: Option<VerityPlace>,
    /// Whether steps that were done before are done again.
    pub no_cache: bool,
}

impl ImageBuildRequest {
    /// Asks for an image `name`, built from `base`, without a step.
    pub fn new(base: impl Into<String>, name: ImageName) -> Self {
        Self {
            base: base.into(),
            name,
            steps: Vec::new(),
            kernel: None,
            vm: VmRequest::default(),
            size_bytes: None,
            verity: None,
            no_cache: false,
        }
    }
}

banger_tree::setters! {
    ImageBuildRequest {
        with_steps => steps: Vec<BuildStep>,
        with_kernel => kernel: Option<String>,
        with_vm => vm: VmRequest,
        with_size_bytes => size_bytes: Option<u64>,
        with_verity => verity: Option<VerityPlace>,
        with_no_cache => no_cache: bool,
    }
}

/// An image that was built.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct BuiltImage {
    /// The image in the store.
    pub image: StoredImage,
    /// Number of programs that ran; the others were in the cache.
    pub programs_run: usize,
    /// Whether the image was there already, built by the same steps.
    pub unchanged: bool,
}
