//! `banger rootfs build`.

use std::time::Instant;

use banger::{BuildRequest, BuiltFile};

use super::operand::STANDARD_INPUT;
use crate::args::{BuildArguments, ProgressStyle};
use crate::commands::limits;
use crate::failure::{CommandError, output};
use crate::interrupt::cancel_on_signal;
use crate::printer::Printer;
use crate::progress;
use crate::units::Size;

pub(super) fn build(
    arguments: &BuildArguments,
    style: ProgressStyle,
    printer: &Printer,
) -> Result<(), CommandError> {
    let request = request(arguments)?;
    let started = Instant::now();
    let cancellation = cancel_on_signal(printer);
    let events = progress::handler(style, printer);
    let built = banger::build_rootfs(&request, &arguments.file, &events, &cancellation)?;
    // Bars are gone before the last words.
    drop(events);
    printer.note(&summary(&built, started));
    output(printer.result(&built, &format!("{}\n", built.path)))
}

fn request(arguments: &BuildArguments) -> Result<BuildRequest, CommandError> {
    let mut request = BuildRequest::empty();
    request.source = arguments.source.clone().or_else(|| arguments.seed.clone());
    if request.source.as_deref().is_some_and(|source| source == STANDARD_INPUT) {
        request.source = Some("/dev/stdin".into());
    }
    request.own_identity = arguments.empty;
    request.backend = arguments.file_system.backend.into();
    request.file_system = arguments.file_system.options()?;
    request.force = arguments.force;
    request.source_date_epoch = banger::source_date_epoch()?;
    limits::apply(&arguments.limits, &mut request.limits);
    Ok(request)
}

fn summary(built: &BuiltFile, started: Instant) -> String {
    let source = built.source.as_ref().map_or("an empty file system", |source| source.as_str());
    format!(
        "built {source} in {:.1} s: {} of {}, {} of {} inodes used",
        started.elapsed().as_secs_f64(),
        Size(built.size_bytes - built.free_bytes.min(built.size_bytes)),
        Size(built.size_bytes),
        built.used_inodes,
        built.inodes,
    )
}
