//! Kernels for the root file systems of banger: where they come from, what they can start, and how.

mod boot_plan;
pub mod check;
pub mod initramfs;
mod kernel;

pub use boot_plan::{
    Acceleration, BootFormat, BootPlan, BootPlanError, BootRequest, QemuOptions, RenderedPlan, TapDevice,
    UnknownVmm, Vmm,
};
pub use kernel::{Kernel, KernelArchitecture, KernelFiles, KernelFormat, MODULES_DEP};
