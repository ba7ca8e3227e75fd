//! What every program of a guest stands on, whatever kernel, initramfs and init did.

use crate::boot::guest::{Guest, ensure_that};

/// Mount points and the file systems on them.
const MOUNTS: [&str; 6] =
    ["/proc proc", "/sys sysfs", "/dev devtmpfs", "/dev/pts devpts", "/dev/shm tmpfs", "/run tmpfs"];

/// Checks mounts, hostname and the root's flags, in a guest with a shell and `cat`.
pub(super) fn check(guest: &Guest) -> anyhow::Result<()> {
    let mounts = guest.shell("cat /proc/mounts")?;
    let has = |wanted: &str, flag: Option<&str>| {
        mounts.lines().any(|line| {
            let fields: Vec<&str> = line.split(' ').collect();
            let is_it = fields.len() > 3 && format!("{} {}", fields[1], fields[2]) == wanted;
            is_it && flag.is_none_or(|flag| fields[3].split(',').any(|other| other == flag))
        })
    };
    for wanted in MOUNTS {
        ensure_that!(has(wanted, None), "{wanted} is not mounted: {mounts}");
    }
    ensure_that!(has("/ ext4", Some("rw")), "the root is not writable: {mounts}");
    let hostname = guest.client.info()?.hostname;
    ensure_that!(!hostname.is_empty() && hostname != "(none)", "the hostname is {hostname:?}");
    Ok(())
}
