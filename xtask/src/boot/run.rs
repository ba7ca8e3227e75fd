//! Runs the cases and says what became of them.

use std::path::PathBuf;
use std::sync::Mutex;
use std::sync::PoisonError;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use anyhow::bail;

use super::BootTestArguments;
use super::bench::Bench;
use super::cases::{CASES, CASES_BY_NAME, Case};

/// How much of a console is printed where a case fails.
const TAIL_LINES: usize = 60;

/// Runs the cases that the arguments name.
pub(crate) fn boot_test(arguments: &BootTestArguments) -> anyhow::Result<()> {
    let only = &arguments.only;
    let is_asked_for = |case: &&Case| only.iter().any(|name| case.name.contains(name.as_str()));
    let is_named = |case: &&Case| arguments.list || only.iter().any(|name| case.name == name);
    let mut cases: Vec<&Case> = CASES.iter().filter(|case| only.is_empty() || is_asked_for(case)).collect();
    cases.extend(CASES_BY_NAME.iter().filter(is_named));
    if arguments.list {
        for case in &cases {
            println!("{:24} {}", case.name, case.shows);
        }
        return Ok(());
    }
    if cases.is_empty() {
        bail!("no case has such a name: see --list");
    }
    let bench = match Bench::set_up(arguments.banger.as_deref()) {
        Ok(bench) => bench?,
        Err(skip) => {
            // Fails where CI=true.
            skip.report();
            println!("\nboot-test: 0 passed, 0 failed, {} skipped", cases.len());
            return Ok(());
        }
    };
    println!("{} cases, instructions run by {:?}", cases.len(), bench.acceleration());
    let failed = run_all(&bench, &cases, arguments);
    println!("\nboot-test: {} passed, {failed} failed, 0 skipped", cases.len() - failed);
    if arguments.keep || failed > 0 {
        println!("disks and consoles: {}", bench.keep().display());
    }
    if failed > 0 {
        bail!("{failed} of {} cases failed", cases.len());
    }
    Ok(())
}

/// Runs `cases` and returns how many failed.
fn run_all(bench: &Bench, cases: &[&Case], arguments: &BootTestArguments) -> usize {
    let (next, failed) = (AtomicUsize::new(0), AtomicUsize::new(0));
    let report = Mutex::new(());
    std::thread::scope(|scope| {
        for _ in 0..arguments.jobs.clamp(1, cases.len()) {
            scope.spawn(|| {
                while let Some(case) = cases.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let started = Instant::now();
                    let result = (case.run)(bench);
                    let seconds = started.elapsed().as_secs();
                    let _one_at_a_time = report.lock().unwrap_or_else(PoisonError::into_inner);
                    match result {
                        Ok(()) => {
                            println!("{} ... ok ({seconds} s)", case.name);
                            if !arguments.keep {
                                remove_disks(bench, case);
                            }
                        }
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

/// The files of `case` that end in `suffix`.
fn files(bench: &Bench, case: &Case, suffix: &str) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(bench.directory()).into_iter().flatten().flatten();
    let mut files: Vec<_> = entries
        .map(|entry| entry.path())
        .filter(|path| {
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            // `first-boot-1.ext4` and `first-boot.ext4`, but nothing of `first-boot-offline`.
            let rest = name.strip_suffix(suffix).and_then(|name| name.strip_prefix(case.name));
            rest.is_some_and(|rest| {
                let number = rest.strip_prefix('-').map(|rest| rest.split('.').next().unwrap_or_default());
                rest.is_empty()
                    || rest.starts_with('.')
                    || number.is_some_and(|number| number.parse::<u32>().is_ok())
            })
        })
        .collect();
    files.sort();
    files
}

/// Makes room: a disk whose case went well shows nothing.
fn remove_disks(bench: &Bench, case: &Case) {
    // Everything goes with the scratch directory at the end.
    for path in files(bench, case, ".ext4") {
        let _ = std::fs::remove_file(path);
    }
    for path in files(bench, case, ".layout") {
        let _ = std::fs::remove_dir_all(path);
    }
}

/// Prints the end of every console of `case`.
fn print_consoles(bench: &Bench, case: &Case) {
    for path in files(bench, case, ".log") {
        let bytes = std::fs::read(&path).unwrap_or_default();
        let text = String::from_utf8_lossy(&bytes);
        let lines: Vec<&str> = text.lines().collect();
        println!("--- the end of {}", path.file_name().unwrap_or_default().to_string_lossy());
        for line in &lines[lines.len().saturating_sub(TAIL_LINES)..] {
            println!("    {}", line.trim_end());
        }
    }
}
