//! `banger rootfs diff`.

use banger::rootfs::{
    DiffDocument, DifferenceKind, FileDocument, PathDifference, RootfsPlace, diff as diff_of,
};

use super::look::open_noted;
use crate::args::DiffArguments;
use crate::failure::{CommandError, output};
use crate::interrupt::cancel_on_signal;
use crate::printer::Printer;
use crate::text::Text;

fn line(difference: &PathDifference) -> String {
    let path = &difference.path;
    match difference.kind {
        DifferenceKind::Added => format!("+ {path}"),
        DifferenceKind::Removed => format!("- {path}"),
        DifferenceKind::Changed => {
            let changes: Vec<&str> = difference.changes.iter().map(|change| change.name()).collect();
            format!("~ {path} ({})", changes.join(", "))
        }
    }
}

pub(super) fn diff(arguments: &DiffArguments, printer: &Printer) -> Result<(), CommandError> {
    let (file, other) = (&arguments.file.file, &arguments.other);
    let cancellation = cancel_on_signal(printer);
    let place = arguments.file.place();
    let new_place = RootfsPlace::new(other.clone()).with_part(place.part.clone());
    let (mut old, mut new) = (open_noted(&place, printer)?, open_noted(&new_place, printer)?);
    old.set_cancellation(&cancellation);
    new.set_cancellation(&cancellation);
    let report = diff_of((&old, file), (&new, other), &cancellation)?;
    let text: Text = report.differences.iter().map(line).collect();
    output(printer.result(&FileDocument::new(file, DiffDocument::new(other, &report)), text))?;
    match arguments.exit_code && !report.differences.is_empty() {
        true => Err(CommandError::Ended(1)),
        false => Ok(()),
    }
}
