//! The other inits: OpenRC, runit and s6 start banger's services as they start their own.

use std::time::Duration;

use banger::guest::BootContract;
use banger_testkit::Image;

use super::ground;
use crate::boot::bench::Bench;
use crate::boot::disk;
use crate::boot::guest::{Guest, ensure_that};
use crate::boot::network::{GUEST_ADDRESS, Network};
use crate::boot::qemu::{Machine, MachineOptions};

/// Boots `image`, waits for its agent and looks at what every init has to bring about.
fn boot(
    bench: &Bench,
    image: Image,
    name: &str,
    contract: BootContract,
) -> anyhow::Result<(Machine, Guest, std::path::PathBuf)> {
    let disk = bench.pull(image, name, &[])?;
    let options = MachineOptions {
        network: Some(Network::default()),
        append: Network::kernel_words(),
        mounts_nothing: true,
        ..MachineOptions::with_disk(&disk)
    };
    let machine = bench.start(name, &options)?;
    let guest = Guest::wait(&machine)?;
    let info = guest.wait_for_info("address", Duration::from_secs(60), |info| {
        info.interfaces
            .iter()
            .any(|interface| interface.addresses.iter().any(|text| text.starts_with(GUEST_ADDRESS)))
    })?;
    ensure_that!(info.contract == Some(contract), "contract {:?}", info.contract);
    ground::check(&guest)?;
    Ok((machine, guest, disk))
}

/// The agent comes back when it is killed.
fn check_supervision(guest: &Guest) -> anyhow::Result<()> {
    let before = guest.agent_pid()?;
    // The connection ends with the agent.
    let _ = guest.shell(&format!("kill -9 {before}"));
    guest.client.wait_until_ready(Duration::from_secs(60))?;
    let after = guest.agent_pid()?;
    ensure_that!(before != after && !after.is_empty(), "the agent was {before} and is {after}");
    Ok(())
}

pub(crate) fn openrc(bench: &Bench) -> anyhow::Result<()> {
    let (mut machine, guest, disk) = boot(bench, Image::DebianOpenrc, "openrc", BootContract::Openrc)?;
    let mut status = String::new();
    for _ in 0..120 {
        status = guest.shell("rc-status -a 2>&1 || true")?;
        if ["banger-network", "banger-vsock-agent"].iter().all(|service| started(&status, service)) {
            break;
        }
        std::thread::sleep(Duration::from_millis(500));
    }
    for service in ["banger-network", "banger-vsock-agent"] {
        ensure_that!(started(&status, service), "{service} has not started: {status}");
    }
    check_supervision(&guest)?;
    guest.stop(&mut machine)?;
    disk::check(&disk)
}

fn started(status: &str, service: &str) -> bool {
    status.lines().any(|line| line.contains(service) && line.contains("started"))
}

pub(crate) fn runit(bench: &Bench) -> anyhow::Result<()> {
    let (mut machine, guest, disk) = boot(bench, Image::DebianRunit, "runit", BootContract::Runit)?;
    let status = guest.shell("sv status /etc/service/banger-vsock-agent /etc/service/banger-network")?;
    ensure_that!(status.contains("run: /etc/service/banger-vsock-agent"), "sv status: {status}");
    check_supervision(&guest)?;
    guest.stop(&mut machine)?;
    disk::check(&disk)
}

pub(crate) fn s6(bench: &Bench) -> anyhow::Result<()> {
    let (mut machine, guest, disk) = boot(bench, Image::DebianS6, "s6", BootContract::S6)?;
    let status = guest.shell("s6-svstat /run/service/banger-vsock-agent")?;
    ensure_that!(status.starts_with("up"), "s6-svstat: {status}");
    check_supervision(&guest)?;
    guest.stop(&mut machine)?;
    disk::check(&disk)
}
