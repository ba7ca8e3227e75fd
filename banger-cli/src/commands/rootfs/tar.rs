//! `banger rootfs tar`.

use std::io::BufWriter;
use std::os::unix::ffi::OsStrExt as _;

use banger::rootfs::{
    FileDocument, GuestPath, PatientWriter, RootfsPlace, TarDocument, TarReport, in_file, parse_path,
    tar_error, write_tar, write_tar_file,
};
use camino::Utf8Path;

use super::look::open_noted;
use crate::args::TarArguments;
use crate::failure::{CommandError, output};
use crate::interrupt::cancel_on_signal;
use crate::printer::{Printer, output_file};

/// The name of standard output.
pub(super) const STANDARD_OUTPUT: &str = "-";

pub(super) fn tar(arguments: &TarArguments, printer: &Printer) -> Result<(), CommandError> {
    let file = &arguments.file.file;
    let path = parse_path(arguments.path.as_bytes()).map_err(in_file(file))?;
    if arguments.output == STANDARD_OUTPUT {
        return to_standard_output(&arguments.file.place(), &path, "--output", printer);
    }
    let cancellation = cancel_on_signal(printer);
    let report =
        write_tar_file(arguments.file.place(), &path, &arguments.output, arguments.force, &cancellation)?;
    warn(file, &report, printer);
    let document = FileDocument::new(file, TarDocument::new(path, report));
    output(printer.result(&document, ""))
}

/// Writes a tar on standard output, which `option` asks for.
pub(super) fn to_standard_output(
    place: &RootfsPlace,
    path: &GuestPath,
    option: &'static str,
    printer: &Printer,
) -> Result<(), CommandError> {
    let refused = |reason| CommandError::argument(option, STANDARD_OUTPUT, reason);
    if printer.is_json() {
        let reason = "with --json, the document is on standard output";
        return Err(refused(reason).advised("write the tar to a file"));
    }
    let Some(out) = output_file().map_err(CommandError::Output)? else {
        let reason = "a terminal cannot show a tar";
        return Err(refused(reason).advised("write it to a file with --output FILE, or to a pipe"));
    };
    let cancellation = cancel_on_signal(printer);
    let file = &place.file;
    let mut rootfs = open_noted(place, printer)?;
    rootfs.set_cancellation(&cancellation);
    let mut out = BufWriter::new(PatientWriter::new(out, &cancellation));
    let report = write_tar(&rootfs, path, &mut out, &|_| false, &cancellation).map_err(|error| {
        tar_error(error, file, &cancellation, |error| output(Err(error)).expect_err("it is an error"))
    })?;
    warn(file, &report, printer);
    Ok(())
}

fn warn(file: &Utf8Path, report: &TarReport, printer: &Printer) {
    warn_of(file, &report.warnings, report.warning_count, printer);
}

/// Prints the warnings of a report, and how many there are besides.
pub(super) fn warn_of(file: &Utf8Path, warnings: &[String], count: u64, printer: &Printer) {
    warnings.iter().for_each(|warning| printer.warning(&format!("{file}: {warning}")));
    let more = count - warnings.len() as u64;
    if more > 0 {
        printer.warning(&format!("{file}: {more} more warnings"));
    }
}
