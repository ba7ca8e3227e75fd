//! A Debian with systemd.

use std::time::Duration;

use banger_testkit::Image;

use crate::boot::bench::Bench;
use crate::boot::qemu::MachineOptions;

pub(crate) fn run(bench: &Bench) -> anyhow::Result<()> {
    let disk = bench.pull(Image::DebianSystemd, "systemd", &[])?;
    let mut machine = bench.start("systemd", &MachineOptions::with_disk(&disk))?;
    machine.wait_for("login:", Duration::from_secs(240))
}
