//! `banger image list | show | rm | prune | rename | export | verify`.

use banger::{
    DamagedImage, Dirs, ImageDocument, ImagePruneDocument, ImagePruneOptions, ImageStore, KERNEL_DIRECTORY,
    ListingDocument, REFERRERS_DIRECTORY, Verification,
};
use camino::Utf8Path;
use serde::Serialize;

use super::removal::remove_each;
use crate::args::ImagePruneArguments;
use crate::failure::{CommandError, output};
use crate::interrupt::cancel_on_signal;
use crate::printer::Printer;
use crate::text::{Text, table};
use crate::units::Size;

pub(super) fn list(quiet: bool, dirs: &Dirs, printer: &Printer) -> Result<(), CommandError> {
    let store = ImageStore::new(&dirs.state);
    let listing = store.list()?;
    for damaged in &listing.damaged {
        let DamagedImage { id, reason, denied, .. } = damaged;
        printer.warning(&match denied {
            true => format!("image {id} is another user's: {reason}"),
            false => format!("image {id} is damaged: {reason}; remove it with `banger image rm {id}`"),
        });
    }
    if quiet {
        let names: Text = listing.images.iter().map(|image| image.name.as_str()).collect();
        return output(printer.result(&ListingDocument::new(&listing, &store), names));
    }
    let mut rows =
        vec![["NAME", "ID", "PLATFORM", "SIZE", "USED", "KERNEL", "CREATED", "SOURCE"].map(str::to_owned)];
    rows.extend(listing.images.iter().map(|image| {
        [
            image.name.to_string(),
            image.id.to_string(),
            image.platform.clone(),
            Size(image.size_bytes).to_string(),
            Size(image.size_bytes - image.free_bytes.min(image.size_bytes)).to_string(),
            image.kernel.as_ref().map_or("-", |kernel| &kernel.release).to_owned(),
            image.created.get(..16).unwrap_or(&image.created).replace('T', " "),
            image.source.clone(),
        ]
    }));
    output(printer.result(&ListingDocument::new(&listing, &store), table(&rows)))
}

pub(super) fn show(name: &str, dirs: &Dirs, printer: &Printer) -> Result<(), CommandError> {
    let store = ImageStore::new(&dirs.state);
    let image = store.find(name)?;
    let path = store.rootfs_path(&image.id);
    let mut text = Text::default();
    let mut line = |key: &str, value: &str| text.field(key, value);
    line("name", image.name.as_str());
    line("id", image.id.as_str());
    line("path", path.as_str());
    line("source", &image.source);
    line("digest", &image.digest);
    if let Some(artifact) = &image.artifact {
        line("artifact", &artifact.digest);
        line("made of", &artifact.source);
    }
    if let Some(original) = &image.cloned_from {
        line("cloned from", &format!("{} ({})", original.name, original.id));
    }
    for signature in &image.signatures {
        let identity = signature.identity.as_deref().map_or(String::new(), |name| format!(" as {name}"));
        line("signed by", &format!("{}{identity}", signature.key));
        line("signature of", &format!("{} (found by {})", signature.digest, signature.found_by.name()));
    }
    for referrer in &image.referrers {
        let kind = if referrer.artifact_type.is_empty() { "no type" } else { &referrer.artifact_type };
        line("referrer", &format!("{kind}: {} ({})", referrer.digest, Size(referrer.size_bytes)));
    }
    if !image.referrers.is_empty() {
        line("referrers", path.with_file_name(REFERRERS_DIRECTORY).as_str());
    }
    line("platform", &image.platform);
    line("created", &image.created);
    line("backend", &image.build.backend);
    line("size", &format!("{} ({} free)", Size(image.size_bytes), Size(image.free_bytes)));
    line("inodes", &format!("{} ({} used)", image.inodes, image.used_inodes));
    if let Some(contract) = image.boot_contract {
        line("boots with", contract.name());
        line("first boot", if image.first_boot_pending { "pending" } else { "nothing to do" });
    }
    if let Some(kernel) = &image.kernel {
        line("kernel", &format!("{}: Linux {} for {}", kernel.name, kernel.release, kernel.architecture));
        line("kernel path", path.with_file_name(KERNEL_DIRECTORY).as_str());
    }
    if let Some(verity) = &image.verity {
        line("root hash", &verity.root_hash);
        line("hash tree", path.with_file_name(&verity.file).as_str());
    }
    line("entrypoint", &words(&image.config.entrypoint));
    line("cmd", &words(&image.config.cmd));
    line("user", &image.config.user);
    line("workdir", &image.config.working_dir);
    for variable in &image.config.env {
        line("env", variable);
    }
    for (key, value) in &image.config.labels {
        line("label", &format!("{key}={value}"));
    }
    for layer in &image.layers {
        line("layer", &format!("{} ({})", layer.digest, Size(layer.size_bytes)));
    }
    for path in &image.injected {
        line("injected", &path.to_string());
    }
    for fixup in &image.fixups {
        line("fixed", &fixup.to_string());
    }
    for warning in &image.warnings {
        line("warning", warning);
    }
    output(printer.result(&ImageDocument::new(&image, path.as_path()), text))
}

