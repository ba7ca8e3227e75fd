//! Process 1 of an initramfs: loads the drivers of the root disk, mounts the root file system, and becomes its
//! init.
//!
//! Nothing here waits for ever. A failure is reported on the console with its reason, and the machine goes down.

mod devices;
mod diagnosis;
mod disks;
mod modules;
mod mount_root;
mod numbers;
mod overlay;
mod partitions;
mod request;
mod superblock;
mod switch;
mod verified_root;
mod verity;

use std::process::ExitCode;

use banger_guest::config::{KernelCommandLine, paths};

use crate::init::power::{self, Power};
use crate::mounts;
use crate::options::Role;
use crate::report::say;
use crate::root::Root;
use crate::sys::signal;

use diagnosis::Failure;
use request::RootRequest;

const NAME: &str = Role::Initramfs.name();

/// Where the root file system is mounted before it becomes `/`.
const NEW_ROOT: &str = "/root";

/// The types of the file system that the kernel unpacks an initramfs into: `RAMFS_MAGIC`, `TMPFS_MAGIC`.
const MEMORY_FILE_SYSTEMS: [i64; 2] = [0x8584_58f6, 0x0102_1994];

/// Whether the root is an initramfs that banger made. No disk can look like one.
pub(crate) fn is_here(root: &Root) -> bool {
    let kind = rustix::fs::statfs(root.path("/")).map(|file_system| file_system.f_type);
    kind.is_ok_and(|kind| MEMORY_FILE_SYSTEMS.contains(&kind)) && root.path(paths::INITRAMFS_MODULES).is_dir()
}

/// Becomes the init of the root file system, or stops the machine.
pub(crate) fn run(root: &Root) -> ExitCode {
    std::panic::set_hook(Box::new(|panic| {
        say(NAME, format_args!("{panic}"));
        power::at_once(Power::Off)
    }));
    if let Err(error) = signal::power_off_on_faults() {
        say(NAME, format_args!("cannot watch for faults: {error}"));
    }
    mounts::mount_early(NAME);
    let line = root.command_line();
    power::set_off_means_reboot(off_means_reboot(&line));
    let Err(failure) = start_system(root, &line);
    say(NAME, format_args!("cannot start the system: {}", failure.reason));
    for hint in &failure.hints {
        say(NAME, format_args!("{hint}"));
    }
    say(NAME, format_args!("powering off"));
    // The console is slow, and its last line is the one that matters.
    let _ = rustix::termios::tcdrain(rustix::stdio::stderr());
    power::down(Power::Off)
}

/// Does everything; returns only if something fails.
fn start_system(root: &Root, line: &KernelCommandLine) -> Result<std::convert::Infallible, Failure> {
    let loading = modules::load_all(root, line);
    let request = RootRequest::parse(line).map_err(|error| Failure::new(error.to_string()))?;
    let device = devices::wait_for_root(root, &request)
        .map_err(|missing| diagnosis::root_not_found(root, &request, &missing, &loading))?;
    let mounted = match &request.verity {
        Some(verity) => verified_root::mount_verified(root, &device, verity, &request, NEW_ROOT, &loading)?,
        None => mount_root::mount_root(root, &device, &request, NEW_ROOT)
            .map_err(|error| diagnosis::not_mounted(root, &error, &loading))?
            .to_string(),
    };
    if line.value("quiet").is_none() {
        say(NAME, format_args!("{} ({mounted}) is the root file system", device.path().display()));
    }
    switch::switch_root(NEW_ROOT).map_err(|error| Failure::new(error.to_string()))?;
    Err(Failure::new(switch::become_init(request.init.as_deref()).to_string()))
}

/// Whether the machine ends with a reset. `reboot=k` and `reboot=t` with `panic=` are for VMMs without a power
/// switch, like Firecracker: there the kernel itself resets after a failure.
fn off_means_reboot(line: &KernelCommandLine) -> bool {
    let resets_after_panic = line.value("panic").is_some_and(|value| !["", "0"].contains(&value));
    let by_reset = line.list("reboot").any(|kind| kind.starts_with(['k', 't']));
    line.value("banger.poweroff") == Some("reboot") || (by_reset && resets_after_panic)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn machines_without_a_power_switch_are_reset() {
        let cases = [
            ("reboot=k panic=1 pci=off", true),
            ("reboot=t panic=-1", true),
            ("banger.poweroff=reboot", true),
            ("reboot=k", false),
            ("reboot=k panic=0", false),
            ("panic=1", false),
            ("reboot=acpi panic=1", false),
            ("reboot=warm,k panic=1", true),
            ("", false),
        ];
        for (line, expected) in cases {
            assert_eq!(off_means_reboot(&KernelCommandLine::parse(line)), expected, "{line}");
        }
    }
}
