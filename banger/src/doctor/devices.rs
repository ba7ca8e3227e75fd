//! Devices of the host for virtual machines.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileTypeExt as _;

use banger_oci::Platform;
use banger_tree::Cancellation;
use camino::Utf8Path;

use super::host::DoctorHost;
use super::item::{DoctorItem, DoctorStatus};
use super::programs::qemu_for;
use crate::kernel::KernelStore;
use crate::vm::kvm_works;

pub(super) fn devices(host: &DoctorHost) -> Vec<DoctorItem> {
    if cfg!(not(target_os = "linux")) {
        return Vec::new();
    }
    let kvm = device(
        host,
        "KVM",
        "/dev/kvm",
        "virtual machines at full speed; without it QEMU emulates, and Firecracker and Cloud Hypervisor do not run",
        "turn on virtualization in the firmware, or nested virtualization for a virtual machine; \
             then `sudo modprobe kvm_intel` or `sudo modprobe kvm_amd`",
    );
    vec![
        tried(host, kvm),
        device(
            host,
            "vhost-vsock",
            "/dev/vhost-vsock",
            "vsock of QEMU's guests; without it the agent is reached by a virtio port",
            "sudo modprobe vhost_vsock",
        ),
    ]
}

/// Has QEMU start a kernel of the store by KVM, as a device that opens may start nothing.
fn tried(host: &DoctorHost, kvm: DoctorItem) -> DoctorItem {
    if kvm.status != DoctorStatus::Ok || host.root != "/" {
        return kvm;
    }
    let found = |text: &str| DoctorItem { found: format!("{}, {text}", kvm.found), ..kvm.clone() };
    match starts_a_kernel(host) {
        Some(true) => found("and QEMU starts a kernel with it"),
        Some(false) => {
            let advice = "use --accel tcg; in a virtual machine, turn on nested virtualization for it";
            let item = found("but QEMU does not start a kernel with it");
            DoctorItem { status: DoctorStatus::Unusable, ..item }.with_advice(advice)
        }
        None => found("and was not tried: that takes QEMU and an imported kernel"),
    }
}

/// Returns whether a kernel starts; `None` without QEMU or without a kernel for this processor.
fn starts_a_kernel(host: &DoctorHost) -> Option<bool> {
    let architecture = Platform::host().architecture;
    let program = host.program(qemu_for(&architecture)?)?;
    let store = KernelStore::new(&host.dirs.state);
    let kernels = store.list().ok()?.kernels;
    let kernel = kernels.iter().find(|kernel| kernel.architecture.name() == architecture)?;
    let cancellation = Cancellation::new();
    let kernel = store.open(kernel.id.as_str(), &cancellation).ok()?;
    Some(kvm_works(&kernel.kernel, &program, &host.dirs, &cancellation))
}

/// Opens the device for reading and writing, as a virtual machine monitor does.
fn device(
    host: &DoctorHost,
    name: &'static str,
    path: &str,
    needed_for: &'static str,
    load: &'static str,
) -> DoctorItem {
    let at = host.at(path);
    let item = |status, found: String| DoctorItem::new(name, status, found, needed_for);
    match open(&at) {
        Ok(()) => item(DoctorStatus::Ok, format!("{at} can be opened")),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            item(DoctorStatus::Missing, format!("{at} does not exist")).with_advice(load)
        }
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
            item(DoctorStatus::Unusable, format!("{at} is not yours to open"))
                .with_advice("sudo usermod -aG kvm \"$USER\", and log in again")
        }
        Err(error) => item(DoctorStatus::Unusable, format!("cannot open {at}: {error}")).with_advice(load),
    }
}

fn open(path: &Utf8Path) -> io::Result<()> {
    if !path.metadata()?.file_type().is_char_device() {
        return Err(io::Error::other("it is not a device"));
    }
    File::options().read(true).write(true).open(path).map(drop)
}