pub(super) fn rm(names: &[String], dirs: &Dirs, printer: &Printer) -> Result<(), CommandError> {
    let store = ImageStore::new(&dirs.state);
    let find = |name: &str| store.find(name).map(|image| image.id);
    remove_each(names, find, |id, cancellation| store.remove(id, cancellation), printer)
}

pub(super) fn prune(
    arguments: &ImagePruneArguments,
    dirs: &Dirs,
    printer: &Printer,
) -> Result<(), CommandError> {
    if !arguments.all && arguments.older_than.is_none() && arguments.keep.is_empty() {
        let error = CommandError::argument("image prune", "", "nothing says what to remove");
        return Err(error.advised("give --keep NAME, --older-than AGE or --all"));
    }
    let options = ImagePruneOptions::default()
        .with_keep(arguments.keep.clone())
        .with_older_than(arguments.older_than)
        .with_dry_run(arguments.dry_run);
    let report = ImageStore::new(&dirs.state).prune(&options, &cancel_on_signal(printer))?;
    for image in &report.in_use {
        printer.note(&format!("image {} ({}) stays: it is in use", image.name, image.id));
    }
    let verb = if arguments.dry_run { "would remove" } else { "removed" };
    let noun = if report.removed.len() == 1 { "image" } else { "images" };
    let kept = report.kept + report.in_use.len() as u64;
    printer.note(&format!("{verb} {} {noun}; {kept} kept", report.removed.len()));
    let text: Text = report.removed.iter().map(|image| image.id.to_string()).collect();
    output(printer.result(&ImagePruneDocument::new(&report, arguments.dry_run), text))
}

pub(super) fn rename(name: &str, new_name: &str, dirs: &Dirs, printer: &Printer) -> Result<(), CommandError> {
    let store = ImageStore::new(&dirs.state);
    let image = store.rename(name, new_name.parse::<banger::ImageName>()?, &cancel_on_signal(printer))?;
    let path = store.rootfs_path(&image.id);
    output(printer.result(&ImageDocument::new(&image, path.as_path()), &format!("{}\n", image.name)))
}

pub(super) fn export(
    name: &str,
    file: &Utf8Path,
    force: bool,
    dirs: &Dirs,
    printer: &Printer,
) -> Result<(), CommandError> {
    let cancellation = cancel_on_signal(printer);
    let record = ImageStore::new(&dirs.state).export(name, file, force, &cancellation)?;
    output(printer.result(&ImageDocument::exported(&record, file), &format!("{file}\n")))
}

pub(super) fn verify(names: &[String], dirs: &Dirs, printer: &Printer) -> Result<(), CommandError> {
    #[derive(Serialize)]
    struct Document<'a> {
        version: u32,
        images: &'a [Verification],
    }
    let store = ImageStore::new(&dirs.state);
    let cancellation = cancel_on_signal(printer);
    let images: Vec<Verification> =
        names.iter().map(|name| store.verify(name, &cancellation)).collect::<Result<_, _>>()?;
    let mut text = Text::default();
    for image in &images {
        let verdict = if image.is_sound() { "sound" } else { "damaged" };
        text.line(&format!("{}: {verdict}", image.name));
    }
    output(printer.result(&Document { version: 1, images: &images }, text))?;
    for image in &images {
        for problem in &image.problems {
            printer.problem(&format!("{}: {problem}", image.path));
        }
    }
    if images.iter().all(Verification::is_sound) { Ok(()) } else { Err(CommandError::Unsound) }
}

/// Words as a shell would take them.
pub(super) fn words(words: &[String]) -> String {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "_-./:=@%+,".contains(c);
    let quote = |word: &String| match !word.is_empty() && word.chars().all(is_plain) {
        true => word.clone(),
        false => format!("'{}'", word.replace('\'', r"'\''")),
    };
    words.iter().map(quote).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_can_be_pasted_into_a_shell() {
        let words_of = |list: &[&str]| words(&list.iter().map(|word| (*word).to_owned()).collect::<Vec<_>>());
        assert_eq!(words_of(&["/bin/sh", "-c", "it's $x", ""]), r"/bin/sh -c 'it'\''s $x' ''");
    }
}
