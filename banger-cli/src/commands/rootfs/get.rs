//! `banger rootfs get`.

use std::os::unix::ffi::OsStrExt as _;

use banger::rootfs::{EditError, FileDocument, Operand, get_files, in_file};
use camino::Utf8Path;

use super::look::open_noted;
use super::tar::{STANDARD_OUTPUT, to_standard_output, warn_of};
use crate::args::GetArguments;
use crate::failure::{CommandError, output};
use crate::interrupt::cancel_on_signal;
use crate::printer::Printer;
use crate::text::Text;

pub(super) fn get(arguments: &GetArguments, printer: &Printer) -> Result<(), CommandError> {
    let file = &arguments.file.file;
    let (destination, paths) = arguments.paths.split_last().expect("the parser asks for two");
    let paths = paths.iter().map(|path| Operand::parse(path.as_bytes()));
    let paths = paths.collect::<Result<Vec<_>, EditError>>().map_err(in_file(file))?;
    if destination == STANDARD_OUTPUT {
        return match &paths[..] {
            [operand] => to_standard_output(&arguments.file.place(), &operand.path, "DEST", printer),
            _ => Err(CommandError::argument("DEST", "-", "a tar has a single PATH")
                .advised("give the directory that has them all")),
        };
    }
    let Some(destination) = destination.to_str().map(Utf8Path::new) else {
        return Err(CommandError::argument("DEST", "", "the path is not UTF-8"));
    };
    let cancellation = cancel_on_signal(printer);
    let mut rootfs = open_noted(&arguments.file.place(), printer)?;
    rootfs.set_cancellation(&cancellation);
    let report = get_files(&rootfs, file, &paths, destination, &cancellation)?;
    warn_of(file, &report.warnings, report.warning_count, printer);
    if report.without_owner > 0 {
        printer.warning(&format!("{} files belong to you, not to their owners", report.without_owner));
    }
    let text: Text = report.paths.iter().map(ToString::to_string).collect();
    output(printer.result(&FileDocument::new(file, &report), text))
}
