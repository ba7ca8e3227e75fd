//! `/etc/machine-id`: a new one for every clone, if systemd does not make it.

use std::io;

use crate::durable;
use crate::root::Root;

const MACHINE_ID: &str = "/etc/machine-id";

/// Fills an empty or missing machine id with a random one. If process 1 is systemd, this does nothing:
/// systemd fills it itself, and treats an empty file as a first boot.
pub(crate) fn fill(root: &Root) -> io::Result<()> {
    let systemd_fills_it = root.text("/proc/1/comm").is_some_and(|name| name == "systemd");
    if systemd_fills_it || root.text(MACHINE_ID).is_some() {
        return Ok(());
    }
    let random = root.text("/proc/sys/kernel/random/uuid").ok_or(io::ErrorKind::NotFound)?;
    let mut id: String = random.chars().filter(char::is_ascii_hexdigit).collect();
    id.push('\n');
    durable::replace(&root.path(MACHINE_ID), id.as_bytes(), 0o444)
}
