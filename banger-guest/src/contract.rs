//! The init that runs, and the boot contract that follows from it.

use banger_guest::config::{BootContract, GuestConfig, InitMode};

use crate::root::Root;

/// Returns the executable of process 1, or its name if the executable cannot be read.
pub(crate) fn running_init(root: &Root) -> String {
    std::fs::read_link(root.path("/proc/1/exe"))
        .map(|path| path.to_string_lossy().into_owned())
        .ok()
        .or_else(|| root.text("/proc/1/comm"))
        .unwrap_or_default()
}

/// Returns the contract of the guest: the decision of the injection, or the contract of an installed init
/// once it runs.
pub(crate) fn running(root: &Root, config: &GuestConfig) -> BootContract {
    match config.init {
        InitMode::Install => installed(&running_init(root)).unwrap_or(config.contract),
        _ => config.contract,
    }
}

/// Returns the init that runs as process 1, from its executable.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum RunningInit {
    Systemd,
    /// busybox init, which understands the same signals as banger-init.
    Busybox,
    Banger,
    OpenrcInit,
    Sysvinit,
    Runit,
    S6,
    Other,
}

impl RunningInit {
    /// Returns the init with an executable of this name; `contract` is the decision of the injection.
    pub(crate) fn of(executable: &str, contract: Option<BootContract>) -> Self {
        match executable {
            "systemd" => Self::Systemd,
            name if name.starts_with("banger-") => Self::Banger,
            name if name.starts_with("busybox") => Self::Busybox,
            "openrc-init" => Self::OpenrcInit,
            "runit" | "runit-init" => Self::Runit,
            "s6-svscan" => Self::S6,
            // sysvinit's program is called init like others' links; the contract tells.
            "init" if contract == Some(BootContract::Openrc) => Self::Sysvinit,
            "init" if contract == Some(BootContract::Runit) => Self::Runit,
            _ => Self::Other,
        }
    }
}

/// The contract of an init that was installed later, which the injection could not know.
fn installed(init: &str) -> Option<BootContract> {
    match RunningInit::of(init.rsplit('/').next().unwrap_or_default(), None) {
        RunningInit::Systemd => Some(BootContract::Systemd),
        RunningInit::OpenrcInit => Some(BootContract::Openrc),
        RunningInit::Runit => Some(BootContract::Runit),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_installed_init_has_its_own_contract() {
        let cases = [
            ("/usr/lib/systemd/systemd", Some(BootContract::Systemd)),
            ("systemd", Some(BootContract::Systemd)),
            ("/usr/sbin/openrc-init", Some(BootContract::Openrc)),
            ("/usr/bin/runit", Some(BootContract::Runit)),
            ("/usr/local/bin/banger-vsock-agent", None),
            ("/usr/bin/busybox", None),
            ("", None),
        ];
        for (init, expected) in cases {
            assert_eq!(installed(init), expected, "{init}");
        }
    }

    #[test]
    fn the_executable_tells_the_init() {
        let cases = [
            ("systemd", None, RunningInit::Systemd),
            ("banger-vsock-agent", Some(BootContract::Banger), RunningInit::Banger),
            ("banger-init", None, RunningInit::Banger),
            ("busybox.static", Some(BootContract::Openrc), RunningInit::Busybox),
            ("init", Some(BootContract::Openrc), RunningInit::Sysvinit),
            ("openrc-init", Some(BootContract::Openrc), RunningInit::OpenrcInit),
            ("runit", Some(BootContract::Runit), RunningInit::Runit),
            ("s6-svscan", Some(BootContract::S6), RunningInit::S6),
            ("init", None, RunningInit::Other),
            ("bash", Some(BootContract::Systemd), RunningInit::Other),
        ];
        for (executable, contract, expected) in cases {
            assert_eq!(RunningInit::of(executable, contract), expected, "{executable}");
        }
    }
}
