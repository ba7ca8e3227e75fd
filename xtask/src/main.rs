//! Development tasks: `cargo xtask bench`, `cargo xtask boot-test`.
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a program for developers")]

mod bench;
mod boot;
mod contenders;
mod growth;
mod measure;
mod oci2rootfs;

use clap::{Parser, Subcommand};

#[derive(Debug, Parser)]
struct Arguments {
    #[command(subcommand)]
    task: Task,
}

#[derive(Debug, Subcommand)]
enum Task {
    /// Measure banger beside its rivals in one run; prints a table in Markdown.
    Bench(bench::BenchArguments),
    /// Boot images in virtual machines; prints what failed with the end of its console.
    BootTest(boot::BootTestArguments),
    /// Run one script and print what it took: a process of its own, so that its children alone
    /// are counted.
    #[command(hide = true)]
    Measure { script: String },
}

fn main() -> anyhow::Result<()> {
    match Arguments::parse().task {
        Task::Bench(arguments) => bench::bench(&arguments),
        Task::BootTest(arguments) => boot::boot_test(&arguments),
        Task::Measure { script } => measure::measure(&script),
    }
}
