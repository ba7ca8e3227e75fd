//! `cargo xtask boot-test`: images booted in virtual machines.
//!
//! A case pulls an image with the `banger` program, boots it in QEMU under Debian's cloud kernel
//! and looks at it through its console and its guest agent. `scripts/make-boot-tools` fetches what
//! is booted with; nothing that a case does leaves the machine.

mod bench;
mod cases;
mod commands;
mod console;
mod disk;
mod guest;
mod images;
mod initramfs;
mod kernel;
mod network;
mod partitions;
mod paths;
mod process;
mod qemu;
mod repository;
mod run;
mod vsock;

use clap::Args;

#[derive(Debug, Args)]
pub(crate) struct BootTestArguments {
    /// Only cases whose name contains this; several are given one by one.
    #[arg(long)]
    only: Vec<String>,
    /// Print the names of the cases.
    #[arg(long)]
    list: bool,
    /// Leave disks and consoles behind, and say where.
    #[arg(long)]
    keep: bool,
    /// The program to test [default: built of this workspace].
    #[arg(long, value_name = "FILE")]
    banger: Option<std::path::PathBuf>,
    /// Machines at a time.
    #[arg(long, default_value_t = 1)]
    jobs: usize,
}

pub(crate) use run::boot_test;
