//! Waits for the device of the root file system.

use std::time::{Duration, Instant};

use super::disks::BlockDevice;
use super::request::{RootName, RootRequest};
use crate::options::Role;
use crate::report::say;
use crate::root::Root;

/// How often the disks are looked at.
const PAUSE: Duration = Duration::from_millis(50);

/// The device did not appear.
#[derive(Debug)]
pub(super) struct MissingRoot {
    /// The disks and partitions at the end.
    pub(super) devices: Vec<BlockDevice>,
}

/// Waits for the requested root file system, for the requested time at most.
pub(super) fn wait_for_root(root: &Root, request: &RootRequest) -> Result<BlockDevice, MissingRoot> {
    let deadline = Instant::now() + request.wait;
    let mut looked_at = None;
    loop {
        let devices = BlockDevice::all(root);
        // The disks are read when one of them is new, and at the end: one may have been slow.
        let is_last = Instant::now() >= deadline;
        if looked_at.as_ref() != Some(&devices) || is_last {
            if let Some(device) = choose(root, &devices, &request.name) {
                return Ok(device);
            }
            looked_at = Some(devices.clone());
        }
        if is_last {
            return Err(MissingRoot { devices });
        }
        std::thread::sleep(PAUSE);
    }
}

/// Returns the first device with a name; reports others with the same one.
fn choose(root: &Root, devices: &[BlockDevice], name: &RootName) -> Option<BlockDevice> {
    let mut found = devices.iter().filter_map(|device| match name {
        RootName::Device(name) => (device.name() == name).then(|| device.clone()),
        RootName::Uuid(uuid) => (device.superblock()?.uuid == *uuid).then(|| device.clone()),
        RootName::Label(label) => (device.superblock()?.label == *label).then(|| device.clone()),
        RootName::PartUuid(uuid) => device.partition(root, uuid),
    });
    let first = found.next()?;
    for other in found {
        say(
            Role::Initramfs.name(),
            format_args!("/dev/{} has {name}, too; taking /dev/{}", other.name(), first.name()),
        );
    }
    Some(first)
}

#[cfg(test)]
mod tests {
    use super::super::disks::fake::{Machine, ext4};
    use super::*;
    use banger_guest::config::KernelCommandLine;

    fn find(machine: &Machine, root: &str) -> Result<String, MissingRoot> {
        let line = KernelCommandLine::parse(&format!("{root} rootwait=0"));
        let request = RootRequest::parse(&line).expect("it is right");
        wait_for_root(&machine.root(), &request).map(|device| device.name().to_owned())
    }

    #[test]
    fn roots_are_found_by_every_name() {
        let machine = Machine::new();
        let mut parted = vec![0; 4096];
        parted[510..512].copy_from_slice(&[0x55, 0xaa]);
        parted[0x1b8..0x1bc].copy_from_slice(&0xdead_beef_u32.to_le_bytes());
        machine.disk("vda", None, &[0; 4096]);
        machine.disk("vdb", None, &parted);
        machine.disk("vdb1", Some(("vdb", 1)), &ext4(1, "other"));
        machine.disk("vdb5", Some(("vdb", 5)), &ext4(2, "root"));
        machine.disk("nvme0n1", None, &ext4(3, "on nvme"));
        machine.disk("cciss/c0d0", None, &ext4(4, ""));
        machine.disk("loop0", None, &[]);
        let cases = [
            ("root=/dev/vda", Some("vda")),
            ("root=/dev/cciss/c0d0", Some("cciss/c0d0")),
            ("root=UUID=22222222-2222-2222-2222-222222222222", Some("vdb5")),
            ("root=UUID=44444444-4444-4444-4444-444444444444", Some("cciss/c0d0")),
            ("root=LABEL=root", Some("vdb5")),
            ("\"root=LABEL=on nvme\"", Some("nvme0n1")),
            ("root=PARTUUID=DEADBEEF-05", Some("vdb5")),
            ("root=PARTUUID=deadbeef-02", None),
            ("root=/dev/vdc", None),
            ("root=/dev/loop0", None),
            ("root=LABEL=Root", None),
            ("root=UUID=55555555-5555-5555-5555-555555555555", None),
        ];
        for (root, expected) in cases {
            assert_eq!(find(&machine, root).ok().as_deref(), expected, "{root}");
        }
    }

    #[test]
    fn the_first_of_two_clones_is_taken() {
        let machine = Machine::new();
        machine.disk("vdb", None, &ext4(1, ""));
        machine.disk("vda", None, &ext4(1, ""));
        let found = find(&machine, "root=UUID=11111111-1111-1111-1111-111111111111");
        assert_eq!(found.expect("it is there"), "vda");
    }

    #[test]
    fn disks_that_come_later_are_waited_for() {
        let machine = Machine::new();
        let line = KernelCommandLine::parse("root=LABEL=late rootwait=60");
        let request = RootRequest::parse(&line).expect("it is right");
        std::thread::scope(|scope| {
            let waiting = scope.spawn(|| wait_for_root(&machine.root(), &request));
            std::thread::sleep(Duration::from_millis(120));
            machine.disk("vda", None, &ext4(1, "late"));
            let device = waiting.join().expect("it does not panic").expect("it comes");
            assert_eq!(device.name(), "vda");
        });
    }
}
