//! `banger rootfs df | du`.

use std::os::unix::ffi::OsStrExt as _;

use banger::rootfs::{EditError, FileDocument, Operand, UsageDetail, disk_usage, in_file};

use super::look::{human_size, open_noted};
use crate::args::{DfArguments, DuArguments};
use crate::failure::{CommandError, output};
use crate::interrupt::cancel_on_signal;
use crate::printer::Printer;
use crate::text::table;

pub(super) fn df(arguments: &DfArguments, printer: &Printer) -> Result<(), CommandError> {
    let file = &arguments.file.file;
    let usage = open_noted(&arguments.file.place(), printer)?.usage().map_err(in_file(file))?;
    let size = |bytes: u64| if arguments.human_readable { human_size(bytes) } else { bytes.to_string() };
    let available = usage.free_bytes - usage.reserved_bytes;
    // As df has it: of what users can have, rounded up.
    let percent = |used: u64, all: u64| match all {
        0 => "-".to_owned(),
        all => format!("{}%", (u128::from(used) * 100).div_ceil(u128::from(all))),
    };
    let heading = ["", "TOTAL", "USED", "AVAILABLE", "USE"].map(str::to_owned);
    let bytes = [
        "bytes".to_owned(),
        size(usage.size_bytes),
        size(usage.used_bytes),
        size(available),
        percent(usage.used_bytes, usage.used_bytes + available),
    ];
    let inodes = [
        "inodes".to_owned(),
        usage.inodes.to_string(),
        usage.used_inodes.to_string(),
        usage.free_inodes.to_string(),
        percent(usage.used_inodes.into(), usage.inodes.into()),
    ];
    output(printer.result(&FileDocument::new(file, usage), table(&[heading, bytes, inodes])))
}

pub(super) fn du(arguments: &DuArguments, printer: &Printer) -> Result<(), CommandError> {
    let file = &arguments.file.file;
    let cancellation = cancel_on_signal(printer);
    let mut rootfs = open_noted(&arguments.file.place(), printer)?;
    rootfs.set_cancellation(&cancellation);
    let detail = match (arguments.summarize, arguments.all) {
        (true, _) => UsageDetail::Summary,
        (false, true) => UsageDetail::All,
        (false, false) => UsageDetail::Directories,
    };
    let paths = arguments.paths.iter().map(|path| Operand::parse(path.as_bytes()));
    let report = paths
        .collect::<Result<Vec<_>, EditError>>()
        .and_then(|paths| disk_usage(&rootfs, &paths, detail, &cancellation))
        .map_err(in_file(file))?;
    let size = |bytes: u64| if arguments.human_readable { human_size(bytes) } else { bytes.to_string() };
    let rows: Vec<[String; 2]> =
        report.paths.iter().map(|usage| [size(usage.allocated_bytes), usage.path.to_string()]).collect();
    output(printer.result(&FileDocument::new(file, &report), table(&rows)))
}
