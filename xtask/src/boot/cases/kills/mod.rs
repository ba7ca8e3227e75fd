//! Disks of machines that were killed while a kernel wrote to them: what banger reads is what e2fsck makes of a copy,
//! and (as root) what a mount makes of another one.
//!
//! One machine has a disk of each format, and every instant gives one dirty disk of each. The last instant of a machine
//! is a kill: QEMU gets SIGKILL. Those before are frozen copies: QEMU is stopped by SIGSTOP, its disks are copied, and
//! it goes on. The bytes are those that a kill at this instant would leave. `BANGER_KILLS` says how many disks there
//! are at least (11); each is one of a random instant, by the seed of random tests.

mod disks;
mod judge;
mod load;

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context as _;
use banger_testkit::copy_sparse;

use crate::boot::bench::Bench;
use crate::boot::guest::{BOOT_TIMEOUT, ensure_that};
use crate::boot::qemu::{Machine, MachineOptions};
use disks::{Disks, FORMATS};

/// Instants of one machine; the last one kills it.
const INSTANTS: usize = 4;
/// The longest time between two instants.
const PAUSE_MAX_MS: u64 = 8000;

/// What became of the disks.
#[derive(Debug, Default)]
struct Tally {
    killed: usize,
    frozen: usize,
    dirty: usize,
    blocks: usize,
    orphans: usize,
    refused: usize,
    e2fsck_wrong: usize,
    mounted: usize,
    differences: Vec<String>,
}

/// Numbers of a seed (splitmix64).
#[derive(Debug)]
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, end: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % end
    }
}

pub(crate) fn run(bench: &Bench) -> anyhow::Result<()> {
    let wanted = match std::env::var("BANGER_KILLS") {
        Ok(text) => text.parse().context("BANGER_KILLS is a number")?,
        Err(_) => FORMATS.len(),
    };
    let mut numbers = Numbers(banger_testkit::seed());
    let disks = Disks::make(bench.directory())?;
    let initramfs = load::write_initramfs(bench)?;
    let mut tally = Tally::default();
    let mut instants = wanted.div_ceil(FORMATS.len());
    let mut number = 0;
    while instants > 0 {
        number += 1;
        let of_machine = instants.min(INSTANTS);
        instants -= of_machine;
        one_machine(bench, &disks, &initramfs, number, of_machine, &mut numbers, &mut tally)?;
    }
    let Tally { killed, frozen, dirty, blocks, orphans, refused, e2fsck_wrong, mounted, differences } = tally;
    println!(
        "kills: {} disks: {killed} of killed machines, {frozen} frozen copies; {dirty} with a journal to replay \
         ({blocks} KiB), {orphans} with orphans, {mounted} mounted by this kernel as well, {refused} refused by name, \
         {e2fsck_wrong} that e2fsck recovers wrongly, {} different",
        killed + frozen,
        differences.len()
    );
    ensure_that!(differences.is_empty(), "{}", differences.join("\n"));
    ensure_that!(dirty > 0, "no disk was dirty");
    Ok(())
}

/// Starts one machine, and judges its disks at some instants.
fn one_machine(
    bench: &Bench,
    disks: &Disks,
    initramfs: &Path,
    number: usize,
    instants: usize,
    numbers: &mut Numbers,
    tally: &mut Tally,
) -> anyhow::Result<()> {
    let paths = disks.fresh();
    let mut append: Vec<String> = FORMATS.iter().map(disks::Format::word).collect();
    append.push(format!("kills.seed={}", numbers.below(1 << 30)));
    let options = MachineOptions {
        disk: None,
        initramfs: Some(initramfs.to_path_buf()),
        append,
        vsock: false,
        more_disks: FORMATS.iter().map(|format| format.name).zip(paths.iter().cloned()).collect(),
        ..MachineOptions::with_disk(initramfs)
    };
    let mut machine = bench.start(&format!("kills-{number}"), &options)?;
    machine.wait_for(&format!("{}{}", load::AT_WORK, FORMATS.len()), BOOT_TIMEOUT)?;
    for instant in 1..=instants {
        std::thread::sleep(Duration::from_millis(numbers.below(PAUSE_MAX_MS)));
        let is_kill = instant == instants;
        let copies = copy_at_once(&mut machine, &paths, is_kill)?;
        for (format, copy) in FORMATS.iter().zip(&copies) {
            *(if is_kill { &mut tally.killed } else { &mut tally.frozen }) += 1;
            match judge::judge(bench, format, copy) {
                Ok(judged) => {
                    tally.dirty += usize::from(judged.is_dirty);
                    tally.blocks += judged.replayed_blocks;
                    tally.orphans += usize::from(judged.has_orphans);
                    tally.refused += usize::from(judged.is_refused);
                    tally.e2fsck_wrong += usize::from(judged.is_e2fsck_wrong);
                    tally.mounted += usize::from(judged.is_mounted);
                }
                Err(error) => {
                    let kept = disks.file(&format!("{number}-{instant}-{}.different", format.name));
                    std::fs::rename(copy, &kept)?;
                    tally.differences.push(format!("{}: {error:#}", kept.display()));
                }
            }
        }
    }
    Ok(())
}

/// Copies all disks as they are at one instant. After a kill, nobody writes to them any more.
fn copy_at_once(machine: &mut Machine, disks: &[PathBuf], is_kill: bool) -> anyhow::Result<Vec<PathBuf>> {
    if is_kill {
        machine.cut_power();
    } else {
        machine.freeze()?;
    }
    let copy = |disk: &PathBuf| {
        let copy = disk.with_extension("copy");
        copy_sparse(disk, &copy);
        copy
    };
    let copies = disks.iter().map(copy).collect();
    if !is_kill {
        machine.thaw()?;
    }
    Ok(copies)
}
