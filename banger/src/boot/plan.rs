//! The boot plan of an image.

use banger_kernel::initramfs::InitramfsOptions;
use banger_kernel::{BootPlan, BootRequest, Kernel};

use super::error::BootError;
use super::initramfs::small_initramfs;
use crate::dirs::Dirs;
use crate::error::Error;

/// Plans the start of `request` with `kernel`. The initrd is that of the request, else the kernel's own, else the
/// small initramfs, which this function makes in the cache of `dirs`. A kernel without modules needs none. A root that
/// dm-verity verifies gets the small initramfs with every kernel, unless the request has an initrd.
///
/// # Errors
/// The monitor does not start this kernel or cannot be given what the request asks for; or the errors of
/// [`small_initramfs`].
pub fn plan_boot(kernel: &Kernel, request: &BootRequest, dirs: &Dirs) -> Result<BootPlan, Error> {
    // Bad requests fail before anything is written.
    let plan = BootPlan::new(kernel, request).map_err(BootError::from)?;
    // The kernel's own initrd does not verify a root.
    let verity = request.verity.is_some() && request.initrd.is_none();
    if plan.initrd.is_some() && !verity {
        return Ok(plan);
    }
    let options = InitramfsOptions::default().with_disks(vec![request.root_disk()]).with_verity(verity);
    match small_initramfs(kernel, dirs, &options)? {
        Some(initrd) => {
            let request = request.clone().with_initrd(initrd);
            Ok(BootPlan::new(kernel, &request).map_err(BootError::from)?)
        }
        None => Ok(plan),
    }
}
