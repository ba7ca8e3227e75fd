//! OpenRC's services.

use banger_guest::config::{BootContract, VSOCK_MODULE};

use crate::agents::GuestAgents;
use crate::detect::Facts;
use crate::edit::Edit;
use crate::error::InjectError;
use crate::inittab;
use crate::report::FixupKind;

/// Service, the runlevel it is in, and its script.
const SERVICES: [(&str, &str, &str); 3] = [
    ("banger-network", "boot", include_str!("../assets/openrc/banger-network")),
    ("banger-first-boot", "default", include_str!("../assets/openrc/banger-first-boot")),
    ("banger-vsock-agent", "boot", include_str!("../assets/openrc/banger-vsock-agent")),
];

/// Services that mount `/dev/pts`, `/dev/shm` and `/sys`. A container runtime mounts these, so images leave
/// the services out.
const MOUNTING: [&str; 2] = ["devfs", "sysfs"];

/// Modules to load, one a line, and the service that loads them.
const MODULES: &str = "/etc/modules";
const MODULES_SERVICE: &str = "/etc/init.d/modules";
const MODULES_LINK: &str = "/etc/runlevels/boot/modules";

/// Every text of this module.
pub(crate) fn texts() -> impl Iterator<Item = &'static str> {
    SERVICES.into_iter().map(|(_, _, text)| text)
}

pub(crate) fn install(edit: &mut Edit<'_>, facts: &Facts, agents: &GuestAgents) -> Result<(), InjectError> {
    if agents.kernel_modules {
        edit.fixing(FixupKind::ModulesLoad, load_modules)?;
    }
    for (name, runlevel, script) in SERVICES {
        edit.file(&format!("/etc/init.d/{name}"), script.as_bytes(), 0o755)?;
        edit.symlink(&format!("/etc/runlevels/{runlevel}/{name}"), &format!("/etc/init.d/{name}"))?;
    }
    for name in MOUNTING {
        let script = format!("/etc/init.d/{name}");
        let link = format!("/etc/runlevels/sysinit/{name}");
        if edit.lookup(&script)?.is_some() && edit.stat(&link)?.is_none() {
            edit.fixing(FixupKind::Runlevel, |edit| edit.symlink(&link, &script))?;
        }
    }
    inittab::fix(edit, facts, BootContract::Openrc)
}

/// Has OpenRC load the module of vsock.
fn load_modules(edit: &mut Edit<'_>) -> Result<(), InjectError> {
    let mut list = edit.read(MODULES)?.unwrap_or_default();
    if !list.split(|byte| *byte == b'\n').any(|line| line.trim_ascii() == VSOCK_MODULE.as_bytes()) {
        if list.last().is_some_and(|byte| *byte != b'\n') {
            list.push(b'\n');
        }
        list.extend(format!("{VSOCK_MODULE}\n").bytes());
        edit.content(MODULES, &list, 0o644)?;
    }
    if edit.lookup(MODULES_SERVICE)?.is_some() && edit.stat(MODULES_LINK)?.is_none() {
        edit.symlink(MODULES_LINK, MODULES_SERVICE)?;
    }
    Ok(())
}
