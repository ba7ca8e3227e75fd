//! Development tasks: `cargo xtask help` lists them.
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a program for developers")]

mod behaviours;
mod bench;
mod boot;
mod circles;
mod contenders;
mod cost;
mod example_layout;
mod fleet_sim;
mod growth;
mod header;
mod layout_blobs;
mod lines;
mod measure;
mod oci2rootfs;
mod packages;

use clap::{Parser, Subcommand};

/// Development tasks of banger.
#[derive(Debug, Parser)]
#[command(bin_name = "cargo xtask")]
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
    /// Print circles of files of each crate; fails where one is not in `xtask/circles.txt`.
    Circles(circles::CirclesArguments),
    /// Print how long the files of each crate are.
    Lines,
    /// Print the packages that are published; fails where one lacks a README, a licence or metadata.
    Packages(packages::PackagesArguments),
    /// Check that `docs/behaviours.md` names the tests of each behaviour.
    Behaviours(behaviours::BehavioursArguments),
    /// Write `include/banger.h`, the header of the C library.
    Header(header::HeaderArguments),
    /// Write the OCI layout that `scripts/test-embed` pulls from.
    ExampleLayout(example_layout::ExampleLayoutArguments),
    /// Simulate how an image reaches 1 to 10,000 hosts; prints tables in Markdown.
    FleetSim(fleet_sim::FleetSimArguments),
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
        Task::Circles(arguments) => circles::circles(&arguments),
        Task::Lines => lines::lines(),
        Task::Packages(arguments) => packages::packages(&arguments),
        Task::Behaviours(arguments) => behaviours::behaviours(&arguments),
        Task::Header(arguments) => header::header(&arguments),
        Task::ExampleLayout(arguments) => example_layout::example_layout(&arguments),
        Task::FleetSim(arguments) => fleet_sim::fleet_sim(&arguments),
        Task::MeasureCommand { home, program, arguments } => {
            cost::measure_command(&home, &program, &arguments)
        }
        Task::Measure { script } => measure::measure(&script),
    }
}
