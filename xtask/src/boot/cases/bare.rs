//! A Debian without any init, the shape of `debian:bookworm`: banger-init runs it.

use std::time::Duration;

use anyhow::Context as _;
use banger::guest::{BootContract, NetworkConfig};
use banger_testkit::Image;

use super::ground;
use crate::boot::bench::Bench;
use crate::boot::disk;
use crate::boot::guest::{Guest, STOP_TIMEOUT, ensure_that};
use crate::boot::network::{GUEST_ADDRESS, Network};
use crate::boot::qemu::MachineOptions;

pub(crate) fn run(bench: &Bench) -> anyhow::Result<()> {
    let disk = bench.pull(Image::DebianMinbase, "bare", &[])?;
    // mmdebstrap leaves the resolver of the machine that it ran on, which would be respected.
    disk::write_file(&disk, "/etc/resolv.conf", "", 0o644)?;
    let mut append = Network::kernel_words();
    append.push("banger.hostname=bare-guest".to_owned());
    let options = MachineOptions {
        network: Some(Network::default()),
        append,
        mounts_nothing: true,
        ..MachineOptions::with_disk(&disk)
    };
    let mut machine = bench.start("bare", &options)?;
    let guest = Guest::wait(&machine)?;
    let info = guest.client.info()?;
    ensure_that!(info.contract == Some(BootContract::Banger), "contract {:?}", info.contract);
    ensure_that!(info.hostname == "bare-guest", "hostname {}", info.hostname);
    ensure_that!(info.machine_id.is_some(), "no machine-id");

    // The network is up, and nothing in the image could have done it.
    let ip = guest.shell("command -v ip ifconfig busybox || true")?;
    ensure_that!(ip.is_empty(), "the image has {ip}");
    let wanted = format!("{GUEST_ADDRESS}/24");
    let card = info.interfaces.iter().find(|interface| interface.addresses.contains(&wanted));
    let card = card.with_context(|| format!("no interface has {wanted}: {:?}", info.interfaces))?;
    ensure_that!(card.up, "{} is down", card.interface);
    let route = guest.shell("cat /proc/net/route")?;
    // 10.0.2.2 and no destination, as the kernel writes them.
    ensure_that!(route.contains("\t00000000\t0202000A\t"), "routes: {route}");
    let resolver = guest.shell("cat /etc/resolv.conf")?;
    ensure_that!(resolver.contains("nameserver 10.0.2.3"), "resolv.conf: {resolver}");

    check_mounts(&guest)?;
    check_reaping(&guest)?;
    check_commands(bench, &machine.socket().display().to_string())?;

    // Another address while it runs.
    let network = NetworkConfig::default()
        .with_interface(Some(card.interface.clone()))
        .with_addresses(vec!["10.0.2.16/24".parse()?]);
    guest.client.set_network(&network, false)?;
    let info = guest.client.info()?;
    ensure_that!(
        info.interfaces.iter().any(|interface| interface.addresses.iter().any(|text| text == "10.0.2.16/24")),
        "after set-network: {:?}",
        info.interfaces
    );

    // The shell on the console works.
    machine.type_line("")?;
    machine.type_line("echo shell-$((40 + 2))-answers; tty")?;
    machine.wait_for("shell-42-answers", Duration::from_secs(30)).context("no shell on the console")?;
    // Another one comes when it ends.
    machine.type_line("exit")?;
    std::thread::sleep(Duration::from_secs(2));
    machine.type_line("")?;
    machine.type_line("echo again-$((50 + 2))")?;
    machine.wait_for("again-52", Duration::from_secs(30)).context("the shell did not come back")?;
    machine.type_line("sync")?;

    guest.stop(&mut machine)?;
    disk::check(&disk)
}

fn check_mounts(guest: &Guest) -> anyhow::Result<()> {
    ground::check(guest)?;
    let mounts = guest.shell("cat /proc/mounts")?;
    ensure_that!(mounts.contains(" /sys/fs/cgroup cgroup2 "), "no cgroup2: {mounts}");
    let lo = guest.shell("cat /sys/class/net/lo/operstate /sys/class/net/lo/flags")?;
    // IFF_UP is the lowest bit.
    ensure_that!(lo.ends_with('9') || lo.ends_with('1'), "lo is down: {lo}");
    Ok(())
}

