//! `banger rootfs edit`.

use std::fs::File;
use std::io;
use std::os::fd::AsFd as _;

use banger::rootfs::{
    EditScript, FileDocument, PatientReader, edit_by_script, host_error, in_file, timestamp,
};

use super::operand::STANDARD_INPUT;
use crate::args::EditArguments;
use crate::failure::{CommandError, output};
use crate::interrupt::cancel_on_signal;
use crate::printer::Printer;
use crate::text::Text;

pub(super) fn edit(arguments: &EditArguments, printer: &Printer) -> Result<(), CommandError> {
    let file = &arguments.file.file;
    let cancellation = cancel_on_signal(printer);
    let input = match arguments.script.as_str() {
        STANDARD_INPUT => File::from(io::stdin().as_fd().try_clone_to_owned().map_err(CommandError::Output)?),
        path => File::open(path).map_err(host_error("open", path.as_ref())).map_err(in_file(file))?,
    };
    let script = EditScript::read(&mut PatientReader::new(input, &cancellation));
    if cancellation.is_cancelled() {
        return Err(banger::Error::Cancelled.into());
    }
    let script = script.map_err(in_file(file))?;
    let report =
        edit_by_script(arguments.file.place(), &script, timestamp()?, arguments.dry_run, &cancellation)?;
    let mut text = Text::default();
    for operation in &report.operations {
        let paths: Vec<String> = operation.paths.iter().map(ToString::to_string).collect();
        text.line(format!("{} {}", operation.op, paths.join(" ")).trim_end());
    }
    if report.dry_run {
        printer.note(&format!("{file} is unchanged: this was a trial"));
    }
    output(printer.result(&FileDocument::new(file, &report), text))
}
