//! The init that runs, and the boot contract that follows from it.

use banger_guest::config::{BootContract, GuestConfig, InitMode};

use crate::root::Root;

/// What process 1 is: its executable, or its name where that cannot be read.
pub(crate) fn running_init(root: &Root) -> String {
    std::fs::read_link(root.path("/proc/1/exe"))
        .map(|path| path.to_string_lossy().into_owned())
        .ok()
        .or_else(|| root.text("/proc/1/comm"))
        .unwrap_or_default()
}

/// How the guest boots: as the injection decided, and where that was to install an init, as that
/// init does once it runs.
pub(crate) fn running(root: &Root, config: &GuestConfig) -> BootContract {
    match config.init {
        InitMode::Install => installed(&running_init(root)).unwrap_or(config.contract),
        _ => config.contract,
    }
}

fn installed(init: &str) -> Option<BootContract> {
    match init.rsplit('/').next().unwrap_or_default() {
        "systemd" => Some(BootContract::Systemd),
        "openrc-init" => Some(BootContract::Openrc),
        "runit" | "runit-init" => Some(BootContract::Runit),
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
}
