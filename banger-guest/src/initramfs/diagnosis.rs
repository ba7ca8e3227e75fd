//! Messages for a system that does not start. They name the missing driver, disk or option.

use super::devices::MissingRoot;
use super::disks::BlockDevice;
use super::modules::Loading;
use super::mount_root::RootMountError;
use super::request::RootRequest;
use super::verity::VerityError;
use crate::root::Root;

/// The reason of a failure, and facts that help to mend it, one a line.
#[derive(Debug)]
pub(super) struct Failure {
    pub(super) reason: String,
    pub(super) hints: Vec<String>,
}

impl Failure {
    pub(super) fn new(reason: String) -> Self {
        Self { reason, hints: Vec::new() }
    }
}

/// The failure if no disk is the requested one.
pub(super) fn root_not_found(
    root: &Root,
    request: &RootRequest,
    missing: &MissingRoot,
    loading: &Loading,
) -> Failure {
    let seconds = request.wait.as_secs();
    let mut hints = loading_hints(loading);
    hints.extend(devices_without_driver(root));
    hints.push(list_of_disks(&missing.devices));
    Failure { reason: format!("no disk is {} after {seconds} s", request.name), hints }
}

/// The failure if the file system cannot be mounted.
pub(super) fn not_mounted(root: &Root, error: &RootMountError, loading: &Loading) -> Failure {
    let mut hints = loading_hints(loading);
    if matches!(error, RootMountError::Unknown { .. }) {
        hints.push(list_of_disks(&BlockDevice::all(root)));
    }
    Failure { reason: error.to_string(), hints }
}

/// The failure if the root file system cannot be verified, or is another one.
pub(super) fn not_verified(error: &VerityError, loading: &Loading) -> Failure {
    Failure { reason: error.to_string(), hints: loading_hints(loading) }
}

fn list_of_disks(devices: &[BlockDevice]) -> String {
    match devices {
        [] => "there are no disks".to_owned(),
        devices => {
            let devices: Vec<String> = devices.iter().map(BlockDevice::to_string).collect();
            format!("the disks are: {}", devices.join(", "))
        }
    }
}

fn loading_hints(loading: &Loading) -> Vec<String> {
    let other = loading.other_kernel.iter().map(|(own, running)| {
        format!("this initramfs is for kernel {own}, but {running} runs; give the initramfs of that kernel")
    });
    let failed =
        loading.failed.iter().map(|(module, error)| format!("module {module} is not loaded: {error}"));
    other.chain(failed).collect()
}

/// A kind of device that leads to a disk.
struct DiskDevice {
    bus: &'static str,
    /// The driver as sysfs has it, and its module.
    driver: (&'static str, &'static str),
    what: &'static str,
    is: fn(&SysfsDevice<'_>) -> bool,
}

/// A device in sysfs.
struct SysfsDevice<'a> {
    root: &'a Root,
    directory: &'a str,
    name: &'a str,
}

impl SysfsDevice<'_> {
    /// The text of one of its files; empty without the file.
    fn text(&self, file: &str) -> String {
        self.root.text(&format!("{}/{file}", self.directory)).unwrap_or_default()
    }

    /// Whether it is a virtio device on PCI with one of these types (virtio 1.2, section 4.1.2).
    fn is_virtio_pci(&self, ids: [&str; 2]) -> bool {
        self.text("vendor") == "0x1af4" && ids.contains(&self.text("device").as_str())
    }
}

/// The devices whose drivers an initramfs may lack.
const DISK_DEVICES: [DiskDevice; 7] = [
    DiskDevice {
        bus: "virtio",
        driver: ("virtio_blk", "virtio_blk"),
        what: "a virtio disk",
        // The types are those of virtio 1.2, chapter 5.
        is: |device| device.text("device") == "0x0002",
    },
    DiskDevice {
        bus: "virtio",
        driver: ("virtio_scsi", "virtio_scsi"),
        what: "a virtio SCSI controller",
        is: |device| device.text("device") == "0x0008",
    },
    DiskDevice {
        bus: "pci",
        driver: ("virtio-pci", "virtio_pci"),
        what: "a virtio disk over PCI",
        is: |device| device.is_virtio_pci(["0x1001", "0x1042"]),
    },
    DiskDevice {
        bus: "pci",
        driver: ("virtio-pci", "virtio_pci"),
        what: "a virtio SCSI controller over PCI",
        is: |device| device.is_virtio_pci(["0x1004", "0x1048"]),
    },
    DiskDevice {
        bus: "pci",
        driver: ("nvme", "nvme"),
        what: "an NVMe disk",
        is: |device| device.text("class") == "0x010802",
    },
    DiskDevice {
        bus: "pci",
        driver: ("ahci", "ahci"),
        what: "a SATA controller",
        is: |device| device.text("class") == "0x010601",
    },
    DiskDevice {
        bus: "platform",
        driver: ("virtio-mmio", "virtio_mmio"),
        what: "a virtio device over MMIO",
        // ACPI has this id for it, a device tree this word. A place without a device has no driver, either.
        is: |device| {
            let is_place =
                device.name.starts_with("LNRO0005") || device.text("modalias").contains("virtio,mmio");
            is_place && !device.root.path("/sys/bus/platform/drivers/virtio-mmio").exists()
        },
    },
];

