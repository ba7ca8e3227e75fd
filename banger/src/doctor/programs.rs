//! Programs of the host.

use banger_oci::Platform;

use super::host::DoctorHost;
use super::item::{DoctorItem, DoctorStatus};
use super::packages::{Package, PackageManager, QEMU_AMD64, QEMU_ARM64};

const FIRECRACKER: &str = "https://github.com/firecracker-microvm/firecracker/releases";
const CLOUD_HYPERVISOR: &str = "https://github.com/cloud-hypervisor/cloud-hypervisor/releases";

/// QEMU by the processor of its guests.
const QEMUS: [(&str, &str, Package, &str); 2] = [
    ("qemu-system-x86_64", "amd64", QEMU_AMD64, "booting images for amd64 with QEMU"),
    ("qemu-system-aarch64", "arm64", QEMU_ARM64, "booting images for arm64 with QEMU"),
];

/// Returns the QEMU for guests of this processor.
pub(super) fn qemu_for(architecture: &str) -> Option<&'static str> {
    QEMUS.iter().find(|(_, guest, ..)| *guest == architecture).map(|(name, ..)| *name)
}

pub(super) fn programs(host: &DoctorHost, manager: PackageManager) -> Vec<DoctorItem> {
    let mut qemus = QEMUS;
    // That for the own processor first.
    let own = Platform::host().architecture;
    qemus.sort_by_key(|(_, architecture, ..)| *architecture != own);
    let mut items: Vec<DoctorItem> = qemus
        .into_iter()
        .map(|(name, _, package, needed_for)| program(host, name, needed_for, manager.install(&package)))
        .collect();
    if cfg!(target_os = "linux") {
        for (name, needed_for, releases) in [
            ("firecracker", "booting images with Firecracker", FIRECRACKER),
            ("cloud-hypervisor", "booting images with Cloud Hypervisor", CLOUD_HYPERVISOR),
        ] {
            items.push(program(host, name, needed_for, format!("download it from {releases}")));
        }
    }
    items.extend(e2fsprogs(host, manager));
    items
}

fn program(host: &DoctorHost, name: &str, needed_for: &'static str, install: String) -> DoctorItem {
    match host.program(name) {
        Some(path) => DoctorItem::new(name, DoctorStatus::Ok, path.to_string(), needed_for),
        None => {
            DoctorItem::new(name, DoctorStatus::Missing, "not installed", needed_for).with_advice(install)
        }
    }
}

/// Returns whether the other backend works: its programs and their versions.
#[cfg(feature = "e2fsprogs")]
fn e2fsprogs(host: &DoctorHost, manager: PackageManager) -> Option<DoctorItem> {
    use banger_e2fsprogs::E2fsprogsBackend;

    use super::packages::E2FSPROGS;

    let needed_for = "`--backend e2fsprogs`; the native backend needs no programs";
    let item = |status, found| DoctorItem::new("e2fsprogs", status, found, needed_for);
    let install = manager.install(&E2FSPROGS);
    let names = ["mke2fs", "debugfs", "e2fsck"];
    let paths = names.map(|name| host.program(name));
    let missing: Vec<&str> =
        names.into_iter().zip(&paths).filter(|(_, path)| path.is_none()).map(|(name, _)| name).collect();
    let [Some(mke2fs), Some(debugfs), Some(e2fsck)] = paths else {
        let text = format!("not installed: {}", missing.join(", "));
        return Some(item(DoctorStatus::Missing, text).with_advice(install));
    };
    let backend = E2fsprogsBackend::new().with_mke2fs(&mke2fs).with_debugfs(debugfs).with_e2fsck(e2fsck);
    Some(match backend.version() {
        Ok(version) => item(DoctorStatus::Ok, format!("{mke2fs}, version {version}")),
        Err(error) => item(DoctorStatus::Unusable, error.to_string()).with_advice(install),
    })
}

/// Returns nothing: this build has no other backend.
#[cfg(not(feature = "e2fsprogs"))]
fn e2fsprogs(_host: &DoctorHost, _manager: PackageManager) -> Option<DoctorItem> {
    None
}
