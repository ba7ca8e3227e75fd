//! Runs the cases and says what became of them.

use std::sync::Mutex;
use std::sync::PoisonError;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use anyhow::bail;

use super::BootTestArguments;
use super::bench::Bench;
use super::cases::{CASES, Case};

/// How much of a console is printed where a case fails.
const TAIL_LINES: usize = 60;

/// Runs the cases that the arguments name.
pub(crate) fn boot_test(arguments: &BootTestArguments) -> anyhow::Result<()> {
    let only = &arguments.only;
    let cases: Vec<&Case> = CASES
        .iter()
        .filter(|case| only.is_empty() || only.iter().any(|name| case.name.contains(name.as_str())))
        .collect();
    if arguments.list {
        for case in &cases {
            println!("{:24} {}", case.name, case.shows);
        }
        return Ok(());
    }
    if cases.is_empty() {
        bail!("no case has such a name: see --list");
    }
    let bench = match Bench::set_up() {
        Ok(bench) => bench?,
        Err(skip) => {
            // Fails where CI=true.
            skip.report();
            println!("\nboot-test: 0 passed, 0 failed, {} skipped", cases.len());
            return Ok(());
        }
    };
    println!("{} cases, instructions run by {:?}", cases.len(), bench.acceleration());
    let failed = run_all(&bench, &cases, arguments.jobs.max(1));
    println!("\nboot-test: {} passed, {failed} failed, 0 skipped", cases.len() - failed);
    if arguments.keep || failed > 0 {
        println!("disks and consoles: {}", bench.keep().display());
    }
    if failed > 0 {
        bail!("{failed} of {} cases failed", cases.len());
    }
    Ok(())
}

/// Runs `cases` on `jobs` threads and returns how many failed.
fn run_all(bench: &Bench, cases: &[&Case], jobs: usize) -> usize {
    let (next, failed) = (AtomicUsize::new(0), AtomicUsize::new(0));
    let report = Mutex::new(());
    std::thread::scope(|scope| {
        for _ in 0..jobs.min(cases.len()) {
            scope.spawn(|| {
                while let Some(case) = cases.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let started = Instant::now();
                    let result = (case.run)(bench);
                    let seconds = started.elapsed().as_secs();
                    let _one_at_a_time = report.lock().unwrap_or_else(PoisonError::into_inner);
                    match result {
                        Ok(()) => println!("{} ... ok ({seconds} s)", case.name),
                        Err(error) => {
                            failed.fetch_add(1, Ordering::Relaxed);
                            println!("{} ... FAILED ({seconds} s): {error:#}", case.name);
                            print_consoles(bench, case);
                        }
                    }
                }
            });
        }
    });
    failed.into_inner()
}

/// Prints the end of every console of `case`.
fn print_consoles(bench: &Bench, case: &Case) {
    let Ok(entries) = std::fs::read_dir(bench.directory()) else { return };
    let mut logs: Vec<_> = entries.flatten().map(|entry| entry.path()).collect();
    logs.sort();
    for path in logs {
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        if !name.starts_with(case.name) || !name.ends_with(".log") {
            continue;
        }
        let bytes = std::fs::read(&path).unwrap_or_default();
        let text = String::from_utf8_lossy(&bytes);
        let lines: Vec<&str> = text.lines().collect();
        println!("--- the end of {name}");
        for line in &lines[lines.len().saturating_sub(TAIL_LINES)..] {
            println!("    {}", line.trim_end());
        }
    }
}
