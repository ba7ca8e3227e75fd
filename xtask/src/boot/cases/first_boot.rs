//! The first boot of a Debian without sshd: installs it, with and without systemd, says why it
//! cannot, survives a power cut.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use banger::guest::{BootContract, CopyIn, FirstBoot, FirstBootState, Info};
use banger_testkit::{Image, tools};

use super::systemd;
use crate::boot::bench::Bench;
use crate::boot::disk;
use crate::boot::guest::{Guest, ensure_that, first_boot};
use crate::boot::network::{Network, free_port};
use crate::boot::qemu::MachineOptions;
use crate::boot::repository::{Repository, source_line};

/// How long an installation may take.
pub(super) const INSTALL_TIMEOUT: Duration = Duration::from_secs(420);
const MARKER: &str = "/var/lib/banger/first-boot-pending";

/// A Debian without init and sshd, whose only package source is the repository.
fn disk(bench: &Bench, name: &str) -> anyhow::Result<PathBuf> {
    disk_of(bench, Image::DebianMinbase, name, &[])
}

/// A Debian without sshd, pulled with more `options`, whose only package source is the repository.
pub(super) fn disk_of(bench: &Bench, image: Image, name: &str, options: &[&str]) -> anyhow::Result<PathBuf> {
    let disk = bench.pull(image, name, options)?;
    disk::write_file(&disk, "/etc/apt/sources.list", &source_line(), 0o644)?;
    // mmdebstrap may have written its sources in the newer form.
    disk::remove(&disk, "/etc/apt/sources.list.d/debian.sources")?;
    Ok(disk)
}

pub(super) fn options(disk: &Path, network: Option<Network>) -> MachineOptions {
    let append = if network.is_some() { Network::kernel_words() } else { Vec::new() };
    MachineOptions { network, append, ..MachineOptions::with_disk(disk) }
}

pub(crate) fn install(bench: &Bench) -> anyhow::Result<()> {
    let repository = Repository::start(bench.packages())?;
    let disk = disk(bench, "first-boot")?;
    let ssh = free_port()?;
    let network = Network { ssh: Some(ssh), repository: Some(repository.port()) };
    let mut machine = bench.start("first-boot-1", &options(&disk, Some(network)))?;
    let guest = Guest::wait(&machine)?;
    // The agent does not wait for it.
    let state = guest.client.info()?.first_boot.state;
    ensure_that!(
        matches!(state, FirstBootState::Pending | FirstBootState::Running),
        "the first boot is {state:?} when the agent answers first"
    );
    let info = guest.wait_for_first_boot(INSTALL_TIMEOUT)?;
    ensure_that!(repository.packages_served() > 0, "no package was fetched");
    check_done(&guest, &info)?;
    log_in(bench, &guest, ssh)?;
    guest.stop(&mut machine)?;
    disk::check(&disk)?;

    // The next boot does not install again, and sshd is there by itself.
    let served = repository.packages_served();
    let mut machine = bench.start("first-boot-2", &options(&disk, Some(network)))?;
    let guest = Guest::wait(&machine)?;
    let info = guest.client.info()?;
    ensure_that!(info.first_boot.state == FirstBootState::Done, "{}", first_boot(&info));
    log_in(bench, &guest, ssh).context("after a reboot")?;
    ensure_that!(repository.packages_served() == served, "the second boot fetched packages");
    guest.stop(&mut machine)
}

/// systemd runs the first boot as a unit, the unit installs an ssh server, and a key logs in.
pub(crate) fn install_under_systemd(bench: &Bench) -> anyhow::Result<()> {
    let repository = Repository::start(bench.packages())?;
    let disk = disk_of(bench, Image::DebianNosshd, "systemd-first-boot", &[])?;
    let ssh = free_port()?;
    let network = Network { ssh: Some(ssh), repository: Some(repository.port()) };
    let mut machine = bench.start("systemd-first-boot", &options(&disk, Some(network)))?;
    let guest = Guest::wait(&machine)?;
    let info = guest.wait_for_first_boot(INSTALL_TIMEOUT)?;
    ensure_that!(info.contract == Some(BootContract::Systemd), "contract {:?}", info.contract);
    ensure_that!(repository.packages_served() > 0, "no package was fetched");
    check_done(&guest, &info)?;
    systemd::check_running(&guest)?;
    let result = systemd::show(&guest, "banger-first-boot.service", "Result")?;
    ensure_that!(result == "success", "banger-first-boot.service: {result}");
    log_in(bench, &guest, ssh)?;
    let enabled = guest.shell("systemctl is-enabled ssh.service")?;
    ensure_that!(enabled == "enabled", "ssh.service is {enabled}");
    guest.stop(&mut machine)?;
    disk::check(&disk)
}

/// The first boot is done, and its marker says so.
pub(super) fn check_done(guest: &Guest, info: &Info) -> anyhow::Result<()> {
    ensure_that!(info.first_boot.state == FirstBootState::Done, "{}", first_boot(info));
    guest.shell(&format!("test ! -e {MARKER} && test -e /var/lib/banger/first-boot-done"))?;
    Ok(())
}

