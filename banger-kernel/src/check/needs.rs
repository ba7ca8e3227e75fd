//! The options that a boot needs, as a table.

use banger_guest::config::BootContract;

use super::CheckRequest;
use super::finding::{Finding, Outcome, Subject};
use crate::boot_plan::Vmm;
use crate::initramfs::RootDisk;
use crate::kernel::KernelArchitecture;

/// An option of the kernel's configuration.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct KernelOption {
    /// Its name without `CONFIG_`.
    pub(super) name: &'static str,
    /// The name of its module, if it can be one.
    pub(super) module: Option<&'static str>,
}

/// When an option is needed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Time {
    /// Before any program runs: it cannot be a module.
    Start,
    /// To mount the root: it may be a module of the initrd.
    Root,
    /// After the root is mounted: it may be a module of the image.
    Later,
}

/// Something that a boot needs: one of `options`.
#[derive(Clone, Debug)]
pub(super) struct Need {
    pub(super) options: Vec<KernelOption>,
    pub(super) time: Time,
    severity: Outcome,
    pub(super) purpose: &'static str,
}

impl Need {
    pub(super) fn names(&self) -> Vec<&'static str> {
        self.options.iter().map(|option| option.name).collect()
    }

    pub(super) fn names_text(&self) -> String {
        let names: Vec<String> =
            self.options.iter().map(|option| format!("CONFIG_{}", option.name)).collect();
        names.join(" or ")
    }

    pub(super) fn missing(&self, subject: Subject, found: &str) -> Finding {
        Finding::new(subject, self.severity, format!("{found}: {}", self.purpose))
    }
}

const fn yes(name: &'static str) -> KernelOption {
    KernelOption { name, module: None }
}

const fn driver(name: &'static str, module: &'static str) -> KernelOption {
    KernelOption { name, module: Some(module) }
}

pub(super) fn need(options: &[KernelOption], time: Time, severity: Outcome, purpose: &'static str) -> Need {
    Need { options: options.to_vec(), time, severity, purpose }
}

/// Returns what a boot needs, most important first.
pub(super) fn of(
    architecture: KernelArchitecture,
    contract: Option<BootContract>,
    request: &CheckRequest,
) -> Vec<Need> {
    use Outcome::{Error, Warning};
    use Time::{Later, Root, Start};
    let mut needs = root_disk(request.vmm);
    needs.push(need(&[driver("EXT4_FS", "ext4")], Root, Error, "the root file system is ext4"));
    if request.initrd {
        needs.push(need(&[yes("BLK_DEV_INITRD")], Start, Error, "the kernel is started with an initrd"));
    }
    needs.push(need(&[yes("DEVTMPFS")], Start, Error, "devices are in /dev"));
    needs.push(need(&[yes("BINFMT_ELF")], Start, Error, "programs are ELF files"));
    needs.push(need(&[yes("PROC_FS")], Start, Error, "every init reads /proc"));
    needs.push(need(&[yes("SYSFS")], Start, Error, "every init reads /sys"));
    needs.push(need(&[yes("TMPFS")], Start, Error, "/run is a tmpfs"));
    needs.push(need(&[driver("UNIX", "unix")], Later, Error, "programs talk by Unix sockets"));
    needs.push(console(architecture, request.vmm));
    if contract == Some(BootContract::Systemd) {
        for (name, purpose) in SYSTEMD {
            needs.push(need(&[yes(name)], Start, Error, purpose));
        }
    }
    let vsock = driver("VIRTIO_VSOCKETS", "vmw_vsock_virtio_transport");
    needs.push(need(&[vsock], Later, Warning, "the host reaches the agent by vsock"));
    needs.push(need(&[driver("VIRTIO_NET", "virtio_net")], Later, Warning, "the network card is virtio"));
    needs.push(need(
        &[driver("HW_RANDOM_VIRTIO", "virtio_rng")],
        Later,
        Warning,
        "random numbers are there early",
    ));
    for profile in &request.profiles {
        needs.extend(profile.needs());
    }
    needs
}

/// Options that systemd stops without (its README, "REQUIREMENTS").
const SYSTEMD: [(&str, &str); 8] = [
    ("CGROUPS", "systemd keeps services in control groups"),
    ("INOTIFY_USER", "systemd watches files"),
    ("SIGNALFD", "systemd receives signals by file descriptors"),
    ("TIMERFD", "systemd has timers"),
    ("EPOLL", "systemd waits for events"),
    ("NET", "systemd talks by sockets"),
    ("FHANDLE", "udev follows mounts"),
    ("EVENTFD", "systemd waits for events"),
];

fn root_disk(vmm: Vmm) -> Vec<Need> {
    use Outcome::Error;
    let bus = match vmm {
        Vmm::Firecracker | Vmm::Libkrun => RootDisk::VirtioMmio,
        Vmm::CloudHypervisor | Vmm::Qemu | Vmm::Virtualization => RootDisk::VirtioPci,
    };
    let mut needs =
        vec![need(&[driver("VIRTIO_BLK", "virtio_blk")], Time::Root, Error, "the root disk is virtio")];
    match bus {
        RootDisk::VirtioMmio => {
            let option = driver("VIRTIO_MMIO", "virtio_mmio");
            needs.push(need(&[option], Time::Root, Error, "the root disk is on MMIO"));
        }
        _ => {
            needs.push(need(&[yes("PCI")], Time::Start, Error, "the root disk is on PCI"));
            let option = driver("VIRTIO_PCI", "virtio_pci");
            needs.push(need(&[option], Time::Root, Error, "the root disk is on PCI"));
        }
    }
    if vmm == Vmm::Firecracker {
        // How Firecracker tells an x86 kernel of its devices; arm64 has a device tree.
        let options = [yes("VIRTIO_MMIO_CMDLINE_DEVICES"), yes("ACPI"), yes("OF")];
        needs.push(need(&options, Time::Start, Error, "Firecracker tells its devices so"));
    }
    needs
}

fn console(architecture: KernelArchitecture, vmm: Vmm) -> Need {
    let option = match (vmm, architecture) {
        (Vmm::Libkrun | Vmm::Virtualization, _) => driver("VIRTIO_CONSOLE", "virtio_console"),
        (Vmm::CloudHypervisor | Vmm::Qemu, KernelArchitecture::Arm64) => yes("SERIAL_AMBA_PL011_CONSOLE"),
        _ => yes("SERIAL_8250_CONSOLE"),
    };
    let time = if option.module.is_some() { Time::Root } else { Time::Start };
    need(&[option], time, Outcome::Warning, "the console of the machine")
}
