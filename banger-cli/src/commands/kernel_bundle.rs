//! `banger kernel pull | pack`.

use std::time::Instant;

use banger::{
    Dirs, ImageName, KernelCatalog, KernelDocument, KernelPackRequest, KernelPullRequest, PackedKernels,
};

use super::kernel::{pull_options, summary};
use crate::args::ProgressStyle;
use crate::args::kernel::{KernelPackArguments, KernelPullArguments};
use crate::failure::{CommandError, output};
use crate::interrupt::cancel_on_signal;
use crate::printer::Printer;
use crate::progress;
use crate::units::Size;

pub(super) fn pull(
    arguments: &KernelPullArguments,
    dirs: &Dirs,
    style: ProgressStyle,
    printer: &Printer,
) -> Result<(), CommandError> {
    let mut request = KernelPullRequest::new(&arguments.wanted);
    request.name = arguments.name.as_deref().map(str::parse::<ImageName>).transpose()?;
    request.pull = pull_options(&arguments.download, true)?;
    // A reference needs no catalog.
    if arguments.wanted.parse::<ImageName>().is_ok() {
        let files = match arguments.catalog.as_slice() {
            [] => KernelCatalog::files_of_user()?,
            given => given.to_vec(),
        };
        request.catalog = KernelCatalog::load(&files)?;
    }
    let started = Instant::now();
    let cancellation = cancel_on_signal(printer);
    let events = progress::handler(style, printer);
    let pulled = banger::pull_kernel(&request, dirs, &events, &cancellation)?;
    // Bars are gone before the last words.
    drop(events);
    printer.note(&summary(&pulled, started));
    let path = &pulled.stored.path;
    output(printer.result(&KernelDocument::from(&pulled), &format!("{path}\n")))
}

pub(super) fn pack(
    arguments: &KernelPackArguments,
    dirs: &Dirs,
    style: ProgressStyle,
    printer: &Printer,
) -> Result<(), CommandError> {
    let request = KernelPackRequest::new(arguments.kernels.clone())
        .with_tag(&arguments.tag)
        .with_licence(arguments.licence.clone())
        .with_source_url(arguments.source_url.clone())
        .with_source_commit(arguments.source_commit.clone());
    let cancellation = cancel_on_signal(printer);
    let events = progress::handler(style, printer);
    let packed = banger::pack_kernels(&request, &arguments.layout, dirs, &events, &cancellation)?;
    drop(events);
    printer.note(&packed_summary(&packed));
    output(printer.result(&packed, &format!("{}\n", packed.digest)))
}

fn packed_summary(packed: &PackedKernels) -> String {
    let kernel = |kernel: &banger::PackedKernel| {
        format!("{} for {} ({})", kernel.name, kernel.architecture, Size(kernel.size_bytes))
    };
    let kernels: Vec<String> = packed.kernels.iter().map(kernel).collect();
    format!("packed {} in oci:{}:{}", kernels.join(" and "), packed.path, packed.tag)
}
