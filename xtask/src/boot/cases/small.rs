//! Images of next to nothing: busybox alone, and a single static program.

use std::time::Duration;

use anyhow::Context as _;
use banger::guest::{BootContract, CopyIn, EntrypointState, ErrorCode, ExitStatus, GuestError};
use banger_testkit::TAG;
use serde_json::json;

use super::ground;
use crate::boot::bench::Bench;
use crate::boot::disk;
use crate::boot::guest::{Guest, STOP_TIMEOUT, ensure_that};
use crate::boot::images;
use crate::boot::network::{GUEST_ADDRESS, Network};
use crate::boot::qemu::MachineOptions;

/// busybox as the image's own init.
pub(crate) fn busybox_init(bench: &Bench) -> anyhow::Result<()> {
    let layout = bench.directory().join("busybox-init.layout");
    images::write_busybox(&layout, true)?;
    let reference = format!("oci:{}:{TAG}", layout.display());
    let disk = bench.pull_reference(&reference, "busybox-init", &["--size", "64M"])?;
    let options = MachineOptions {
        network: Some(Network::default()),
        append: Network::kernel_words(),
        mounts_nothing: true,
        ..MachineOptions::with_disk(&disk)
    };
    let mut machine = bench.start("busybox-init", &options)?;
    let guest = Guest::wait(&machine)?;
    let info = guest.client.info()?;
    ensure_that!(info.contract == Some(BootContract::Busybox), "contract {:?}", info.contract);
    let init = guest.shell("cat /proc/1/cmdline")?;
    ensure_that!(init.contains("init"), "process 1 is {init:?}");
    ground::check(&guest)?;
    let addresses = guest.shell("ifconfig")?;
    ensure_that!(addresses.contains(&format!("addr:{GUEST_ADDRESS}")), "addresses: {addresses}");
    // The image's own lines of the inittab work still.
    machine.type_line("")?;
    machine.type_line("echo shell-$((40 + 2))")?;
    machine.wait_for("shell-42", Duration::from_secs(30)).context("no shell on the console")?;
    // Init starts the agent again.
    let before = guest.agent_pid()?;
    // The connection ends with the agent.
    let _ = guest.shell(&format!("kill -9 {before}"));
    guest.client.wait_until_ready(Duration::from_secs(30)).context("the agent did not come back")?;
    ensure_that!(guest.agent_pid()? != before, "the agent was not killed");
    guest.stop(&mut machine)?;
    disk::check(&disk)
}

/// Alpine as it is published: busybox init, and an inittab that calls an OpenRC that is not there and has logins on
/// virtual consoles.
pub(crate) fn alpine(bench: &Bench) -> anyhow::Result<()> {
    let reference = match banger_testkit::third_party("alpine-3.20.oci.tar") {
        Ok(archive) => format!("oci-archive:{}:3.20", archive.display()),
        Err(skip) => {
            skip.report();
            let layout = bench.directory().join("alpine.layout");
            images::write_like_alpine(&layout)?;
            format!("oci:{}:{TAG}", layout.display())
        }
    };
    let disk = bench.pull_reference(&reference, "alpine", &["--size", "128M"])?;
    let options = MachineOptions {
        network: Some(Network::default()),
        append: Network::kernel_words(),
        mounts_nothing: true,
        ..MachineOptions::with_disk(&disk)
    };
    let mut machine = bench.start("alpine", &options)?;
    let guest = Guest::wait(&machine)?;
    let info = guest.client.info()?;
    ensure_that!(info.contract == Some(BootContract::Busybox), "contract {:?}", info.contract);
    ground::check(&guest)?;
    let addresses = guest.shell("ifconfig")?;
    ensure_that!(addresses.contains(&format!("addr:{GUEST_ADDRESS}")), "addresses: {addresses}");
    machine.wait_for("login:", Duration::from_secs(60)).context("no login on the serial console")?;
    // A line that fails would be tried again every second.
    std::thread::sleep(Duration::from_secs(3));
    let console = machine.console_text();
    for complaint in ["can't open", "can't run", "not found", "No such file", "respawn"] {
        ensure_that!(!console.contains(complaint), "the console says {complaint:?}:\n{console}");
    }
    guest.stop(&mut machine)?;
    disk::check(&disk)
}

