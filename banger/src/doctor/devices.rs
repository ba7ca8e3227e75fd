//! Devices of the host for virtual machines.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileTypeExt as _;

use camino::Utf8Path;

use super::host::DoctorHost;
use super::item::{DoctorItem, DoctorStatus};

pub(super) fn devices(host: &DoctorHost) -> Vec<DoctorItem> {
    if cfg!(not(target_os = "linux")) {
        return Vec::new();
    }
    vec![
        device(
            host,
            "KVM",
            "/dev/kvm",
            "virtual machines at full speed; without it QEMU emulates, and Firecracker and Cloud Hypervisor do not run",
            "turn on virtualization in the firmware, or nested virtualization for a virtual machine; \
             then `sudo modprobe kvm_intel` or `sudo modprobe kvm_amd`",
        ),
        device(
            host,
            "vhost-vsock",
            "/dev/vhost-vsock",
            "vsock of QEMU's guests; without it the agent is reached by a virtio port",
            "sudo modprobe vhost_vsock",
        ),
    ]
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
