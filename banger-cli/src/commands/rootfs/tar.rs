//! `banger rootfs tar`.

use std::io::BufWriter;
use std::os::unix::ffi::OsStrExt as _;

use banger::rootfs::{
    FileDocument, PatientWriter, TarDocument, in_file, parse_path, tar_error, write_tar, write_tar_file,
};

use super::look::open_noted;
use crate::args::TarArguments;
use crate::failure::{CommandError, output};
use crate::interrupt::cancel_on_signal;
use crate::printer::{Printer, output_file};

/// The name of standard output.
const STANDARD_OUTPUT: &str = "-";

pub(super) fn tar(arguments: &TarArguments, printer: &Printer) -> Result<(), CommandError> {
    let file = &arguments.file.file;
    let path = parse_path(arguments.path.as_bytes()).map_err(in_file(file))?;
    let cancellation = cancel_on_signal(printer);
    let to_standard_output = arguments.output == STANDARD_OUTPUT;
    let report = if to_standard_output {
        if printer.is_json() {
            let reason = "with --json, the document is on standard output";
            return Err(CommandError::argument("--output", "-", reason).advised("write the tar to a file"));
        }
        let Some(out) = output_file().map_err(CommandError::Output)? else {
            let reason = "a terminal cannot show a tar";
            let advice = "write it to a file with --output FILE, or to a pipe";
            return Err(CommandError::argument("--output", "-", reason).advised(advice));
        };
        let mut rootfs = open_noted(&arguments.file, printer)?;
        rootfs.set_cancellation(&cancellation);
        let mut out = BufWriter::new(PatientWriter::new(out, &cancellation));
        write_tar(&rootfs, &path, &mut out, &|_| false, &cancellation).map_err(|error| {
            tar_error(error, file, &cancellation, |error| output(Err(error)).expect_err("it is an error"))
        })?
    } else {
        write_tar_file(arguments.file.place(), &path, &arguments.output, arguments.force, &cancellation)?
    };
    report.warnings.iter().for_each(|warning| printer.warning(&format!("{file}: {warning}")));
    let more = report.warning_count - report.warnings.len() as u64;
    if more > 0 {
        printer.warning(&format!("{file}: {more} more warnings"));
    }
    if to_standard_output {
        return Ok(());
    }
    let document = FileDocument::new(file, TarDocument::new(path, report));
    output(printer.result(&document, ""))
}
