//! A login on the serial console, for inits that have an inittab.

use banger_guest::config::BootContract;

use crate::detect::{Facts, InitKind};
use crate::edit::Edit;
use crate::error::InjectError;
use crate::report::FixupKind;

/// The file in which busybox and sysvinit list the programs to start.
pub(crate) const INITTAB: &str = "/etc/inittab";

/// Adds a getty to an inittab without a getty on a serial console.
pub(crate) fn fix(edit: &mut Edit<'_>, facts: &Facts, contract: BootContract) -> Result<(), InjectError> {
    let Some(text) = edit.read(INITTAB)? else { return Ok(()) };
    let mut getty = None;
    for dir in ["/sbin", "/usr/sbin", "/bin", "/usr/bin"] {
        let path = format!("{dir}/getty");
        if getty.is_none() && edit.lookup(&path)?.is_some() {
            getty = Some(path);
        }
    }
    let lines = String::from_utf8_lossy(&text).into_owned();
    let is_serial =
        |line: &str| !line.starts_with('#') && (line.contains("ttyS") || line.contains("console"));
    let Some(getty) = getty.filter(|_| !lines.lines().any(is_serial)) else { return Ok(()) };
    let line = match facts.init {
        // Speed 0 leaves the line as the kernel set it up.
        InitKind::Busybox => format!("ttyS0::respawn:{getty} -L 0 ttyS0 vt100\n"),
        InitKind::Other if contract == BootContract::Openrc => {
            format!("S0:2345:respawn:{getty} -L 115200 ttyS0 vt100\n")
        }
        _ => return Ok(()),
    };
    let newline = if lines.is_empty() || lines.ends_with('\n') { "" } else { "\n" };
    let text = [&text[..], newline.as_bytes(), line.as_bytes()].concat();
    edit.fixing(FixupKind::SerialGetty, |edit| edit.content(INITTAB, &text, 0o644))
}
