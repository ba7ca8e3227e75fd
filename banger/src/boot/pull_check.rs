//! The check of a kernel that comes with an image.

use banger_kernel::check::{CheckRequest, Outcome};
use banger_kernel::{Kernel, Vmm};
use banger_tree::Cancellation;
use camino::Utf8Path;

use super::check::check_image;
use super::image::BootImage;
use crate::error::Error;

/// Returns the reasons why `kernel` does not start the image in the ext4 file `path` well, one sentence each. QEMU
/// takes part in the check, as it starts every format of kernels. `verity` says whether the image gets a hash tree.
pub(crate) fn kernel_warnings(
    path: &Utf8Path,
    kernel: &Kernel,
    verity: bool,
    cancellation: &Cancellation,
) -> Result<Vec<String>, Error> {
    let request = CheckRequest::new(Vmm::Qemu).with_verity(verity);
    let findings = check_image(&BootImage::file(path), kernel, &request, cancellation)?;
    let warnings = findings.into_iter().filter_map(|finding| match finding.outcome {
        Outcome::Error => Some(format!("the image does not boot with this kernel: {}", finding.message)),
        Outcome::Warning => Some(format!("with this kernel: {}", finding.message)),
        _ => None,
    });
    Ok(warnings.collect())
}