/// It failed because there is no network, and the next boot will try again.
pub(super) fn check_offline(guest: &Guest) -> anyhow::Result<()> {
    let info = guest.wait_for_info("failure of the first boot", Duration::from_secs(240), |info| {
        info.first_boot.state == FirstBootState::Failed
    })?;
    let reason = info.first_boot.last_error.unwrap_or_default();
    ensure_that!(reason.contains("no network"), "the reason is {reason:?}");
    ensure_that!(!reason.contains("package manager"), "the reason is {reason:?}");
    guest.shell(&format!("test -e {MARKER}"))?;
    guest.client.health()?;
    Ok(())
}

/// A key logs in for real.
pub(super) fn log_in(bench: &Bench, guest: &Guest, port: u16) -> anyhow::Result<()> {
    let key = bench.directory().join("first-boot.key");
    if !key.exists() {
        let mut command = Command::new(tool("ssh-keygen")?);
        command.args(["-q", "-t", "ed25519", "-N", "", "-f"]).arg(&key);
        tools::try_run(&mut command).map_err(|report| anyhow::anyhow!("{report}"))?;
    }
    let public = std::fs::read(key.with_extension("key.pub"))?;
    guest.shell("mkdir -p -m 700 /root/.ssh")?;
    let keys = CopyIn::default().with_path("/root/.ssh/authorized_keys".to_owned()).with_mode(Some(0o600));
    guest.client.copy_in(&keys, &mut public.as_slice())?;
    let deadline = Instant::now() + Duration::from_secs(120);
    loop {
        let mut ssh = Command::new(tool("ssh")?);
        ssh.arg("-i").arg(&key).args(["-p", &port.to_string()]);
        for option in [
            "BatchMode=yes",
            "IdentitiesOnly=yes",
            "StrictHostKeyChecking=no",
            "UserKnownHostsFile=/dev/null",
            "LogLevel=ERROR",
            "ConnectTimeout=30",
        ] {
            ssh.args(["-o", option]);
        }
        ssh.args(["-F", "/dev/null", "root@127.0.0.1", "echo in by $(cat /proc/1/comm), $((40 + 2))"]);
        match tools::try_run(&mut ssh) {
            Ok(output) => {
                let said = String::from_utf8_lossy(&output.stdout).into_owned();
                ensure_that!(said.trim_end().ends_with(", 42"), "ssh: {said}");
                return Ok(());
            }
            Err(report) if Instant::now() > deadline => bail!("no login: {report}"),
            Err(_) => std::thread::sleep(Duration::from_secs(1)),
        }
    }
}

fn tool(name: &str) -> anyhow::Result<PathBuf> {
    tools::tool(name).map_err(|skip| anyhow::anyhow!("{}", skip.reason()))
}

/// Without a network the marker stays, the reason is that, and the agent is there.
pub(crate) fn offline(bench: &Bench) -> anyhow::Result<()> {
    let disk = disk(bench, "first-boot-offline")?;
    let mut machine = bench.start("first-boot-offline", &options(&disk, None))?;
    let guest = Guest::wait(&machine)?;
    check_offline(&guest)?;
    guest.stop(&mut machine)?;
    disk::check(&disk)
}

/// Waits until the installation is in the middle of dpkg's work.
pub(super) fn wait_until_unpacking(guest: &Guest) -> anyhow::Result<()> {
    wait_for_log(guest, "unpacking", |log| {
        log.contains("Setting up") || log.matches("Unpacking").count() >= 3
    })
}

/// Waits for what the first boot, which is to run, says.
pub(super) fn wait_for_log(guest: &Guest, what: &str, is_there: impl Fn(&str) -> bool) -> anyhow::Result<()> {
    let info = guest.wait_for_info(what, INSTALL_TIMEOUT, |info| {
        let FirstBoot { state, log_tail, .. } = &info.first_boot;
        !matches!(state, FirstBootState::Running | FirstBootState::Pending) || is_there(log_tail)
    })?;
    ensure_that!(info.first_boot.state == FirstBootState::Running, "{}", first_boot(&info));
    Ok(())
}

/// A power cut in the middle of dpkg's work: the next boot finishes it.
pub(crate) fn power_cut(bench: &Bench) -> anyhow::Result<()> {
    let repository = Repository::start(bench.packages())?;
    let disk = disk(bench, "first-boot-cut")?;
    let network = Network { ssh: None, repository: Some(repository.port()) };
    let mut machine = bench.start("first-boot-cut-1", &options(&disk, Some(network)))?;
    let guest = Guest::wait(&machine)?;
    wait_until_unpacking(&guest)?;
    machine.cut_power();

    let mut machine = bench.start("first-boot-cut-2", &options(&disk, Some(network)))?;
    let guest = Guest::wait(&machine)?;
    let info = guest.wait_for_first_boot(INSTALL_TIMEOUT)?;
    ensure_that!(info.first_boot.state == FirstBootState::Done, "{}", first_boot(&info));
    let status = guest.shell("dpkg --audit; dpkg-query -W -f '${db:Status-Status}' openssh-server")?;
    ensure_that!(status == "installed", "dpkg says: {status}");
    guest.shell("ls /etc/ssh/ssh_host_*_key")?;
    guest.stop(&mut machine)?;
    disk::check(&disk)
}
