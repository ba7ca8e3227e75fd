//! What small hostile inputs cost: CPU time, memory and bytes written, beside the bound of each.
//!
//! Bounds on bytes are those that the documentation promises. Those on CPU time are far away: they are
//! for costs that grow with the square of the input, or without end.

mod case;
mod http;
mod inputs;
mod layouts;
mod run;

use std::path::PathBuf;
use std::sync::atomic::Ordering;

use anyhow::{Context as _, bail};
use clap::Args;

use case::{CostCase, Ending, MIB};
use inputs::CASES;
pub(crate) use run::measure_command;
use run::{Spent, measure};

/// Requests for one layer, repeated ones among them.
const MAX_REQUESTS: u64 = 512;

#[derive(Debug, Args)]
pub(crate) struct CostArguments {
    /// The binary to measure [default: the one beside this one, as `cargo build` or `cargo test` made it].
    #[arg(long, value_name = "FILE")]
    banger: Option<PathBuf>,
    /// Measure only inputs whose names contain one of these.
    names: Vec<String>,
}

/// Measures all inputs and prints a table; fails where one is past its bound.
pub(crate) fn cost(arguments: &CostArguments) -> anyhow::Result<()> {
    let banger = match &arguments.banger {
        Some(banger) => banger.clone(),
        None => std::env::current_exe()?.with_file_name("banger"),
    };
    if !banger.is_file() {
        bail!("{} is not there; run `cargo build --package banger-cli` first", banger.display());
    }
    let is_wanted = |case: &&CostCase| {
        arguments.names.is_empty() || arguments.names.iter().any(|name| case.name.contains(name))
    };
    println!("| input | bytes | CPU s | peak MiB | written MiB | ends with |");
    println!("|---|---|---|---|---|---|");
    let mut faults = Vec::new();
    for case in CASES.iter().filter(is_wanted) {
        let home = tempfile::Builder::new().prefix("banger-cost-").tempdir()?;
        let command = (case.make)(home.path(), &banger).with_context(|| format!("input {}", case.name))?;
        let spent = measure(&banger, home.path(), &command)?;
        println!(
            "| {} | {} | {:.2} of {} | {} of {} | {} of {} | {} |",
            case.name,
            command.input_bytes,
            spent.cpu,
            case.bound.cpu_seconds,
            spent.peak_bytes / MIB,
            case.bound.peak_bytes / MIB,
            spent.written_bytes / MIB,
            case.bound.written_bytes / MIB,
            spent.ending,
        );
        faults.extend(faults_of(case, &spent));
        let requests = command.requests.load(Ordering::Relaxed);
        if requests > MAX_REQUESTS {
            faults.push(format!("{}: {requests} requests are more than {MAX_REQUESTS}", case.name));
        }
    }
    let count = faults.len();
    for fault in &faults {
        println!("{fault}");
    }
    if count > 0 {
        bail!("{count} of the bounds do not hold");
    }
    Ok(())
}

fn faults_of(case: &CostCase, spent: &Spent) -> Vec<String> {
    let mut faults = Vec::new();
    let mut check = |holds: bool, what: &str| {
        if !holds {
            // The end of a message says what to do.
            let said: Vec<char> = spent.message.chars().collect();
            let said: String = said[said.len().saturating_sub(300)..].iter().collect();
            faults.push(format!("{}: {what}; it said at last: {said}", case.name));
        }
    };
    check(!spent.is_late, "it did not end");
    check(spent.cpu <= case.bound.cpu_seconds, "CPU time is past the bound");
    check(spent.peak_bytes <= case.bound.peak_bytes, "memory is past the bound");
    check(spent.written_bytes <= case.bound.written_bytes, "bytes written are past the bound");
    let ends_well = match case.ending {
        Ending::Done => spent.status == Some(0),
        Ending::Refused(reason) => spent.status == Some(1) && spent.message.contains(reason),
        Ending::DoneOr(reason) => {
            spent.status == Some(0) || spent.status == Some(1) && spent.message.contains(reason)
        }
        Ending::NoCrash => matches!(spent.status, Some(0 | 1)),
    };
    check(ends_well, "it ended in another way than expected");
    check(!spent.message.contains("panicked"), "it panicked");
    faults
}
