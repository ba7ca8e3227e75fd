//! `--init install`: a Debian without an init gets systemd on its first boot, and goes over to it.

use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use banger::guest::{BootContract, FirstBootState, Info};
use banger_testkit::Image;

use super::first_boot::{self, INSTALL_TIMEOUT};
use super::systemd;
use crate::boot::bench::Bench;
use crate::boot::disk;
use crate::boot::guest::{self, Guest, ensure_that};
use crate::boot::network::{GUEST_ADDRESS, Network, free_port};
use crate::boot::repository::Repository;

/// What the agent is run as once systemd runs it.
const AGENT_UNIT: &str = "banger-vsock-agent.service";

pub(crate) fn online(bench: &Bench) -> anyhow::Result<()> {
    let repository = Repository::start(bench.packages())?;
    let disk = first_boot::disk_of(bench, Image::DebianMinbase, "install-init", &["--init", "install"])?;
    let ssh = free_port()?;
    let network = Network { ssh: Some(ssh), repository: Some(repository.port()) };
    let options = first_boot::options(&disk, Some(network));
    let mut machine = bench.start("install-init-1", &options)?;
    let guest = Guest::wait(&machine)?;
    let before = guest.client.info()?;
    ensure_that!(before.contract == Some(BootContract::Banger), "contract {:?}", before.contract);
    ensure_that!(
        matches!(before.first_boot.state, FirstBootState::Pending | FirstBootState::Running),
        "{}",
        guest::first_boot(&before)
    );
    let info = wait_for_systemd(&guest)?;
    ensure_that!(info.boot_id == before.boot_id, "it rebooted");
    ensure_that!(repository.packages_served() > 0, "no package was fetched");
    check_systemd(&guest, &info)?;
    first_boot::log_in(bench, &guest, ssh)?;
    guest.stop(&mut machine)?;
    disk::check(&disk)?;

    // The second boot is systemd's from its beginning.
    let served = repository.packages_served();
    let mut machine = bench.start("install-init-2", &options)?;
    let guest = Guest::wait(&machine)?;
    let info = guest.client.info()?;
    ensure_that!(info.boot_id != before.boot_id, "the second boot is the first");
    check_systemd(&guest, &info)?;
    first_boot::log_in(bench, &guest, ssh).context("after a reboot")?;
    ensure_that!(!machine.console_text().contains("banger-init:"), "banger-init ran again");
    ensure_that!(repository.packages_served() == served, "the second boot fetched packages");
    guest.stop(&mut machine)?;
    disk::check(&disk)
}

/// Waits until systemd's agent answers. In between nobody does: banger-init's ends with it.
fn wait_for_systemd(guest: &Guest) -> anyhow::Result<Info> {
    let started = Instant::now();
    loop {
        guest.client.wait_until_ready(guest::BOOT_TIMEOUT).context("no agent")?;
        match guest.client.info() {
            Ok(info) if info.init.ends_with("/systemd") => return Ok(info),
            Ok(info) if info.first_boot.state == FirstBootState::Failed => {
                bail!("{}", guest::first_boot(&info))
            }
            Ok(info) if started.elapsed() > INSTALL_TIMEOUT => {
                bail!("process 1 is {}: {}", info.init, guest::first_boot(&info))
            }
            Err(error) if !error.is_transient() => return Err(error.into()),
            _ => std::thread::sleep(Duration::from_millis(500)),
        }
    }
}

/// systemd runs everything, banger's services among it.
fn check_systemd(guest: &Guest, info: &Info) -> anyhow::Result<()> {
    ensure_that!(info.init.ends_with("/systemd"), "process 1 is {}", info.init);
    ensure_that!(info.contract == Some(BootContract::Systemd), "contract {:?}", info.contract);
    first_boot::check_done(guest, info)?;
    systemd::check_running(guest)?;
    let group = guest.shell("cat /proc/$PPID/cgroup")?;
    ensure_that!(group.contains(AGENT_UNIT), "the agent that answers is in {group}");
    ensure_that!(
        info.interfaces
            .iter()
            .any(|interface| interface.addresses.iter().any(|text| text.starts_with(GUEST_ADDRESS))),
        "interfaces: {:?}",
        info.interfaces
    );
    let packages =
        guest.shell("dpkg --audit; dpkg-query -W -f '${db:Status-Status} ' systemd-sysv udev dbus")?;
    ensure_that!(packages == "installed installed installed", "dpkg says: {packages}");
    let init = guest.shell("readlink -f /sbin/init")?;
    ensure_that!(init.ends_with("/systemd"), "/sbin/init leads to {init}");
    Ok(())
}

/// Power cuts before and after `/sbin/init` is systemd's: the third boot finishes the installation.
pub(crate) fn power_cuts(bench: &Bench) -> anyhow::Result<()> {
    let repository = Repository::start(bench.packages())?;
    let name = "install-init-cut";
    let disk = first_boot::disk_of(bench, Image::DebianMinbase, name, &["--init", "install"])?;
    let ssh = free_port()?;
    let network = Network { ssh: Some(ssh), repository: Some(repository.port()) };
    let options = first_boot::options(&disk, Some(network));
    let start = |number: u32| bench.start(&format!("{name}-{number}"), &options);

    let mut machine = start(1)?;
    first_boot::wait_until_unpacking(&Guest::wait(&machine)?)?;
    machine.cut_power();
    disk::recover(&disk)?;

    // banger-init goes on with it.
    let mut machine = start(2)?;
    let guest = Guest::wait(&machine)?;
    first_boot::wait_for_log(&guest, "systemd-sysv", |log| log.contains("Unpacking systemd-sysv"))?;
    machine.cut_power();
    disk::recover(&disk)?;

    // Whichever of the two is process 1, the installation ends.
    let mut machine = start(3)?;
    let guest = Guest::wait(&machine)?;
    wait_for_systemd(&guest)?;
    let info = guest.wait_for_first_boot(INSTALL_TIMEOUT)?;
    first_boot::check_done(&guest, &info)?;
    guest.stop(&mut machine)?;
    disk::check(&disk)?;

    let mut machine = start(4)?;
    let guest = Guest::wait(&machine)?;
    check_systemd(&guest, &guest.client.info()?)?;
    first_boot::log_in(bench, &guest, ssh)?;
    guest.stop(&mut machine)?;
    disk::check(&disk)
}

pub(crate) fn offline(bench: &Bench) -> anyhow::Result<()> {
    let name = "install-init-offline";
    let disk = first_boot::disk_of(bench, Image::DebianMinbase, name, &["--init", "install"])?;
    let mut machine = bench.start(name, &first_boot::options(&disk, None))?;
    let guest = Guest::wait(&machine)?;
    first_boot::check_offline(&guest)?;
    // After its last attempt in this boot it is what it is without `--init install`.
    machine.wait_for("banger-init: no init was installed", Duration::from_secs(240))?;
    machine.type_line("")?;
    machine.type_line("echo shell-$((40 + 2))")?;
    machine.wait_for("shell-42", Duration::from_secs(30)).context("no shell on the console")?;
    let info = guest.client.info()?;
    ensure_that!(info.contract == Some(BootContract::Banger), "contract {:?}", info.contract);
    guest.stop(&mut machine)?;
    disk::check(&disk)
}
