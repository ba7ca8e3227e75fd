//! Putting in the script of the first boot, and the marker that asks for one.

use banger_guest::config::{FirstBootMarker, paths};

use crate::detect::Facts;
use crate::edit::Edit;
use crate::error::InjectError;
use crate::first_boot_script::SCRIPT;
use crate::report::FixupKind;

/// Writes both where a first boot can do something; returns whether one is pending.
pub(crate) fn install(edit: &mut Edit<'_>, facts: &Facts) -> Result<bool, InjectError> {
    edit.dir("/var/lib/banger")?;
    edit.dir("/var/log")?;
    if !facts.shell {
        edit.warn("no shell in the image: no ssh server can be installed, and the agent is the way in");
        return Ok(false);
    }
    edit.file(paths::FIRST_BOOT_SCRIPT, SCRIPT.as_bytes(), 0o755)?;
    if !facts.sshd && !facts.package_manager {
        edit.warn("no ssh server and no package manager in the image: the agent is the way in");
        return Ok(false);
    }
    if edit.stat(paths::FIRST_BOOT_PENDING)?.is_some() {
        return Ok(true);
    }
    let is_done = edit.stat(paths::FIRST_BOOT_DONE)?.is_some();
    // Removed keys must be made again.
    if is_done && !edit.fixed(FixupKind::SshHostKey) {
        return Ok(false);
    }
    edit.file(paths::FIRST_BOOT_PENDING, &FirstBootMarker::default().to_json(), 0o644)?;
    Ok(true)
}
