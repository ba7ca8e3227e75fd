//! Shutdown: processes are told to end, then killed, disks are flushed, and the machine stops.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use banger_guest::protocol::ShutdownAction;
use rustix::process::{WaitOptions, wait};
use rustix::system::{RebootCommand, reboot};

use crate::mounts;
use crate::sys::signal::{self, Target};

/// Time for processes to end after they were told to.
const TERM_TIMEOUT: Duration = Duration::from_secs(5);

/// The same for killed processes.
const KILL_TIMEOUT: Duration = Duration::from_secs(1);

/// Some VMMs end with a reset and know no power to switch off: `banger.poweroff=reboot`.
static OFF_MEANS_REBOOT: AtomicBool = AtomicBool::new(false);

/// The final state of the machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Power {
    Off,
    Reboot,
}

impl Power {
    pub(crate) fn of(action: ShutdownAction) -> Self {
        match action {
            ShutdownAction::Reboot => Self::Reboot,
            _ => Self::Off,
        }
    }
}

pub(crate) fn set_off_means_reboot(it_does: bool) {
    OFF_MEANS_REBOOT.store(it_does, Ordering::Relaxed);
}

/// Stops the machine in order.
pub(crate) fn down(power: Power) -> ! {
    if std::process::id() != 1 {
        // The supervisor of this agent passes on the signals that all processes get below.
        signal::ignore_termination();
    }
    end_everyone();
    rustix::fs::sync();
    // Where this cannot be the journal does its work at the next boot.
    let _ = mounts::make_read_only();
    at_once(power)
}

/// Ends every process but this one and process 1: tells them to end, then kills the rest.
pub(super) fn end_everyone() {
    let _ = signal::send(Target::Everyone, libc::SIGTERM);
    // Those that were stopped would not see it.
    let _ = signal::send(Target::Everyone, libc::SIGCONT);
    wait_for_children(TERM_TIMEOUT);
    let _ = signal::send(Target::Everyone, libc::SIGKILL);
    wait_for_children(KILL_TIMEOUT);
}

/// Stops the machine, after a flush and nothing else.
pub(crate) fn at_once(power: Power) -> ! {
    rustix::fs::sync();
    let off_means_reboot = OFF_MEANS_REBOOT.load(Ordering::Relaxed);
    let first = match power {
        Power::Off if !off_means_reboot => RebootCommand::PowerOff,
        _ => RebootCommand::Restart,
    };
    // A kernel without a way to power off stops here, or refuses; a reset is the next best.
    let _ = reboot(first);
    let _ = reboot(RebootCommand::Restart);
    loop {
        std::thread::sleep(Duration::from_secs(3600));
    }
}

/// Waits until no other process exists. Only process 1 can know that; others wait for a fixed time.
fn wait_for_children(timeout: Duration) {
    let deadline = Instant::now() + timeout;
    let is_init = std::process::id() == 1;
    while Instant::now() < deadline {
        if wait(WaitOptions::NOHANG).is_err() && is_init {
            return;
        }
        std::thread::sleep(Duration::from_millis(10));
    }
}
