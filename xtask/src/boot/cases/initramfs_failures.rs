//! Systems that banger's own initramfs cannot start: it says why, and the machine goes down.

use std::time::Duration;

use anyhow::Context as _;
use banger_kernel::initramfs::{
    InitramfsError, InitramfsOptions, ModuleDirectory, ModuleSource as _, RootDisk, make_initramfs,
};

use super::initramfs::{UUID, machine, write_initramfs, write_root};
use crate::boot::bench::Bench;
use crate::boot::guest::{STOP_TIMEOUT, ensure_that};
use crate::boot::qemu::MachineOptions;

/// How long a machine may take to its message.
const TIMEOUT: Duration = Duration::from_secs(120);

pub(crate) fn run(bench: &Bench) -> anyhow::Result<()> {
    let initramfs = write_initramfs(bench, "initramfs-failures", &InitramfsOptions::default())?;
    let root = write_root(bench, "initramfs-failures")?;
    let mmio = |words: &[&str]| machine(&initramfs, &root, RootDisk::VirtioMmio, words);
    let uuid = format!("root=UUID={UUID}");

    let without_driver = bench.directory().join("initramfs-without.cpio");
    std::fs::write(&without_driver, without_virtio_blk(bench)?)?;
    let options = machine(&without_driver, &root, RootDisk::VirtioPci, &["root=/dev/vda", "rootwait=1"]);
    fails(
        bench,
        1,
        &options,
        &[
            "cannot start the system: no disk is /dev/vda after 1 s",
            "a virtio disk, virtio0, has no driver: virtio_blk is neither in this initramfs nor in the kernel",
            "there are no disks",
        ],
    )?;
    let options = mmio(&["root=UUID=00000000-0000-0000-0000-000000000000", "rootwait=1"]);
    let disk = format!("the disks are: /dev/vda (16 MiB, ext4, UUID={UUID}, LABEL=banger root)");
    let message = "no disk is UUID=00000000-0000-0000-0000-000000000000 after 1 s";
    fails(bench, 2, &options, &[message, &disk])?;
    let options = MachineOptions { read_only: true, ..mmio(&[&uuid, "rw"]) };
    fails(bench, 3, &options, &["/dev/vda is read-only, but the command line asks for rw; give ro, or"])?;
    let options = mmio(&[&uuid, "init=/no/such/init"]);
    fails(bench, 4, &options, &["cannot start init=/no/such/init: there is no such file"])?;
    // A machine that ends with a reset, as Firecracker: QEMU with -no-reboot ends then, too.
    let options = mmio(&["reboot=t", "panic=1"]);
    fails(bench, 5, &options, &["the kernel command line has no root=; give one, for example root=/dev/vda"])
}

/// Waits for the lines of one machine, in this order, and for its end.
fn fails(bench: &Bench, number: u32, options: &MachineOptions, lines: &[&str]) -> anyhow::Result<()> {
    let name = format!("initramfs-failures-{number}");
    let mut machine = bench.start(&name, options)?;
    for line in lines.iter().copied().chain(["powering off"]) {
        machine.wait_for(line, TIMEOUT).with_context(|| name.clone())?;
        ensure_that!(!machine.console_text().contains("Kernel panic"), "{name} panicked");
    }
    machine.wait(STOP_TIMEOUT).with_context(|| name.clone())?;
    ensure_that!(!machine.console_text().contains("Kernel panic"), "{name} panicked");
    Ok(())
}

/// Makes an initramfs for a kernel that lacks a driver, which nothing can be made for if the driver is asked for.
fn without_virtio_blk(bench: &Bench) -> anyhow::Result<Vec<u8>> {
    let kernel = bench.kernel();
    let guest = banger::embedded_guest("amd64").context("no guest binary is embedded")?;
    let modules = ModuleDirectory::new(&kernel.module_directory);
    let without = |path: &str, max_bytes: u64| match path.ends_with("/virtio_blk.ko") {
        true => Ok(None),
        false => modules.read(path, max_bytes),
    };
    let options = InitramfsOptions::default().with_disks(vec![RootDisk::VirtioPci]);
    match make_initramfs(kernel.release()?, &without, guest, &options) {
        Err(InitramfsError::MissingDriver { driver, release, .. }) => {
            ensure_that!(driver == "virtio_blk", "{driver} is missing");
            ensure_that!(release == kernel.release()?, "kernel {release}");
        }
        other => anyhow::bail!("without virtio_blk: {:?}", other.map(|made| made.modules)),
    }
    // The bus alone.
    let options = InitramfsOptions::default().with_modules(vec!["virtio_pci".to_owned()]);
    let made = make_initramfs(kernel.release()?, &without, guest, &options)?;
    ensure_that!(made.disks == [RootDisk::Nvme], "the disks are {:?}", made.disks);
    Ok(made.bytes)
}