/// busybox without an init, the shape of `busybox` on Docker Hub, whose command is a shell to type
/// into: it is on the console, and comes back when it ends.
pub(crate) fn busybox(bench: &Bench) -> anyhow::Result<()> {
    let layout = bench.directory().join("busybox.layout");
    images::write_busybox(&layout, false)?;
    let reference = format!("oci:{}:{TAG}", layout.display());
    let disk = bench.pull_reference(&reference, "busybox", &["--size", "64M"])?;
    let options = MachineOptions {
        network: Some(Network::default()),
        append: Network::kernel_words(),
        ..MachineOptions::with_disk(&disk)
    };
    let mut machine = bench.start("busybox", &options)?;
    let guest = Guest::wait(&machine)?;
    let info = guest.client.info()?;
    ensure_that!(info.contract == Some(BootContract::Banger), "contract {:?}", info.contract);
    let addresses = guest.shell("ifconfig")?;
    ensure_that!(addresses.contains(&format!("addr:{GUEST_ADDRESS}")), "addresses: {addresses}");
    machine.type_line("")?;
    machine.type_line("echo command-$((40 + 2))")?;
    machine.wait_for("command-42", Duration::from_secs(30)).context("no shell on the console")?;
    machine.type_line("exit")?;
    std::thread::sleep(Duration::from_secs(2));
    machine.type_line("echo again-$((50 + 2))")?;
    machine.wait_for("again-52", Duration::from_secs(30)).context("the shell did not come back")?;
    guest.stop(&mut machine)?;
    disk::check(&disk)
}

/// A static program and nothing else runs as the image says, and its status reaches the host.
pub(crate) fn scratch(bench: &Bench) -> anyhow::Result<()> {
    let layout = bench.directory().join("scratch.layout");
    let script = "echo program: uid $(/busybox id -u):$(/busybox id -g) in $(/busybox pwd) greets $GREETING; \
                  until [ -e /srv/go ]; do /busybox sleep 0.1; done; exit 7";
    let config = json!({
        "Entrypoint": ["/busybox", "sh", "-c"],
        "Cmd": [script],
        "Env": ["GREETING=hello world"],
        "User": "1234:5678",
        "WorkingDir": "/srv/work",
    });
    images::write_static_program(&layout, config)?;
    let reference = format!("oci:{}:{TAG}", layout.display());
    let disk = bench.pull_reference(&reference, "scratch", &["--size", "64M"])?;
    let mut machine = bench.start("scratch", &MachineOptions::with_disk(&disk))?;
    machine
        .wait_for("program: uid 1234:5678 in /srv/work greets hello world", Duration::from_secs(120))
        .context("the entry point did not say what it should")?;
    let guest = Guest::wait(&machine)?;
    let info = guest.client.info()?;
    ensure_that!(info.contract == Some(BootContract::Banger), "contract {:?}", info.contract);
    ensure_that!(
        matches!(info.entrypoint, Some(EntrypointState::Running { .. })),
        "entry point {:?}",
        info.entrypoint
    );
    // It runs still, and somebody waits for it when it ends.
    match guest.client.wait(Some(Duration::from_millis(200))) {
        Err(GuestError::Refused { code: ErrorCode::TimedOut, .. }) => {}
        other => anyhow::bail!("wait said {other:?} of a program that runs"),
    }
    let client = guest.client.clone();
    let waiting = std::thread::spawn(move || client.wait(Some(Duration::from_secs(60))));
    std::thread::sleep(Duration::from_millis(300));
    let go = CopyIn::default().with_path("/srv/go".to_owned());
    guest.client.copy_in(&go, &mut b"go".as_slice())?;
    let status = waiting.join().expect("the thread does not panic").context("wait")?;
    ensure_that!(status == (ExitStatus::Exited { status: 7 }), "the entry point ended with {status:?}");
    machine.wait_for("banger-init: entrypoint exited with status 7", Duration::from_secs(30))?;
    machine.wait(STOP_TIMEOUT)?;
    ensure_that!(!machine.console_text().contains("Kernel panic"), "it panicked");
    disk::check(&disk)
}
