//! A Debian with systemd: the order of banger's units, no failed unit, a second boot.

use std::time::Duration;

use banger::guest::{BootContract, ExitStatus, FirstBootState};
use banger_testkit::Image;

use super::ground;
use crate::boot::bench::Bench;
use crate::boot::disk;
use crate::boot::guest::{Guest, ensure_that};
use crate::boot::network::{GUEST_ADDRESS, Network};
use crate::boot::qemu::MachineOptions;

pub(crate) fn run(bench: &Bench) -> anyhow::Result<()> {
    let disk = bench.pull(Image::DebianSystemd, "systemd", &[])?;
    disk::write_file(
        &disk,
        "/etc/banger-network.conf",
        "address=10.0.2.15/24\ngateway=10.0.2.2\nhostname=systemd-guest\n",
        0o644,
    )?;
    let options = MachineOptions {
        network: Some(Network::default()),
        mounts_nothing: true,
        ..MachineOptions::with_disk(&disk)
    };
    let mut machine = bench.start("systemd-1", &options)?;
    let guest = Guest::wait(&machine)?;
    guest.wait_for_first_boot(Duration::from_secs(180))?;
    let info = guest.client.info()?;
    ensure_that!(info.contract == Some(BootContract::Systemd), "contract {:?}", info.contract);
    ensure_that!(info.init.contains("systemd"), "process 1 is {}", info.init);
    ensure_that!(info.hostname == "systemd-guest", "hostname {}", info.hostname);
    ground::check(&guest)?;
    check_network(&guest)?;
    check_running(&guest)?;
    check_order(&guest)?;

    // The status of a program comes back, and its two streams stay apart.
    let output = guest.run(&["sh", "-c", "echo out; echo err >&2; exit 42"])?;
    ensure_that!(output.status == (ExitStatus::Exited { status: 42 }), "exec: {output:?}");
    ensure_that!(output.stdout == b"out\n" && output.stderr == b"err\n", "exec: {output:?}");
    let first_boot_id = info.boot_id;
    guest.stop(&mut machine)?;
    disk::check(&disk)?;

    // The second boot has nothing to do.
    let mut machine = bench.start("systemd-2", &options)?;
    let guest = Guest::wait(&machine)?;
    check_running(&guest)?;
    let info = guest.client.info()?;
    ensure_that!(info.boot_id != first_boot_id, "the second boot is the first");
    ensure_that!(
        matches!(info.first_boot.state, FirstBootState::Done | FirstBootState::None),
        "the second boot knows of no first: {:?}",
        info.first_boot
    );
    let first_boot = show(&guest, "banger-first-boot.service", "ConditionResult")?;
    ensure_that!(first_boot == "no", "the second boot ran the first boot again");
    check_network(&guest)?;
    guest.stop(&mut machine)
}

/// The network is as `/etc/banger-network.conf` says.
fn check_network(guest: &Guest) -> anyhow::Result<()> {
    let addresses = guest.shell("ip -o -4 address show scope global")?;
    ensure_that!(addresses.contains(&format!("{GUEST_ADDRESS}/24")), "addresses: {addresses}");
    let route = guest.shell("ip -4 route show default")?;
    ensure_that!(route.contains("via 10.0.2.2"), "default route: {route}");
    Ok(())
}

/// systemd has reached its goal and no unit has failed.
pub(super) fn check_running(guest: &Guest) -> anyhow::Result<()> {
    let state = guest.systemd_state()?;
    let failed = guest.shell("systemctl --failed --no-legend --plain")?;
    ensure_that!(failed.is_empty() && state == "running", "systemd is {state}, failed: {failed}");
    let multi_user = guest.shell("systemctl is-active multi-user.target")?;
    ensure_that!(multi_user == "active", "multi-user.target is {multi_user}");
    for unit in ["banger-network", "banger-vsock-agent"] {
        let active = guest.shell(&format!("systemctl is-active {unit}.service"))?;
        let enabled = guest.shell(&format!("systemctl is-enabled {unit}.service"))?;
        ensure_that!(active == "active" && enabled == "enabled", "{unit} is {active} and {enabled}");
    }
    Ok(())
}

/// Network, first boot and agent began in the order of the specification.
fn check_order(guest: &Guest) -> anyhow::Result<()> {
    let local_fs = time(guest, "local-fs.target", "ActiveEnterTimestampMonotonic")?;
    let network_from = time(guest, "banger-network.service", "ExecMainStartTimestampMonotonic")?;
    let network_to = time(guest, "banger-network.service", "ActiveEnterTimestampMonotonic")?;
    let network_target = time(guest, "network.target", "ActiveEnterTimestampMonotonic")?;
    let first_boot = time(guest, "banger-first-boot.service", "ExecMainStartTimestampMonotonic")?;
    let agent = time(guest, "banger-vsock-agent.service", "ExecMainStartTimestampMonotonic")?;
    let order = format!(
        "local-fs.target {local_fs}, network {network_from} to {network_to}, network.target {network_target}, \
         first boot {first_boot}, agent {agent}"
    );
    ensure_that!(0 < local_fs && local_fs <= network_from && network_from < network_to, "{order}");
    ensure_that!(network_to <= network_target, "{order}");
    ensure_that!(network_to <= first_boot, "{order}");
    ensure_that!(local_fs <= agent, "{order}");
    Ok(())
}

fn time(guest: &Guest, unit: &str, property: &str) -> anyhow::Result<u64> {
    Ok(show(guest, unit, property)?.parse()?)
}

pub(super) fn show(guest: &Guest, unit: &str, property: &str) -> anyhow::Result<String> {
    guest.shell(&format!("systemctl show --value --property={property} {unit}"))
}
