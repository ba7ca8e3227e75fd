//! runit's services.

use crate::edit::Edit;
use crate::error::InjectError;
use crate::report::FixupKind;

const SERVICES: [(&str, &str); 3] = [
    ("banger-network", include_str!("../assets/runit/banger-network/run")),
    ("banger-first-boot", include_str!("../assets/runit/banger-first-boot/run")),
    ("banger-vsock-agent", include_str!("../assets/runit/banger-vsock-agent/run")),
];

/// Directories in which distributions have the services that start by default; the first existing one counts.
const DEFAULT_DIRS: [&str; 4] = ["/etc/runit/runsvdir/default", "/etc/service", "/service", "/var/service"];

/// Services that distributions have for the serial console.
const SERIAL: [&str; 2] = ["agetty-ttyS0", "getty-ttyS0"];

/// Every text of this module.
pub(crate) fn texts() -> impl Iterator<Item = &'static str> {
    SERVICES.into_iter().map(|(_, text)| text)
}

pub(crate) fn install(edit: &mut Edit<'_>) -> Result<(), InjectError> {
    let mut default_dir = DEFAULT_DIRS[0];
    for dir in DEFAULT_DIRS {
        if edit.lookup(dir)?.is_some() {
            default_dir = dir;
            break;
        }
    }
    for (name, run) in SERVICES {
        edit.file(&format!("/etc/sv/{name}/run"), run.as_bytes(), 0o755)?;
        edit.symlink(&format!("{default_dir}/{name}"), &format!("/etc/sv/{name}"))?;
    }
    for name in SERIAL {
        let link = format!("{default_dir}/{name}");
        if edit.lookup(&format!("/etc/sv/{name}/run"))?.is_some() && edit.stat(&link)?.is_none() {
            edit.fixing(FixupKind::SerialGetty, |edit| edit.symlink(&link, &format!("/etc/sv/{name}")))?;
        }
    }
    Ok(())
}
