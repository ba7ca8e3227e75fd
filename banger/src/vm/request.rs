//! What a machine is made of.

use std::time::Duration;

use banger_kernel::{Acceleration, PortForward};
use camino::Utf8PathBuf;

use super::console::ConsoleHandler;

/// What a machine is made of, besides its disk and kernel.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct VmRequest {
    /// Processors, 1 by default.
    pub cpus: u32,
    /// Memory in MiB, 1024 by default.
    pub memory_mib: u32,
    /// How instructions run; `None` tries KVM once and remembers the result, see [`kvm_works`](super::kvm_works).
    pub acceleration: Option<Acceleration>,
    /// The program; `None` for `qemu-system-x86_64` or `qemu-system-aarch64` in `PATH`.
    pub qemu: Option<Utf8PathBuf>,
    /// Ports of the host that lead to ports of the guest.
    pub forwards: Vec<PortForward>,
    /// The hostname of the guest; `None` for that of the image.
    pub hostname: Option<String>,
    /// Whether a pending first boot is done. It installs an SSH server, and takes a while; off by default.
    pub first_boot: bool,
    /// Whether banger-init runs the program of the image; on by default.
    pub entrypoint: bool,
    /// How long the guest may take until its agent answers: 180 s by default.
    pub boot_timeout: Duration,
    /// More words for the kernel's command line.
    pub append: Vec<String>,
    /// Takes the output of the console.
    pub console: Option<ConsoleHandler>,
    /// Whether the caller types at the console, see [`Machine::console_input`](super::Machine::console_input).
    pub console_input: bool,
}

impl Default for VmRequest {
    fn default() -> Self {
        Self {
            cpus: 1,
            memory_mib: 1024,
            acceleration: None,
            qemu: None,
            forwards: Vec::new(),
            hostname: None,
            first_boot: false,
            entrypoint: true,
            boot_timeout: Duration::from_secs(180),
            append: Vec::new(),
            console: None,
            console_input: false,
        }
    }
}

banger_tree::setters! {
    VmRequest {
        with_cpus => cpus: u32,
        with_memory_mib => memory_mib: u32,
        with_acceleration => acceleration: Option<Acceleration>,
        with_qemu => qemu: Option<Utf8PathBuf>,
        with_forwards => forwards: Vec<PortForward>,
        with_hostname => hostname: Option<String>,
        with_first_boot => first_boot: bool,
        with_entrypoint => entrypoint: bool,
        with_boot_timeout => boot_timeout: Duration,
        with_append => append: Vec<String>,
        with_console => console: Option<ConsoleHandler>,
        with_console_input => console_input: bool,
    }
}
