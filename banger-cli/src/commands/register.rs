//! `banger image register`.

use banger::{Dirs, ImageDocument, ImageName, RegisterRequest};

use crate::args::{ProgressStyle, RegisterArguments};
use crate::failure::{CommandError, output};
use crate::interrupt::cancel_on_signal;
use crate::printer::Printer;
use crate::progress;
use crate::units::Size;

pub(super) fn register(
    arguments: &RegisterArguments,
    dirs: &Dirs,
    style: ProgressStyle,
    printer: &Printer,
) -> Result<(), CommandError> {
    let name = arguments.name.as_deref().map(str::parse::<ImageName>).transpose()?;
    let request = RegisterRequest::new(arguments.rootfs.clone())
        .with_name(name)
        .with_kernel_ref(arguments.kernel.kernel_ref.clone());
    let cancellation = cancel_on_signal(printer);
    let events = progress::handler(style, printer);
    let image = banger::register_image(&request, dirs, &events, &cancellation)?;
    // Bars are gone before the last words.
    drop(events);
    let (record, file) = (&image.record, &arguments.rootfs);
    printer.note(&match image.unchanged {
        true => format!("{} is up to date ({file})", record.name),
        false => format!(
            "registered {file} as {}: {} of {} used",
            record.name,
            Size(record.size_bytes - record.free_bytes.min(record.size_bytes)),
            Size(record.size_bytes),
        ),
    });
    output(printer.result(&ImageDocument::from(&image), &format!("{}\n", image.path)))
}
