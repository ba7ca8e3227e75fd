//! The kernel of a machine.

use banger_kernel::Vmm;
use banger_kernel::check::{CheckRequest, Outcome};
use banger_tree::Cancellation;

use super::error::VmError;
use crate::boot::{BootError, BootImage, BootKernel, check_image};
use crate::dirs::Dirs;
use crate::error::Error;
use crate::event::EventHandler;
use crate::kernel::{KernelImportRequest, KernelSourceName, import_kernel};

/// Returns the kernel that a machine starts `image` with: the one that [`BootKernel::choose`] finds, else the kernel
/// of this host, which the function imports. Checks whether the kernel can start the image by QEMU.
///
/// # Errors
/// The errors of [`BootKernel::choose`], the host's kernel cannot be imported, or the kernel cannot start the image.
pub fn choose_kernel(
    wanted: Option<&str>,
    image: &BootImage,
    dirs: &Dirs,
    events: &EventHandler,
    cancellation: &Cancellation,
) -> Result<BootKernel, Error> {
    let kernel = match BootKernel::choose(wanted, image, dirs, cancellation) {
        Err(Error::Boot(error @ BootError::NoKernel { .. })) => {
            let request = KernelImportRequest::new(KernelSourceName::Host);
            match import_kernel(&request, dirs, events, cancellation) {
                Ok(imported) => imported.stored.into(),
                // The host has no kernel either: what the user can do is import one.
                Err(Error::Kernel(_)) => return Err(error.into()),
                Err(other) => return Err(other),
            }
        }
        kernel => kernel?,
    };
    let findings = check_image(image, &kernel.kernel, &CheckRequest::new(Vmm::Qemu), cancellation)?;
    let errors = findings.into_iter().filter(|finding| finding.outcome == Outcome::Error);
    let findings: Vec<String> = errors.map(|finding| finding.message).collect();
    match findings.is_empty() {
        true => Ok(kernel),
        false => Err(VmError::Unfit { kernel: kernel.kernel.release, findings }.into()),
    }
}
