//! Booting a finished image: the kernel for it, whether they fit, and what a virtual machine monitor needs.
//!
//! [`BootImage::open`] finds an image, and [`BootKernel::choose`] a kernel for it. [`check_image`] says before the
//! boot why the kernel cannot start the image. [`plan_boot`] makes the [`BootPlan`] of a virtual machine monitor,
//! with the initrd that the kernel needs.
//!
//! ```no_run
//! use banger::boot::{BootImage, BootKernel, BootRequest, CheckRequest, Outcome, Vmm, check_image, plan_boot};
//! use banger::{Cancellation, Dirs};
//!
//! let (dirs, cancellation) = (Dirs::of_user()?, Cancellation::new());
//! let image = BootImage::open("debian-bookworm", &dirs, &cancellation)?;
//! let kernel = BootKernel::choose(None, &image, &dirs, &cancellation)?;
//! for finding in check_image(&image, &kernel.kernel, &CheckRequest::new(Vmm::Firecracker), &cancellation)? {
//!     if finding.outcome == Outcome::Error {
//!         println!("{}: {}", finding.subject, finding.message);
//!     }
//! }
//! let request = BootRequest::new(Vmm::Firecracker, &image.path).with_verity(image.verity_disk());
//! let plan = plan_boot(&kernel.kernel, &request, &dirs)?;
//! println!("{:?}", plan.render());
//! # Ok::<(), banger::Error>(())
//! ```

mod check;
mod document;
mod error;
mod facts;
mod image;
mod initramfs;
mod kernel;
mod plan;
mod pull_check;

pub use banger_kernel::check::{
    CheckRequest, Finding, GuestFacts, InitrdCompression, KernelConfig, KernelFacts, OptionValue, Outcome,
    Profile, Subject, UnknownProfile, check_kernel,
};
pub use banger_kernel::initramfs::{
    InitramfsCompression, InitramfsError, InitramfsOptions, RootDisk, UnknownRootDisk,
};
pub use banger_kernel::{
    Acceleration, BootFormat, BootPlan, BootPlanError, BootRequest, QemuOptions, RenderedPlan, TapDevice,
    UnknownAcceleration, UnknownVmm, VerityDisk, Vmm,
};
pub use check::check_image;
pub use document::{BootPlanDocument, KernelCheckDocument};
pub use error::BootError;
pub use facts::{guest_facts, kernel_facts};
pub use image::BootImage;
pub use initramfs::small_initramfs;
pub use kernel::BootKernel;
pub use plan::plan_boot;

pub(crate) use pull_check::kernel_warnings;
