//! The kernel that an image is booted with.

use banger_kernel::Kernel;
use banger_tree::Cancellation;

use super::error::BootError;
use super::image::BootImage;
use crate::dirs::Dirs;
use crate::error::Error;
use crate::kernel::{KernelRecord, KernelStore, StoredKernel};
use crate::store::ImageLease;

/// A kernel to boot an image with.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct BootKernel {
    /// The kernel with its files.
    pub kernel: Kernel,
    /// Its record, if it is a kernel of the store.
    pub record: Option<KernelRecord>,
    /// Keeps the files in their places.
    pub lease: ImageLease,
}

impl From<StoredKernel> for BootKernel {
    fn from(kernel: StoredKernel) -> Self {
        let StoredKernel { record, kernel, lease, .. } = kernel;
        Self { kernel, record: Some(record), lease }
    }
}

impl BootKernel {
    /// Returns the kernel for `image`: the one of the store with the name, the id or the unique prefix of an id
    /// `wanted`; without it the only one in the store, or the only one for the processor of `image`.
    ///
    /// # Errors
    /// No kernel or several kernels fit ([`BootError`]), the store or the image cannot be read, or the caller asks to
    /// stop.
    pub fn choose(
        wanted: Option<&str>,
        image: &BootImage,
        dirs: &Dirs,
        cancellation: &Cancellation,
    ) -> Result<Self, Error> {
        match wanted {
            Some(wanted) => Ok(KernelStore::new(&dirs.state).open(wanted, cancellation)?.into()),
            None => Self::only(image, dirs, cancellation),
        }
    }

    /// Returns the only kernel in the store, or the only one for the processor of `image`.
    fn only(image: &BootImage, dirs: &Dirs, cancellation: &Cancellation) -> Result<Self, Error> {
        let store = KernelStore::new(&dirs.state);
        let mut kernels = store.list()?.kernels;
        let mut architecture = None;
        if kernels.len() > 1 {
            architecture = image.architecture(cancellation)?;
            let fits = |kernel: &KernelRecord| {
                architecture.as_deref().is_none_or(|found| found == kernel.architecture.name())
            };
            kernels.retain(fits);
        }
        match kernels.as_slice() {
            [kernel] => Ok(store.open(kernel.id.as_str(), cancellation)?.into()),
            [] => Err(BootError::NoKernel { architecture }.into()),
            several => {
                let names = several.iter().map(|kernel| kernel.name.to_string()).collect();
                Err(BootError::SeveralKernels { names }.into())
            }
        }
    }
}
