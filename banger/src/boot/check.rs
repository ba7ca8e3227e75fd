//! Whether a kernel starts an image.

use banger_kernel::Kernel;
use banger_kernel::check::{CheckRequest, Finding, check_kernel};
use banger_tree::Cancellation;

use super::facts::{guest_facts, kernel_facts};
use super::image::BootImage;
use crate::error::Error;

/// Checks whether `kernel` can start `image`: errors first, then warnings, then what is not known.
///
/// A kernel without modules and without an initrd of its own is started without an initrd, whatever `request` says.
/// To check a boot with another initrd, set it as [`KernelFiles::initrd`](crate::KernelFiles::initrd).
///
/// # Errors
/// The image or a file of the kernel cannot be read, or the caller asks to stop. A finding is not an error of this
/// function.
pub fn check_image(
    image: &BootImage,
    kernel: &Kernel,
    request: &CheckRequest,
    cancellation: &Cancellation,
) -> Result<Vec<Finding>, Error> {
    let facts = kernel_facts(kernel)?;
    let guest = guest_facts(image, request.init.as_deref(), cancellation)?;
    let has_initrd = kernel.files.initrd.is_some() || kernel.files.modules.is_some();
    let request = request.clone().with_initrd(request.initrd && has_initrd);
    let mut findings = check_kernel(kernel, &facts, &guest, &request);
    findings.sort_by_key(|finding| finding.outcome);
    Ok(findings)
}
