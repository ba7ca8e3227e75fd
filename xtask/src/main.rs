//! Development tasks: `cargo xtask bench`, `cargo xtask boot-test`, `cargo xtask cost`.
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a program for developers")]

mod bench;
mod boot;
mod contenders;
mod cost;
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
    /// Measure what small hostile inputs cost; fails where one is past its bound.
    Cost(cost::CostArguments),
    /// Run one script and print what it took: a process of its own, so that its children alone
    /// are counted.
    #[command(hide = true)]
    Measure { script: String },
    /// Run one command in a home of its own and print what it took: as for `measure`.
    #[command(hide = true)]
    MeasureCommand {
        home: std::path::PathBuf,
        program: std::path::PathBuf,
        #[arg(last = true)]
        arguments: Vec<String>,
    },
}

fn main() -> anyhow::Result<()> {
    match Arguments::parse().task {
        Task::Bench(arguments) => bench::bench(&arguments),
        Task::BootTest(arguments) => boot::boot_test(&arguments),
        Task::Cost(arguments) => cost::cost(&arguments),
        Task::MeasureCommand { home, program, arguments } => {
            cost::measure_command(&home, &program, &arguments)
        }
        Task::Measure { script } => measure::measure(&script),
    }
}
