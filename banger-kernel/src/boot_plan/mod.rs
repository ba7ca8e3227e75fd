//! Boot plans: what a virtual machine monitor needs to start an image with a kernel.

mod cloud_hypervisor;
mod error;
mod firecracker;
mod libkrun;
mod plan;
mod qemu;
mod render;
mod request;
mod verity;
mod virtualization;
mod vmm;

pub use error::BootPlanError;
pub(crate) use plan::kernel_file;
pub use plan::{BootFormat, BootPlan};
pub use render::RenderedPlan;
pub use request::{
    Acceleration, BootRequest, PortForward, PortForwardError, QemuOptions, TapDevice, UnknownAcceleration,
    UserNetwork,
};
pub use verity::VerityDisk;
pub use vmm::{UnknownVmm, Vmm};
