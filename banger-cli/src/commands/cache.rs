//! `banger image cache list | prune | verify`.

use banger::{
    BlobCache, BuildCache, CacheDocument, CacheVerificationDocument, Dirs, PruneDocument, PruneOptions,
};

use crate::args::PruneArguments;
use crate::failure::{CommandError, output};
use crate::interrupt::cancel_on_signal;
use crate::printer::Printer;
use crate::text::{Text, table};
use crate::units::{Size, age_text};

/// Opens the cache; makes no directories.
fn cache_of(dirs: &Dirs) -> BlobCache {
    BlobCache::at(dirs.cache.join("oci"))
}

pub(super) fn list(dirs: &Dirs, printer: &Printer) -> Result<(), CommandError> {
    let document = CacheDocument::new(&cache_of(dirs).list()?);
    let mut rows = vec![["DIGEST", "SIZE", "UNUSED", "STATE"].map(str::to_owned)];
    rows.extend(document.blobs.iter().map(|blob| {
        let state = match (blob.partial, blob.in_use) {
            (_, true) => "in use",
            (true, false) => "partial",
            (false, false) => "",
        };
        let age = age_text(blob.unused_seconds);
        [blob.digest.clone(), Size(blob.size_bytes).to_string(), age, state.to_owned()]
    }));
    output(printer.result(&document, table(&rows)))
}

pub(super) fn prune(arguments: &PruneArguments, dirs: &Dirs, printer: &Printer) -> Result<(), CommandError> {
    if !arguments.all && arguments.older_than.is_none() && arguments.max_size.is_none() {
        let error = CommandError::argument("image cache prune", "", "nothing says what to remove");
        return Err(error.advised("give --older-than AGE, --max-size SIZE or --all"));
    }
    let options = PruneOptions::default()
        .with_older_than(arguments.older_than)
        .with_max_size_bytes(arguments.max_size.map(|Size(bytes)| bytes))
        .with_all(arguments.all)
        .with_dry_run(arguments.dry_run);
    let report = cache_of(dirs).prune(&options)?;
    // The disks of builds get the room that the blobs leave.
    let left = arguments.max_size.map(|Size(bytes)| bytes.saturating_sub(report.kept_bytes));
    let disks = BuildCache::new(dirs).prune(&options.with_max_size_bytes(left))?;
    let freed: u64 = report.removed.iter().map(|entry| entry.size_bytes).sum();
    let verb = if arguments.dry_run { "would remove" } else { "removed" };
    printer.note(&format!(
        "{verb} {} {}, {}; {} kept",
        report.removed.len(),
        if report.removed.len() == 1 { "blob" } else { "blobs" },
        Size(freed),
        Size(report.kept_bytes)
    ));
    if disks.removed > 0 || disks.kept_bytes > 0 {
        let (count, noun) = (disks.removed, if disks.removed == 1 { "disk" } else { "disks" });
        let (removed, kept) = (Size(disks.removed_bytes), Size(disks.kept_bytes));
        printer.note(&format!("{verb} {count} {noun} of builds, {removed}; {kept} kept"));
    }
    let text: Text = report.removed.iter().map(|entry| entry.digest.to_string()).collect();
    output(printer.result(&PruneDocument::new(&report, arguments.dry_run), text))
}

pub(super) fn verify(remove: bool, dirs: &Dirs, printer: &Printer) -> Result<(), CommandError> {
    let report = cache_of(dirs).verify(remove, &cancel_on_signal(printer))?;
    let text: Text = report.damaged.iter().map(|blob| blob.digest.to_string()).collect();
    output(printer.result(&CacheVerificationDocument::new(&report), text))?;
    let (checked, noun) = (report.checked, if report.checked == 1 { "blob" } else { "blobs" });
    printer.note(&format!("checked {checked} {noun}, {}", Size(report.checked_bytes)));
    for blob in &report.damaged {
        let state = if blob.removed { "removed" } else { "damaged; remove it with --remove" };
        printer.problem(&format!("{}: its bytes have the digest {}; {state}", blob.digest, blob.found));
    }
    if report.damaged.iter().all(|blob| blob.removed) { Ok(()) } else { Err(CommandError::Unsound) }
}
