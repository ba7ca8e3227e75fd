//! `shutdown`: asks the running init, and uses force if that does not work.

use std::fs::OpenOptions;
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::time::Duration;

use banger_guest::protocol::{ErrorCode, ShutdownAction};
use rustix::process::Pid;

use super::error::OperationError;
use crate::contract::RunningInit;
use crate::init::power::{self, Power};
use crate::options::Role;
use crate::report::say;
use crate::root::Root;
use crate::sys::signal::{self, Target};

/// How long the init may take before the agent does it.
const INIT_TIMEOUT: Duration = Duration::from_secs(120);

/// Returns whether this agent runs in a guest, and not in a test beside programs of the user.
pub(crate) fn check_guest(root: &Root) -> Result<(), OperationError> {
    match root.prefix() {
        None => Ok(()),
        Some(_) => Err(OperationError::new(
            ErrorCode::Unsupported,
            "the agent serves another root directory than /, for tests",
        )),
    }
}

/// Begins the shutdown, and returns. A thread finishes it if the init does not.
pub(crate) fn shut_down(root: &Root, action: ShutdownAction) {
    let kind = kind_of_init(root);
    let asked = ask(root, kind, action);
    let power = Power::of(action);
    let by_force = move || {
        if asked {
            std::thread::sleep(INIT_TIMEOUT);
            say(Role::Agent.name(), format_args!("init has not ended within {INIT_TIMEOUT:?}"));
        }
        power::down(power)
    };
    if let Err(error) = std::thread::Builder::new().spawn(by_force) {
        // If the init was asked, that must be enough.
        say(Role::Agent.name(), format_args!("cannot watch the shutdown: {error}"));
    }
}

fn kind_of_init(root: &Root) -> RunningInit {
    let executable = std::fs::read_link("/proc/1/exe").unwrap_or_default();
    let name = executable.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    let contract = root.guest_config(Role::Agent.name()).map(|config| config.contract);
    RunningInit::of(name, contract)
}

/// Asks the init; whether it was asked in a way that it knows.
fn ask(root: &Root, kind: RunningInit, action: ShutdownAction) -> bool {
    let off = action == ShutdownAction::PowerOff;
    let by_signal = |off_signal: i32, reboot_signal: i32| {
        signal::send(Target::Process(Pid::INIT), if off { off_signal } else { reboot_signal }).is_ok()
    };
    match kind {
        // SIGRTMIN+4 and +5 of systemd(1); the kernel's SIGRTMIN, of which the C library keeps two.
        RunningInit::Systemd => by_signal(libc::SIGRTMIN() + 4, libc::SIGRTMIN() + 5),
        RunningInit::Busybox => by_signal(libc::SIGUSR2, libc::SIGTERM),
        RunningInit::Banger => by_signal(libc::SIGUSR2, libc::SIGINT),
        RunningInit::OpenrcInit => {
            write_fifo(&root.path("/run/openrc/init.ctl"), if off { b"poweroff" } else { b"reboot" })
        }
        RunningInit::Sysvinit => {
            write_fifo(&root.path("/run/initctl"), &sysvinit_request(if off { b'0' } else { b'6' }))
        }
        RunningInit::Runit => ask_runit(root, off),
        // s6-svscan hands signals to scripts of these names beside its services, where there are some.
        RunningInit::S6 => {
            let script = if off { "SIGUSR2" } else { "SIGINT" };
            Path::new("/proc/1/cwd/.s6-svscan").join(script).exists()
                && by_signal(libc::SIGUSR2, libc::SIGINT)
        }
        RunningInit::Other => false,
    }
}

/// A request to sysvinit, `struct init_request` of its `initreq.h`: 384 bytes, native order.
fn sysvinit_request(runlevel: u8) -> [u8; 384] {
    const MAGIC: i32 = 0x0309_1969;
    const CHANGE_RUNLEVEL: i32 = 1;
    let mut request = [0; 384];
    let fields = [MAGIC, CHANGE_RUNLEVEL, runlevel.into()];
    for (field, value) in request.chunks_exact_mut(4).zip(fields) {
        field.copy_from_slice(&value.to_ne_bytes());
    }
    request
}

/// Directories in which runit looks for its flags: upstream's and Debian's.
const RUNIT_FLAGS: [(&str, &str); 2] =
    [("/etc/runit/stopit", "/etc/runit/reboot"), ("/run/runit.stopit", "/run/runit.reboot")];

/// runit(8): on SIGCONT it looks whether `stopit` may be executed, and whether `reboot` may.
fn ask_runit(root: &Root, off: bool) -> bool {
    let set = |path: &str, mode: u32| {
        let path = root.path(path);
        let open = OpenOptions::new().create(true).truncate(false).write(true).mode(mode).open(path);
        open.and_then(|file| {
            use std::os::unix::fs::PermissionsExt;
            file.set_permissions(std::fs::Permissions::from_mode(mode))
        })
        .is_ok()
    };
    let mut is_set = false;
    for (stop, reboot) in RUNIT_FLAGS {
        is_set |= set(reboot, if off { 0 } else { 0o100 }) && set(stop, 0o100);
    }
    is_set && signal::send(Target::Process(Pid::INIT), libc::SIGCONT).is_ok()
}

/// Writes to an existing FIFO with a reader; does not wait.
fn write_fifo(path: &Path, bytes: &[u8]) -> bool {
    let fifo = OpenOptions::new().write(true).custom_flags(libc::O_NONBLOCK).open(path);
    fifo.and_then(|mut fifo| fifo.write_all(bytes)).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sysvinit_gets_its_structure() {
        let request = sysvinit_request(b'0');
        assert_eq!(&request[..12], [0x69, 0x19, 0x09, 0x03, 1, 0, 0, 0, b'0', 0, 0, 0]);
    }
}
