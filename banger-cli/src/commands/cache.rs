//! `banger image cache list | prune`.

use std::time::SystemTime;

use banger::{BlobCache, CacheEntry, Dirs, PruneOptions};
use serde::Serialize;

use crate::args::PruneArguments;
use crate::failure::{CommandError, output};
use crate::printer::Printer;
use crate::text::{Text, table};
use crate::units::{Size, age_text};

#[derive(Serialize)]
struct BlobRow {
    digest: String,
    size_bytes: u64,
    unused_seconds: u64,
    partial: bool,
    in_use: bool,
}

impl From<&CacheEntry> for BlobRow {
    fn from(entry: &CacheEntry) -> Self {
        Self {
            digest: entry.digest.to_string(),
            size_bytes: entry.size_bytes,
            unused_seconds: SystemTime::now().duration_since(entry.used).map_or(0, |age| age.as_secs()),
            partial: entry.partial,
            in_use: entry.in_use,
        }
    }
}

/// Opens the cache; makes no directories.
fn cache_of(dirs: &Dirs) -> BlobCache {
    BlobCache::at(dirs.cache.join("oci"))
}

pub(super) fn list(dirs: &Dirs, printer: &Printer) -> Result<(), CommandError> {
    #[derive(Serialize)]
    struct Document {
        version: u32,
        blobs: Vec<BlobRow>,
    }
    let blobs: Vec<BlobRow> = cache_of(dirs).list()?.iter().map(BlobRow::from).collect();
    let mut rows = vec![["DIGEST", "SIZE", "UNUSED", "STATE"].map(str::to_owned)];
    rows.extend(blobs.iter().map(|blob| {
        let state = match (blob.partial, blob.in_use) {
            (_, true) => "in use",
            (true, false) => "partial",
            (false, false) => "",
        };
        let age = age_text(blob.unused_seconds);
        [blob.digest.clone(), Size(blob.size_bytes).to_string(), age, state.to_owned()]
    }));
    output(printer.result(&Document { version: 1, blobs }, table(&rows)))
}

pub(super) fn prune(arguments: &PruneArguments, dirs: &Dirs, printer: &Printer) -> Result<(), CommandError> {
    #[derive(Serialize)]
    struct Document {
        version: u32,
        removed: Vec<BlobRow>,
        in_use: Vec<BlobRow>,
        kept_bytes: u64,
        dry_run: bool,
    }
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
    let freed: u64 = report.removed.iter().map(|entry| entry.size_bytes).sum();
    let verb = if arguments.dry_run { "would remove" } else { "removed" };
    printer.note(&format!(
        "{verb} {} {}, {}; {} kept",
        report.removed.len(),
        if report.removed.len() == 1 { "blob" } else { "blobs" },
        Size(freed),
        Size(report.kept_bytes)
    ));
    let text: Text = report.removed.iter().map(|entry| entry.digest.to_string()).collect();
    let document = Document {
        version: 1,
        removed: report.removed.iter().map(BlobRow::from).collect(),
        in_use: report.in_use.iter().map(BlobRow::from).collect(),
        kept_bytes: report.kept_bytes,
        dry_run: arguments.dry_run,
    };
    output(printer.result(&document, text))
}