/// Orphans end up with process 1 and do not stay as zombies.
fn check_reaping(guest: &Guest) -> anyhow::Result<()> {
    guest.shell("for i in 1 2 3 4 5; do (sleep 0.2 &) ; done; sleep 1")?;
    let zombies = guest.shell("grep -l '^State:.Z' /proc/[0-9]*/status 2>/dev/null || true")?;
    ensure_that!(zombies.is_empty(), "zombies: {zombies}");
    Ok(())
}

/// `banger guest` with a guest at the other end.
fn check_commands(bench: &Bench, socket: &str) -> anyhow::Result<()> {
    let guest = |arguments: &[&str]| {
        let mut all = vec!["guest", arguments[0], "--socket", socket];
        all.extend_from_slice(&arguments[1..]);
        bench.banger(all)
    };
    let health = guest(&["health"])?;
    ensure_that!(health.starts_with("agent "), "guest health: {health}");
    let info: serde_json::Value = serde_json::from_str(&guest(&["info", "--json"])?)?;
    ensure_that!(info["version"] == 1 && info["contract"] == "banger", "guest info: {info}");
    let said =
        guest(&["exec", "-e", "GREETING=hello", "-w", "/tmp", "--", "sh", "-c", "echo $GREETING; pwd"])?;
    ensure_that!(said == "hello\n/tmp\n", "guest exec: {said:?}");
    let status = bench.banger_status(["guest", "exec", "--socket", socket, "sh", "-c", "exit 37"])?;
    ensure_that!(status == Some(37), "guest exec ended with {status:?}");
    let status = bench.banger_status(["guest", "exec", "--socket", socket, "sh", "-c", "kill -9 $$"])?;
    ensure_that!(status == Some(137), "guest exec of a killed program ended with {status:?}");
    let terminal = guest(&["exec", "--tty", "--", "sh", "-c", "test -t 0 && test -t 1 && stty size"])?;
    ensure_that!(terminal.trim_end() == "24 80", "guest exec --tty: {terminal:?}");

    // A file there and back: more than a frame and more than the window, with bytes of every value.
    let content: Vec<u8> =
        (0..3_000_000_u32).flat_map(|number| number.wrapping_mul(2_654_435_761).to_le_bytes()).collect();
    let local = bench.directory().join("bare.copy");
    let back = bench.directory().join("bare.copy-back");
    std::fs::write(&local, &content)?;
    let (local, back) = (local.display().to_string(), back.display().to_string());
    guest(&["cp", "--mode", "0600", "--parents", &local, ":/srv/new/file"])?;
    let mode = guest(&["exec", "--", "stat", "-c", "%a %u %s", "/srv/new/file"])?;
    ensure_that!(mode == format!("600 0 {}\n", content.len()), "guest cp made {mode}");
    guest(&["cp", ":/srv/new/file", &back])?;
    ensure_that!(std::fs::read(&back)? == content, "guest cp: what came back is not what was sent");
    std::fs::remove_file(local)?;
    std::fs::remove_file(back)?;
    Ok(())
}

/// What the console shell's machine does when it is told to reboot: QEMU without reboots ends.
pub(crate) fn reboot(bench: &Bench) -> anyhow::Result<()> {
    let disk = bench.pull(Image::DebianMinbase, "reboot", &[])?;
    let mut machine = bench.start("reboot", &MachineOptions::with_disk(&disk))?;
    let guest = Guest::wait(&machine)?;
    guest.shell("echo kept >/root/kept")?;
    guest.client.shutdown(banger::guest::ShutdownAction::Reboot)?;
    machine.wait(STOP_TIMEOUT)?;
    ensure_that!(!machine.console_text().contains("Kernel panic"), "it panicked");
    disk::check(&disk)
}