/// A line for each driver that a disk of this machine lacks.
fn devices_without_driver(root: &Root) -> Vec<String> {
    let mut lines = Vec::new();
    for kind in &DISK_DEVICES {
        let bus = format!("/sys/bus/{}", kind.bus);
        let entries = std::fs::read_dir(root.path(&format!("{bus}/devices"))).into_iter().flatten().flatten();
        let mut names: Vec<_> = entries.filter_map(|entry| entry.file_name().into_string().ok()).collect();
        names.sort();
        let without = names.iter().find(|name| {
            let directory = format!("{bus}/devices/{name}");
            let has_driver = root.path(&format!("{directory}/driver")).exists();
            !has_driver && (kind.is)(&SysfsDevice { root, directory: &directory, name })
        });
        if let Some(name) = without {
            let (driver, module) = kind.driver;
            lines.push(match root.path(&format!("{bus}/drivers/{driver}")).exists() {
                false => format!(
                    "{}, {name}, has no driver: {module} is neither in this initramfs nor in the kernel",
                    kind.what
                ),
                true => format!(
                    "{}, {name}, has no driver: {module} refused it; the messages of the kernel say why",
                    kind.what
                ),
            });
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::super::disks::fake::{Machine, ext4};
    use super::*;
    use banger_guest::config::KernelCommandLine;
    use rustix::io::Errno;

    #[test]
    fn missing_drivers_are_named() {
        let machine = Machine::new();
        let line = |wanted: &str| {
            devices_without_driver(&machine.root()).into_iter().filter(|line| line.contains(wanted)).count()
        };
        assert_eq!(devices_without_driver(&machine.root()), [""; 0]);
        machine.write("/sys/bus/virtio/devices/virtio0/device", "0x0001\n");
        assert_eq!(line(""), 0, "a network card");
        machine.write("/sys/bus/virtio/devices/virtio1/device", "0x0002\n");
        assert_eq!(
            devices_without_driver(&machine.root()),
            [
                "a virtio disk, virtio1, has no driver: virtio_blk is neither in this initramfs nor in the kernel"
            ]
        );
        machine.write("/sys/bus/virtio/drivers/virtio_blk/uevent", "");
        assert_eq!(line("virtio_blk refused it"), 1);
        machine.write("/sys/bus/virtio/devices/virtio1/driver/uevent", "");
        assert_eq!(line(""), 0, "it has one");
        machine.write("/sys/bus/pci/devices/0000:00:03.0/vendor", "0x1af4\n");
        machine.write("/sys/bus/pci/devices/0000:00:03.0/device", "0x1042\n");
        machine.write("/sys/bus/pci/devices/0000:00:04.0/class", "0x010802\n");
        machine.write("/sys/bus/platform/devices/LNRO0005:00/uevent", "");
        assert_eq!(line("virtio_pci is neither"), 1);
        assert_eq!(line("nvme is neither"), 1);
        assert_eq!(line("virtio_mmio is neither"), 1);
        machine.write("/sys/bus/platform/drivers/virtio-mmio/uevent", "");
        assert_eq!(line("virtio_mmio"), 0, "the place is empty");
    }

    #[test]
    fn wrong_roots_show_the_right_ones() {
        let machine = Machine::new();
        machine.disk("vda", None, &ext4(1, "root"));
        let line = KernelCommandLine::parse("root=LABEL=other rootwait=0");
        let request = RootRequest::parse(&line).expect("it is right");
        let missing =
            super::super::devices::wait_for_root(&machine.root(), &request).expect_err("none is there");
        let loading = Loading {
            other_kernel: Some(("6.1".into(), "6.2".into())),
            failed: vec![("virtio_pci".into(), Errno::NOEXEC)],
        };
        let failure = root_not_found(&machine.root(), &request, &missing, &loading);
        assert_eq!(failure.reason, "no disk is LABEL=other after 0 s");
        assert_eq!(
            failure.hints[0],
            "this initramfs is for kernel 6.1, but 6.2 runs; give the initramfs of that kernel"
        );
        assert!(failure.hints[1].starts_with("module virtio_pci is not loaded: "), "{failure:?}");
        assert_eq!(
            failure.hints[2],
            "the disks are: /dev/vda (0 MiB, ext4, UUID=11111111-1111-1111-1111-111111111111, LABEL=root)"
        );
    }
}
