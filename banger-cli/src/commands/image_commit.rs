//! `banger image commit`.

use std::time::Instant;

use banger::{CommitRequest, CommittedImage, Dirs, Reference};

use super::{limits, registry};
use crate::args::{CommitArguments, ProgressStyle};
use crate::failure::{CommandError, output};
use crate::interrupt::cancel_on_signal;
use crate::printer::Printer;
use crate::progress;
use crate::units::Size;

pub(super) fn commit(
    arguments: &CommitArguments,
    dirs: &Dirs,
    style: ProgressStyle,
    printer: &Printer,
) -> Result<(), CommandError> {
    let started = Instant::now();
    let request = request(arguments)?;
    let cancellation = cancel_on_signal(printer);
    let events = progress::handler(style, printer);
    let committed = banger::commit_image(&request, dirs, &events, &cancellation)?;
    // Bars are gone before the last words.
    drop(events);
    printer.note(&summary(&arguments.disk, &committed, started));
    output(printer.result(&committed, &format!("{}\n", committed.digest)))
}

fn request(arguments: &CommitArguments) -> Result<CommitRequest, CommandError> {
    let target = arguments.target.parse::<Reference>()?;
    let mount_from = arguments.mount_from.as_deref().map(str::parse::<Reference>).transpose()?;
    // The base may come from a registry, whatever the target is.
    let mut pull = registry::pull_options(&arguments.registry, true)?;
    pull.jobs = usize::from(arguments.jobs);
    limits::apply_patience(&arguments.patience, &mut pull);
    Ok(CommitRequest::new(&arguments.disk, &arguments.base, target)
        .with_squash(arguments.squash)
        .with_compression(arguments.compression.into())
        .with_comment(arguments.message.clone())
        .with_author(arguments.author.clone())
        .with_created_seconds(banger::source_date_epoch()?)
        .with_mount_from(mount_from)
        .with_pull(pull))
}

fn summary(disk: &str, committed: &CommittedImage, started: Instant) -> String {
    let layer = &committed.layer;
    let base_layers = match committed.base_layers {
        0 => String::new(),
        1 => format!(" on the layer of {}", committed.base),
        layers => format!(" on {layers} layers of {}", committed.base),
    };
    let mounted = match committed.mounted_blobs {
        0 => String::new(),
        mounted => format!(", {mounted} came from the other repository"),
    };
    format!(
        "committed {disk} to {} in {:.1} s: {} with {} entries and {} whiteouts{base_layers}; sent {}; {} blobs were \
         there{mounted}",
        committed.target,
        started.elapsed().as_secs_f64(),
        Size(layer.size_bytes),
        layer.entries,
        layer.whiteouts,
        Size(committed.sent_bytes),
        committed.present_blobs,
    )
}
