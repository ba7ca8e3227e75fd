//! The kernel of a machine.

use banger_tree::Cancellation;

use super::error::VmError;
use crate::dirs::Dirs;
use crate::error::Error;
use crate::event::EventHandler;
use crate::kernel::{
    KernelImportRequest, KernelListing, KernelSourceName, KernelStore, StoredKernel, import_kernel,
};

/// Returns the kernel that a machine starts: the one named `wanted`, else the only one of the kernel store, else
/// the kernel of this host, which the function imports.
///
/// # Errors
/// The kernel does not exist, there are several, or the host's kernel cannot be imported.
pub fn choose_kernel(
    wanted: Option<&str>,
    dirs: &Dirs,
    events: &EventHandler,
    cancellation: &Cancellation,
) -> Result<StoredKernel, Error> {
    let store = KernelStore::new(&dirs.state);
    if let Some(wanted) = wanted {
        return Ok(store.open(wanted, cancellation)?);
    }
    let KernelListing { kernels, .. } = store.list()?;
    match kernels.as_slice() {
        [kernel] => Ok(store.open(kernel.id.as_str(), cancellation)?),
        [] => {
            let request = KernelImportRequest::new(KernelSourceName::Host);
            Ok(import_kernel(&request, dirs, events, cancellation)?.stored)
        }
        kernels => {
            let names = kernels.iter().map(|kernel| kernel.name.to_string()).collect();
            Err(VmError::SeveralKernels { names }.into())
        }
    }
}
