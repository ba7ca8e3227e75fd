//! Kernels for the root file systems of banger: where they come from, what they can start, and how.
//!
//! [`import_kernel`] takes the newest kernel out of a Debian, RPM or Alpine package, a directory, a root file
//! system or plain files, without a package manager. It gets the vmlinux out of a bzImage, and finds the
//! configuration and the modules.
//!
//! ```no_run
//! use banger_kernel::{KernelLimits, KernelSource, import_kernel};
//! use banger_tree::Cancellation;
//!
//! let source = KernelSource::Path("linux-image-6.1.0-50-cloud-amd64.deb".into());
//! let (limits, cancellation) = (KernelLimits::default(), Cancellation::new());
//! let imported = import_kernel(&[source], "kernel".into(), &limits, &|_| {}, &cancellation)?;
//! println!("{} is in {}", imported.kernel.release, imported.kernel.files.image);
//! # Ok::<(), banger_kernel::KernelError>(())
//! ```
//!
//! Limits: kernels for amd64 and arm64. [`KernelLimits`] limits what a source may cost.

mod boot_plan;
mod bundle;
pub mod check;
mod error;
mod find;
mod image;
mod import;
pub mod initramfs;
mod kernel;
mod modules;
mod read;
mod run;
mod source;

pub use boot_plan::{
    Acceleration, BootFormat, BootPlan, BootPlanError, BootRequest, PortForward, PortForwardError,
    QemuOptions, RenderedPlan, TapDevice, UnknownAcceleration, UnknownVmm, UserNetwork, VerityDisk, Vmm,
};
pub use bundle::{
    BUNDLE_CONFIG_TYPE, BUNDLE_TYPE, BundleConfig, BundleFacts, BundleFile, BundleFileKind, BundledKernel,
    WrittenBundle, is_bundle_tag, write_bundle,
};
pub use error::KernelError;
pub use import::{ConfigOrigin, ImportedKernel, import_kernel};
pub use kernel::{Kernel, KernelArchitecture, KernelFiles, KernelFormat, MODULES_DEP};
pub use modules::ModuleSet;
pub use read::PackageInfo;
pub use run::{KernelLimits, KernelProgress};
pub use source::{KernelSource, PlainFiles, SourceFormat};
