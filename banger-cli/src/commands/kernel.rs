//! `banger kernel import | list | show | rm`; `kernel_bundle` has the others.

use std::time::Instant;

use banger::{
    Advice, ArgumentError, ConfigOrigin, DamagedImage, Digest, Dirs, ImageName, ImportedKernelFile,
    KernelDocument, KernelImportRequest, KernelListingDocument, KernelSourceName, KernelStore, PlainFiles,
    PullOptions, Setting,
};

use super::removal::remove_each;
use super::{limits, registry, sources};
use crate::args::ProgressStyle;
use crate::args::kernel::{KernelDownloadArguments, KernelImportArguments};
use crate::failure::{CommandError, output};
use crate::interrupt::cancel_on_signal;
use crate::printer::Printer;
use crate::progress;
use crate::text::{Text, table};
use crate::units::Size;

pub(super) fn import(
    arguments: &KernelImportArguments,
    dirs: &Dirs,
    style: ProgressStyle,
    printer: &Printer,
) -> Result<(), CommandError> {
    let sources = match &arguments.kernel {
        Some(kernel) => {
            let files = PlainFiles::new(kernel.clone())
                .with_initrd(arguments.initrd.clone())
                .with_modules(arguments.modules.clone())
                .with_config(arguments.config.clone());
            vec![KernelSourceName::Files(files)]
        }
        None => {
            let sources = arguments.sources.iter().map(|source| source.parse::<KernelSourceName>());
            sources.collect::<Result<_, _>>()?
        }
    };
    let name = arguments.name.as_deref().map(str::parse::<ImageName>).transpose()?;
    let asks_registry = sources.iter().any(|source| match source {
        KernelSourceName::Reference(reference) => registry::is_of_registry(reference),
        _ => false,
    });
    let mut request = KernelImportRequest::new(KernelSourceName::Host).with_sources(sources).with_name(name);
    request.pull = pull_options(&arguments.download, asks_registry)?;
    request.sha256 = arguments.sha256.as_deref().map(sha256).transpose()?;
    let started = Instant::now();
    let cancellation = cancel_on_signal(printer);
    let events = progress::handler(style, printer);
    let imported = banger::import_kernel(&request, dirs, &events, &cancellation)?;
    // Bars are gone before the last words.
    drop(events);
    printer.note(&summary(&imported, started));
    let path = &imported.stored.path;
    output(printer.result(&KernelDocument::from(&imported), &format!("{path}\n")))
}

/// Returns the digest that the user wrote, with or without `sha256:`.
fn sha256(text: &str) -> Result<Digest, ArgumentError> {
    let hex = text.strip_prefix("sha256:").unwrap_or(text);
    format!("sha256:{}", hex.to_ascii_lowercase()).parse().map_err(|_| {
        let advice = Advice::new("write its 64 hexadecimal digits, as sha256sum prints them");
        ArgumentError::new(Setting("sha256"), text, "it is not a SHA-256 digest").with_advice(advice)
    })
}

/// Returns how kernels are downloaded.
pub(super) fn pull_options(
    arguments: &KernelDownloadArguments,
    asks_registry: bool,
) -> Result<PullOptions, CommandError> {
    let mut pull = registry::pull_options(&arguments.registry, asks_registry)?;
    pull.platform = arguments.platform.as_deref().map(str::parse::<banger::Platform>).transpose()?;
    if let Some(Size(bytes)) = arguments.max_download {
        pull.max_download_bytes = bytes;
    }
    pull.trust = arguments.trust.policy()?;
    limits::apply_patience(&arguments.patience, &mut pull);
    sources::with_input(&mut pull);
    Ok(pull)
}

pub(super) fn summary(imported: &ImportedKernelFile, started: Instant) -> String {
    let record = &imported.stored.record;
    let (name, release, architecture) = (&record.name, &record.release, record.architecture);
    if imported.unchanged {
        return format!("{name} has this kernel already: Linux {release} for {architecture}");
    }
    let modules = match &record.modules {
        Some(modules) => format!("{} modules", modules.modules),
        None => "no modules".to_owned(),
    };
    let config = if record.config.is_some() { "" } else { ", no configuration" };
    format!(
        "imported {name} in {:.1} s: Linux {release} for {architecture}, {modules}{config}, {}",
        started.elapsed().as_secs_f64(),
        Size(record.size_bytes()),
    )
}

