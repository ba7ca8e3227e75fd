//! Runs images in virtual machines that end with their caller.
//!
//! A [`VmDisk`] is a private copy of an image in a directory of its own, `<state>/vms/<id>.vm`. A [`Machine`] is a
//! QEMU process with that disk, a kernel and the small initramfs. It has the agent of the guest on a virtio port, and
//! QEMU's own network. When the machine is dropped, the process and the directory are gone. What a killed process
//! leaves is removed by [`sweep`], which every new disk calls first.
//!
//! Limits: QEMU only, on Linux hosts.

mod console;
mod disk;
mod error;
mod kvm;
mod launch;
mod machine;
#[cfg(target_os = "linux")]
mod processes;
#[cfg(not(target_os = "linux"))]
#[path = "no_processes.rs"]
mod processes;
mod request;
mod run;
mod vm_kernel;

pub use console::ConsoleHandler;
pub(crate) use console::last_lines;
pub use disk::{VmDisk, sweep};
pub use error::VmError;
pub use kvm::kvm_works;
pub use machine::Machine;
pub use request::VmRequest;
pub use run::{TimeLimit, VmRun, run_program, with_image_config};
pub use vm_kernel::choose_kernel;
