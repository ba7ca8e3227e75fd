//! The options that a boot needs, as a table.

use std::collections::BTreeSet;

use banger_guest::config::BootContract;

use super::finding::Outcome;
use super::need::{Need, Time, need};
use super::option::KernelOption;
use super::profile::Profile;
use super::request::CheckRequest;
use crate::boot_plan::Vmm;
use crate::initramfs::RootDisk;
use crate::kernel::KernelArchitecture;

/// Returns what a boot needs, most important first.
pub(super) fn of(
    architecture: KernelArchitecture,
    contract: Option<BootContract>,
    request: &CheckRequest,
) -> Vec<Need> {
    use Outcome::{Error, Warning};
    use Time::{Later, Root, Start};
    let mut needs = root_disk(request);
    needs.push(need(&[KernelOption::driver("EXT4_FS", "ext4")], Root, Error, "the root file system is ext4"));
    needs.extend(of_verity(request));
    needs.extend(of_initrd(request));
    needs.push(need(&[KernelOption::yes("DEVTMPFS")], Start, Error, "devices are in /dev"));
    needs.push(need(&[KernelOption::yes("BINFMT_ELF")], Start, Error, "programs are ELF files"));
    needs.push(need(&[KernelOption::yes("PROC_FS")], Start, Error, "every init reads /proc"));
    needs.push(need(&[KernelOption::yes("SYSFS")], Start, Error, "every init reads /sys"));
    needs.push(need(&[KernelOption::driver("UNIX", "unix")], Later, Error, "programs talk by Unix sockets"));
    if contract == Some(BootContract::Systemd) {
        needs.extend(Profile::Systemd.needs());
    }
    for profile in &request.profiles {
        needs.extend(profile.needs());
    }
    needs.push(console(architecture, request.vmm));
    // Without it the kernel has a tmpfs that takes no options.
    needs.push(need(&[KernelOption::yes("TMPFS")], Start, Warning, "/run is a tmpfs"));
    let vsock = KernelOption::driver("VIRTIO_VSOCKETS", "vmw_vsock_virtio_transport");
    needs.push(need(&[vsock], Later, Warning, "the host reaches the agent by vsock"));
    needs.push(need(
        &[KernelOption::driver("VIRTIO_NET", "virtio_net")],
        Later,
        Warning,
        "the network card is virtio",
    ));
    needs.push(need(
        &[KernelOption::driver("HW_RANDOM_VIRTIO", "virtio_rng")],
        Later,
        Warning,
        "random numbers are there early",
    ));
    // Several uses need the same.
    let mut seen = BTreeSet::new();
    needs.retain(|need| seen.insert(need.names()));
    needs
}

/// Returns what a root needs that dm-verity verifies.
fn of_verity(request: &CheckRequest) -> Vec<Need> {
    use Outcome::{Error, Warning};
    use Time::{Root, Start};
    if !request.verity {
        return Vec::new();
    }
    let driver = |name, module, purpose| need(&[KernelOption::driver(name, module)], Root, Error, purpose);
    vec![
        need(&[KernelOption::yes("BLK_DEV_INITRD")], Start, Error, "the initramfs sets dm-verity up"),
        driver("BLK_DEV_DM", "dm_mod", "dm-verity is a target of the device mapper"),
        driver("DM_VERITY", "dm_verity", "dm-verity verifies the root file system"),
        need(&SHA256, Root, Error, "dm-verity hashes with SHA-256"),
        driver("OVERLAY_FS", "overlay", "memory covers the root file system"),
        need(&[KernelOption::yes("TMPFS")], Start, Error, "memory covers the root file system"),
        need(&[KernelOption::yes("TMPFS_XATTR")], Start, Warning, "changed files keep extended attributes"),
    ]
}

/// What computes SHA-256, also under the names of accelerated code.
const SHA256: [KernelOption; 2] = [
    KernelOption::driver("CRYPTO_SHA256", "sha256_generic"),
    KernelOption::driver("CRYPTO_LIB_SHA256", "libsha256"),
];

/// Returns what a kernel needs to read the initrd of the boot. One that cannot read it goes on with what it has built in.
pub(super) fn of_initrd(request: &CheckRequest) -> Vec<Need> {
    let wanted = |name, purpose| need(&[KernelOption::yes(name)], Time::Start, Outcome::Warning, purpose);
    if !request.initrd {
        return Vec::new();
    }
    let mut needs = vec![wanted("BLK_DEV_INITRD", "the kernel is started with an initrd")];
    needs.extend(
        request
            .initrd_compression
            .map(|compression| wanted(compression.option(), "the initrd is compressed")),
    );
    needs
}

fn root_disk(request: &CheckRequest) -> Vec<Need> {
    use Outcome::Error;
    let vmm = request.vmm;
    let disk = request.disk.unwrap_or(vmm.root_disk());
    let mut needs = Vec::new();
    let driver =
        |name, module, purpose| need(&[KernelOption::driver(name, module)], Time::Root, Error, purpose);
    if matches!(disk, RootDisk::VirtioPci | RootDisk::VirtioMmio) {
        needs.push(driver("VIRTIO_BLK", "virtio_blk", "the root disk is virtio"));
    }
    if matches!(disk, RootDisk::VirtioPci | RootDisk::Nvme) {
        needs.push(need(&[KernelOption::yes("PCI")], Time::Start, Error, "the root disk is on PCI"));
    }
    needs.push(match disk {
        RootDisk::VirtioPci => driver("VIRTIO_PCI", "virtio_pci", "the root disk is on PCI"),
        RootDisk::VirtioMmio => driver("VIRTIO_MMIO", "virtio_mmio", "the root disk is on MMIO"),
        RootDisk::Nvme => driver("BLK_DEV_NVME", "nvme", "the root disk is NVMe"),
    });
    if vmm == Vmm::Firecracker {
        // How Firecracker tells an x86 kernel of its devices; arm64 has a device tree.
        let options = [
            KernelOption::yes("VIRTIO_MMIO_CMDLINE_DEVICES"),
            KernelOption::yes("ACPI"),
            KernelOption::yes("OF"),
        ];
        needs.push(need(&options, Time::Start, Error, "Firecracker tells its devices so"));
    }
    needs
}

fn console(architecture: KernelArchitecture, vmm: Vmm) -> Need {
    let option = match (vmm, architecture) {
        (Vmm::Libkrun | Vmm::Virtualization, _) => KernelOption::driver("VIRTIO_CONSOLE", "virtio_console"),
        (Vmm::CloudHypervisor | Vmm::Qemu, KernelArchitecture::Arm64) => {
            KernelOption::yes("SERIAL_AMBA_PL011_CONSOLE")
        }
        _ => KernelOption::yes("SERIAL_8250_CONSOLE"),
    };
    let time = if option.module.is_some() { Time::Root } else { Time::Start };
    need(&[option], time, Outcome::Warning, "the console of the machine")
}
