//! `banger rootfs build`.

use std::time::Instant;

use banger::{BuildRequest, BuiltFile, ImageSize};

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
    let mut request = BuildRequest::new(match arguments.source.as_str() {
        STANDARD_INPUT => "/dev/stdin".into(),
        _ => arguments.source.clone(),
    });
    request.backend = arguments.file_system.backend.into();
    request.uuid = arguments.uuid.as_deref().map(banger::parse_uuid).transpose()?;
    request.label.clone_from(&arguments.label);
    request.inodes = arguments.file_system.inodes;
    request.force = arguments.force;
    request.source_date_epoch = banger::source_date_epoch()?;
    if let Some(Size(bytes)) = arguments.file_system.size {
        request.size = ImageSize::Bytes(bytes);
    }
    limits::apply(&arguments.limits, &mut request.limits);
    Ok(request)
}

fn summary(built: &BuiltFile, started: Instant) -> String {
    format!(
        "built {} in {:.1} s: {} of {}, {} of {} inodes used",
        built.source,
        started.elapsed().as_secs_f64(),
        Size(built.size_bytes - built.free_bytes.min(built.size_bytes)),
        Size(built.size_bytes),
        built.used_inodes,
        built.inodes,
    )
}
