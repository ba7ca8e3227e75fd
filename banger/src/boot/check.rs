//! Whether a kernel starts an image.

use std::io::Read as _;

use banger_kernel::Kernel;
use banger_kernel::check::{CheckRequest, Finding, InitrdCompression, check_kernel};
use banger_tree::Cancellation;
use camino::Utf8Path;

use super::facts::{guest_facts, kernel_facts};
use super::image::BootImage;
use crate::error::Error;
use crate::host_file::open_plain_path;
use crate::store::StoreError;

/// Checks whether `kernel` can start `image`: errors first, then warnings, then what is not known.
///
/// A kernel without modules and without an initrd of its own is started without an initrd, whatever `request` says.
/// An image with a dm-verity hash tree is started with the small initramfs.
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
    let verity = request.verity || image.verity_disk().is_some();
    let has_initrd = verity || kernel.files.initrd.is_some() || kernel.files.modules.is_some();
    let mut request = request.clone().with_verity(verity).with_initrd(request.initrd && has_initrd);
    // The small initramfs, which is not compressed, takes the place of the kernel's own for a verified root.
    if let Some(initrd) = kernel.files.initrd.as_ref().filter(|_| !verity) {
        request.initrd_compression = compression_of(initrd)?;
    }
    let mut findings = check_kernel(kernel, &facts, &guest, &request);
    findings.sort_by_key(|finding| finding.outcome);
    Ok(findings)
}

fn compression_of(initrd: &Utf8Path) -> Result<Option<InitrdCompression>, Error> {
    let failed = |source| StoreError::io("read", initrd, source);
    let file = open_plain_path(initrd).map_err(failed)?;
    let mut start = Vec::new();
    file.take(InitrdCompression::START_BYTES as u64).read_to_end(&mut start).map_err(failed)?;
    Ok(InitrdCompression::of(&start))
}
