//! Repairs parts of a container image that prevent a boot, for any init.

use banger_guest::config::VSOCK_MODULE;
use banger_tree::FileType;

use crate::agents::GuestAgents;
use crate::edit::Edit;
use crate::error::InjectError;
use crate::machine::new_hosts;
use crate::report::FixupKind;

/// Directories that something is mounted on, with their permissions.
const MOUNT_POINTS: [(&str, u16); 5] =
    [("/dev", 0o755), ("/proc", 0o555), ("/sys", 0o555), ("/run", 0o755), ("/tmp", 0o1777)];

/// Files that mark a container: OpenRC skips mounts if they exist.
const CONTAINER_MARKERS: [&str; 2] = ["/.dockerenv", "/run/.containerenv"];

pub(crate) const MACHINE_ID: &str = "/etc/machine-id";
const DBUS_MACHINE_ID: &str = "/var/lib/dbus/machine-id";
const POLICY: &str = "/usr/sbin/policy-rc.d";
const SPEEDUP: &str = "/etc/dpkg/dpkg.cfg.d/docker-apt-speedup";
const MODULES_LOAD: &str = "/etc/modules-load.d/banger-vsock.conf";

pub(crate) fn apply(edit: &mut Edit<'_>, agents: &GuestAgents) -> Result<(), InjectError> {
    edit.fixing(FixupKind::MountPoint, |edit| {
        MOUNT_POINTS.iter().try_for_each(|(path, mode)| edit.dir_with_mode(path, *mode).map(drop))
    })?;
    edit.fixing(FixupKind::MachineId, machine_id)?;
    edit.fixing(FixupKind::SshHostKey, ssh_host_keys)?;
    edit.fixing(FixupKind::ContainerMarker, |edit| {
        CONTAINER_MARKERS.iter().try_for_each(|path| edit.remove(path))
    })?;
    if edit.read(POLICY)?.is_some_and(|text| says_exit_101(&text)) {
        edit.fixing(FixupKind::ServiceVeto, |edit| edit.remove(POLICY))?;
    }
    edit.fixing(FixupKind::AptSpeedup, |edit| edit.remove(SPEEDUP))?;
    let hostname = agents.hostname.as_str();
    if is_blank(edit, "/etc/hostname")? {
        let text = format!("{hostname}\n");
        edit.fixing(FixupKind::Hostname, |edit| edit.content("/etc/hostname", text.as_bytes(), 0o644))?;
    }
    if is_blank(edit, "/etc/hosts")? {
        let own = edit.read("/etc/hostname")?.unwrap_or_default();
        let own = String::from_utf8_lossy(&own).lines().next().unwrap_or(hostname).trim().to_owned();
        let text = new_hosts(&own);
        edit.fixing(FixupKind::Hosts, |edit| edit.content("/etc/hosts", text.as_bytes(), 0o644))?;
    }
    if agents.kernel_modules {
        let text = format!("{VSOCK_MODULE}\n");
        edit.fixing(FixupKind::ModulesLoad, |edit| edit.file(MODULES_LOAD, text.as_bytes(), 0o644))?;
    }
    Ok(())
}

/// Present and empty: systemd fills it without taking this for a first boot, and so does the
/// guest's binary under any other init.
pub(crate) fn machine_id(edit: &mut Edit<'_>) -> Result<(), InjectError> {
    edit.content(MACHINE_ID, b"", 0o444)?;
    // D-Bus' own copy of it.
    let is_copy = edit
        .stat(DBUS_MACHINE_ID)?
        .is_some_and(|stat| stat.file_type == FileType::Regular && stat.size_bytes > 0);
    if is_copy {
        edit.symlink(DBUS_MACHINE_ID, MACHINE_ID)?;
    }
    Ok(())
}

pub(crate) fn ssh_host_keys(edit: &mut Edit<'_>) -> Result<(), InjectError> {
    for name in edit.names("/etc/ssh")? {
        // sshd has no names that are not UTF-8.
        let Ok(name) = String::from_utf8(name) else { continue };
        let is_key = name.strip_suffix(".pub").unwrap_or(&name).ends_with("_key");
        if name.starts_with("ssh_host_") && is_key {
            edit.remove(&format!("/etc/ssh/{name}"))?;
        }
    }
    Ok(())
}

fn says_exit_101(script: &[u8]) -> bool {
    String::from_utf8_lossy(script).lines().any(|line| line.trim_start().starts_with("exit 101"))
}

fn is_blank(edit: &Edit<'_>, path: &str) -> Result<bool, InjectError> {
    // Lists of hosts may be long; a long list is not blank.
    const BLANKS_MAX: u64 = 4096;
    match edit.lookup(path)? {
        None => Ok(true),
        Some((_, stat)) if stat.size_bytes > BLANKS_MAX => Ok(false),
        Some(_) => Ok(edit.read(path)?.is_some_and(|bytes| bytes.iter().all(u8::is_ascii_whitespace))),
    }
}