pub(super) fn list(quiet: bool, dirs: &Dirs, printer: &Printer) -> Result<(), CommandError> {
    let store = KernelStore::new(&dirs.state);
    let listing = store.list()?;
    for damaged in &listing.damaged {
        let DamagedImage { id, reason, denied, .. } = damaged;
        printer.warning(&match denied {
            true => format!("kernel {id} is another user's: {reason}"),
            false => format!("kernel {id} is damaged: {reason}; remove it with `banger kernel rm {id}`"),
        });
    }
    let document = KernelListingDocument::new(&listing, &store);
    if quiet {
        let names: Text = listing.kernels.iter().map(|kernel| kernel.name.as_str()).collect();
        return output(printer.result(&document, names));
    }
    let mut rows =
        vec![["NAME", "ID", "RELEASE", "ARCH", "FORMAT", "MODULES", "SIZE", "CREATED"].map(str::to_owned)];
    rows.extend(listing.kernels.iter().map(|kernel| {
        [
            kernel.name.to_string(),
            kernel.id.to_string(),
            kernel.release.clone(),
            kernel.architecture.to_string(),
            kernel.format.name().to_owned(),
            kernel.modules.as_ref().map_or(0, |modules| modules.modules).to_string(),
            Size(kernel.size_bytes()).to_string(),
            kernel.created.get(..16).unwrap_or(&kernel.created).replace('T', " "),
        ]
    }));
    output(printer.result(&document, table(&rows)))
}

pub(super) fn show(name: &str, dirs: &Dirs, printer: &Printer) -> Result<(), CommandError> {
    let store = KernelStore::new(&dirs.state);
    let kernel = store.find(name)?;
    let path = store.directory(&kernel.id);
    let mut text = Text::default();
    let mut line = |key: &str, value: &str| text.field(key, value);
    line("name", kernel.name.as_str());
    line("id", kernel.id.as_str());
    line("path", path.as_str());
    line("release", &kernel.release);
    line("architecture", kernel.architecture.name());
    line("format", kernel.format.name());
    line("PVH entry", if kernel.pvh { "yes" } else { "no" });
    line("source", &kernel.source);
    if let Some(package) = &kernel.package {
        line("package", &format!("{} {}", package.name, package.version));
    }
    if let Some(bundle) = &kernel.bundle {
        line("bundle", &bundle.digest);
        line("licence", &bundle.facts.licence);
        for (key, value) in
            [("source URL", &bundle.facts.source_url), ("commit", &bundle.facts.source_commit)]
        {
            value.iter().for_each(|value| line(key, value));
        }
    }
    line("digest", &kernel.digest);
    line("created", &kernel.created);
    line("size", &Size(kernel.size_bytes()).to_string());
    for file in [Some(&kernel.image), kernel.bz_image.as_ref(), kernel.initrd.as_ref()].into_iter().flatten()
    {
        line("file", &format!("{} ({})", file.file, Size(file.size_bytes)));
    }
    match &kernel.config {
        Some(config) => {
            let origin = match config.origin {
                ConfigOrigin::Embedded => "from the kernel itself",
                _ => "from a file",
            };
            line("file", &format!("{} ({}, {origin})", config.file.file, Size(config.file.size_bytes)));
        }
        None => line("config", "unknown"),
    }
    match &kernel.modules {
        Some(modules) => {
            line("modules", &format!("{} ({})", modules.modules, Size(modules.size_bytes)));
        }
        None => line("modules", "none"),
    }
    for warning in &kernel.warnings {
        line("warning", warning);
    }
    output(printer.result(&KernelDocument::new(&kernel, &path), text))
}

pub(super) fn rm(names: &[String], dirs: &Dirs, printer: &Printer) -> Result<(), CommandError> {
    let store = KernelStore::new(&dirs.state);
    let find = |name: &str| store.find(name).map(|kernel| kernel.id);
    remove_each(names, find, |id, cancellation| store.remove(id, cancellation), printer)
}
