//! Kernels and guest binaries.

use banger_kernel::KernelArchitecture;

use super::host::DoctorHost;
use super::item::{DoctorItem, DoctorStatus};
use crate::guest_binary::embedded_guest;
use crate::kernel::KernelStore;

/// Returns the kernels of the store, and whether that of the host can be imported.
pub(super) fn kernels(host: &DoctorHost) -> Vec<DoctorItem> {
    let needed_for = "booting images";
    let listed = KernelStore::new(&host.dirs.state).list();
    let names: Vec<String> = listed
        .into_iter()
        .flat_map(|listing| listing.kernels)
        .map(|kernel| kernel.name.to_string())
        .collect();
    let imported = match names.is_empty() {
        true => DoctorItem::new("kernels", DoctorStatus::Missing, "no kernel is imported", needed_for)
            .with_advice("import one with `banger kernel import`: see docs/kernels.md"),
        false => DoctorItem::new("kernels", DoctorStatus::Ok, names.join(", "), needed_for),
    };
    let mut items = vec![imported];
    items.extend(host_kernel(host));
    items
}

/// Returns whether the kernel that runs can be read; `None` where there is no file of it.
fn host_kernel(host: &DoctorHost) -> Option<DoctorItem> {
    let release = std::fs::read_to_string(host.at("/proc/sys/kernel/osrelease")).ok()?;
    let release = release.trim();
    let places = [format!("/boot/vmlinuz-{release}"), format!("/usr/lib/modules/{release}/vmlinuz")];
    let path = places.iter().map(|path| host.at(path)).find(|path| path.is_file())?;
    let item = |status, found| {
        DoctorItem::new(
            "host's kernel",
            status,
            found,
            "`banger kernel import host`, which needs no download",
        )
    };
    Some(match std::fs::File::open(&path) {
        Ok(_) => item(DoctorStatus::Ok, path.to_string()),
        Err(error) => item(DoctorStatus::Unusable, format!("cannot read {path}: {error}"))
            .with_advice(format!("sudo chmod +r {path}")),
    })
}

/// Returns for which processors banger has its guest binary.
pub(super) fn guest_binaries() -> DoctorItem {
    let all = [KernelArchitecture::Amd64, KernelArchitecture::Arm64].map(KernelArchitecture::name);
    let (found, missing): (Vec<&str>, Vec<&str>) =
        all.into_iter().partition(|architecture| embedded_guest(architecture).is_some());
    let needed_for = "making images boot, and the small initramfs";
    let item = |status, found| DoctorItem::new("guest binary", status, found, needed_for);
    let advice = "give --guest-dir a directory with banger-guest-amd64 and banger-guest-arm64";
    match (found.is_empty(), missing.is_empty()) {
        (_, true) => item(DoctorStatus::Ok, format!("for {}", found.join(", "))),
        (false, _) => {
            let text = format!("for {}, not for {}", found.join(", "), missing.join(", "));
            item(DoctorStatus::Ok, text).with_advice(advice)
        }
        (true, _) => {
            item(DoctorStatus::Missing, "this banger has none inside".to_owned()).with_advice(advice)
        }
    }
}
