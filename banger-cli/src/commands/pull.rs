//! `banger image pull`.

use std::time::Instant;

use banger::{Dirs, ImageDocument, ImageName, PullRequest, PulledFile};

use crate::args::{ProgressStyle, PullArguments};
use crate::commands::{limits, registry, sources};
use crate::failure::{CommandError, output};
use crate::interrupt::cancel_on_signal;
use crate::printer::Printer;
use crate::progress;
use crate::units::Size;

pub(super) fn pull(
    arguments: &PullArguments,
    dirs: &Dirs,
    style: ProgressStyle,
    printer: &Printer,
) -> Result<(), CommandError> {
    let request = request(arguments)?;
    let started = Instant::now();
    let cancellation = cancel_on_signal(printer);
    let events = match arguments.quiet {
        true => banger::EventHandler::none(),
        false => progress::handler(style, printer),
    };
    let pulled = match &arguments.output {
        Some(file) => banger::pull_to_file(&request, file, dirs, &events, &cancellation)?,
        None => banger::pull(&request, dirs, &events, &cancellation)?,
    };
    // Bars are gone before the last words.
    drop(events);
    if !arguments.quiet {
        if let Some(verity) = &pulled.record.verity {
            printer.note(&format!("the root hash of {} is {}", verity.file, verity.root_hash));
        }
        printer.note(&summary(&pulled, arguments.output.is_none(), started));
    }
    output(printer.result(&ImageDocument::from(&pulled), &format!("{}\n", pulled.path)))
}

fn request(arguments: &PullArguments) -> Result<PullRequest, CommandError> {
    let mut request = PullRequest::new(arguments.reference.parse::<banger::Reference>()?);
    request.name = arguments.name.as_deref().map(str::parse::<ImageName>).transpose()?;
    request.backend = arguments.file_system.backend.into();
    request.guest = match arguments.no_inject {
        true => None,
        false => Some(arguments.guest.options()),
    };
    request.verity = arguments.verity.place();
    request.kernel_ref.clone_from(&arguments.kernel.kernel_ref);
    request.rootfs_only = arguments.rootfs_only;
    request.force = arguments.force;
    request.file_system = arguments.file_system.options()?;
    request.source_date_epoch = banger::source_date_epoch()?;
    request.pull = registry::pull_options(&arguments.registry, registry::is_of_registry(&request.reference))?;
    let pull = &mut request.pull;
    pull.policy = arguments.policy.pull.into();
    pull.platform = arguments.platform.as_deref().map(str::parse::<banger::Platform>).transpose()?;
    pull.jobs = usize::from(arguments.jobs);
    for (limit, given) in [
        (&mut pull.max_manifest_bytes, arguments.max_manifest),
        (&mut pull.max_config_bytes, arguments.max_config),
        (&mut pull.max_download_bytes, arguments.max_download),
    ] {
        *limit = given.map_or(*limit, |Size(bytes)| bytes);
    }
    pull.trust = arguments.trust.policy()?;
    pull.referrers = arguments.referrers;
    limits::apply_patience(&arguments.patience, pull);
    sources::with_input(pull);
    limits::apply(&arguments.limits, &mut request.limits);
    Ok(request)
}

fn summary(pulled: &PulledFile, managed: bool, started: Instant) -> String {
    let record = &pulled.record;
    let name = if managed { format!(" as {}", record.name) } else { String::new() };
    if pulled.unchanged {
        return format!("{}{name} is up to date ({})", record.source, record.digest);
    }
    let used = Size(record.size_bytes - record.free_bytes.min(record.size_bytes));
    let boots = match record.boot_contract {
        Some(contract) => format!("; boots with {contract}"),
        None => String::new(),
    };
    format!(
        "pulled {}{name} in {:.1} s: {} of {}, {} of {} inodes used{boots}",
        record.source,
        started.elapsed().as_secs_f64(),
        used,
        Size(record.size_bytes),
        record.used_inodes,
        record.inodes,
    )
}
