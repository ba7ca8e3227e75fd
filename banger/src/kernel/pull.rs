//! Pulls a kernel by its name in the catalog, or by reference.

use banger_kernel::KernelLimits;
use banger_oci::{Platform, PullOptions, Puller, Reference};
use banger_tree::Cancellation;

use super::catalog::KernelCatalog;
use super::import::{ImportedKernelFile, KernelImportRequest, import_kernel};
use super::source::KernelSourceName;
use crate::dirs::Dirs;
use crate::error::Error;
use crate::event::EventHandler;
use crate::store::ImageName;

/// Which kernel to pull, and under which name.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct KernelPullRequest {
    /// A name of the catalog, or a reference. A text of letters, digits, `.`, `_` and `-` is a name.
    pub wanted: String,
    /// The catalog.
    pub catalog: KernelCatalog,
    /// Name of the kernel; `None` for its name in the catalog, or its release.
    pub name: Option<ImageName>,
    /// Limits on the files of the kernel.
    pub limits: KernelLimits,
    /// Options of downloads: platform, registries, certificates.
    pub pull: PullOptions,
    /// The puller, whose threads, connections and limits several pulls may share; `None` makes a new one.
    pub puller: Option<Puller>,
}

impl KernelPullRequest {
    /// Returns the request for the kernel `wanted`, with the built-in catalog.
    pub fn new(wanted: impl Into<String>) -> Self {
        Self {
            wanted: wanted.into(),
            catalog: KernelCatalog::default(),
            name: None,
            limits: KernelLimits::default(),
            pull: PullOptions::default(),
            puller: None,
        }
    }
}

banger_tree::setters! {
    KernelPullRequest {
        with_catalog => catalog: KernelCatalog,
        with_name => name: Option<ImageName>,
        with_limits => limits: KernelLimits,
        with_pull => pull: PullOptions,
        with_puller => puller: Option<Puller>,
    }
}

/// Pulls a kernel into the kernel store under `dirs`: a kernel bundle, or an image with a kernel.
///
/// # Errors
/// The catalog does not have the name. Otherwise the errors of [`import_kernel`].
///
/// # Panics
/// The event handler panicked.
pub fn pull_kernel(
    request: &KernelPullRequest,
    dirs: &Dirs,
    events: &EventHandler,
    cancellation: &Cancellation,
) -> Result<ImportedKernelFile, Error> {
    let (reference, name) = match request.wanted.parse::<ImageName>() {
        Ok(name) => {
            let platform = request.pull.platform.clone().unwrap_or_else(Platform::host);
            let reference = request.catalog.find(&name, &platform.architecture)?;
            (reference.clone(), Some(name))
        }
        Err(_) => (request.wanted.parse::<Reference>()?, None),
    };
    let import = KernelImportRequest::new(KernelSourceName::Reference(reference))
        .with_name(request.name.clone().or(name))
        .with_limits(request.limits.clone())
        .with_pull(request.pull.clone())
        .with_puller(request.puller.clone());
    import_kernel(&import, dirs, events, cancellation)
}
