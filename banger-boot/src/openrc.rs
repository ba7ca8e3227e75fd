//! OpenRC's services.

use banger_guest::config::BootContract;

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

/// Every text of this module.
pub(crate) fn texts() -> impl Iterator<Item = &'static str> {
    SERVICES.into_iter().map(|(_, _, text)| text)
}

pub(crate) fn install(edit: &mut Edit<'_>, facts: &Facts) -> Result<(), InjectError> {
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
