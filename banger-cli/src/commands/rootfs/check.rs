//! `banger rootfs verify | repair`.

use banger::rootfs::{FileDocument, in_file, repair as repair_file};
use camino::Utf8Path;

use super::look::open_noted;
use crate::args::{RepairArguments, VerifyArguments};
use crate::failure::{CommandError, output};
use crate::interrupt::cancel_on_signal;
use crate::printer::Printer;

pub(super) fn verify(arguments: &VerifyArguments, printer: &Printer) -> Result<(), CommandError> {
    let file = &arguments.file.file;
    let cancellation = cancel_on_signal(printer);
    let mut rootfs = open_noted(&arguments.file.place(), printer)?;
    rootfs.set_cancellation(&cancellation);
    let report = rootfs.verify().map_err(in_file(file))?;
    let verdict = if report.problem_count == 0 { "sound" } else { "damaged" };
    output(printer.result(&FileDocument::new(file, &report), &format!("{file}: {verdict}")))?;
    tell_problems(file, &report.problems, report.problem_count, printer)
}

pub(super) fn repair(arguments: &RepairArguments, printer: &Printer) -> Result<(), CommandError> {
    let file = &arguments.file.file;
    let cancellation = cancel_on_signal(printer);
    let report = repair_file(arguments.file.place(), &cancellation)?;
    let verdict = match (report.problem_count, report.repairs.is_empty()) {
        (0, true) => "sound",
        (0, false) => "repaired",
        _ => "damaged, and unchanged",
    };
    report.repairs.iter().for_each(|repair| printer.note(&format!("{file}: {repair}")));
    output(printer.result(&FileDocument::new(file, &report), &format!("{file}: {verdict}")))?;
    let told = tell_problems(file, &report.problems, report.problem_count, printer);
    if told.is_err() {
        printer.note("e2fsck may repair it; make a copy of the file first");
    }
    told
}

/// Prints the problems of a file system, of which any is a failure.
fn tell_problems(
    file: &Utf8Path,
    problems: &[String],
    count: u64,
    printer: &Printer,
) -> Result<(), CommandError> {
    for problem in problems {
        printer.problem(&format!("{file}: {problem}"));
    }
    let more = count - problems.len() as u64;
    if more > 0 {
        printer.problem(&format!("{file}: {more} more problems"));
    }
    if count == 0 { Ok(()) } else { Err(CommandError::Unsound) }
}
