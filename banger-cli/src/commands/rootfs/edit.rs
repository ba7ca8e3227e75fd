//! `banger rootfs put | mkdir | ln | mv | rm | chmod | chown | inject | resize`: each is one commit.

use std::ffi::OsString;
use std::io;
use std::os::unix::ffi::OsStrExt as _;

use banger::rootfs::{
    ChangeOwner, Destination, Edit, EditError, GuestPath, MakeDirectory, MakeLink, ModeChange, OwnerChange,
    Put, PutSource, Remove,
};
use banger::{InjectReport, InjectRequest};
use camino::Utf8Path;
use serde::Serialize;

use super::{STANDARD_INPUT, guest_path};
use crate::args::{
    ChmodArguments, ChownArguments, FileArgument, InjectArguments, LnArguments, MkdirArguments, MvArguments,
    PutArguments, ResizeArguments, RmArguments,
};
use crate::commands::{Failure, cancel_on_signal, output};
use crate::printer::Printer;
use crate::units::Size;

/// Edits `file`; `work` returns the paths that were changed.
fn edit(
    file: &FileArgument,
    printer: &Printer,
    work: impl FnOnce(&mut Edit<'_>) -> Result<Vec<GuestPath>, EditError>,
) -> Result<(), Failure> {
    #[derive(Serialize)]
    struct Document<'a> {
        version: u32,
        file: &'a Utf8Path,
        paths: Vec<GuestPath>,
    }
    let file = &file.file;
    let cancellation = cancel_on_signal(printer);
    let paths = banger::rootfs::edit(file, banger::rootfs::timestamp()?, &cancellation, work)?;
    output(printer.result(&Document { version: 1, file, paths }, ""))
}

/// Splits what the last of several paths is the destination of.
fn split(paths: &[OsString]) -> Result<(&[OsString], Destination), EditError> {
    let (last, others) = paths.split_last().expect("the parser asks for two paths and more");
    Ok((others, Destination::parse(last.as_bytes())?))
}

fn mode(text: Option<&String>) -> Result<Option<ModeChange>, EditError> {
    text.map(|text| text.parse()).transpose()
}

fn owner(text: Option<&OsString>) -> Result<Option<OwnerChange>, EditError> {
    text.map(|text| OwnerChange::parse(text.as_bytes())).transpose()
}

pub(super) fn put(arguments: &PutArguments, printer: &Printer) -> Result<(), Failure> {
    edit(&arguments.file, printer, |edit| {
        let (sources, destination) = split(&arguments.paths)?;
        let by_number = arguments.uid.or(arguments.gid).is_some();
        let how = Put {
            mode: mode(arguments.mode.as_ref())?,
            owner: match by_number {
                true => Some(OwnerChange::to_ids(arguments.uid, arguments.gid)),
                false => owner(arguments.owner.as_ref())?,
            },
            parents: arguments.parents,
            no_dereference: arguments.no_dereference,
        };
        let mut input = io::stdin().lock();
        let mut input: Option<&mut dyn io::Read> = Some(&mut input);
        let source = |path: &OsString| match input.take_if(|_| path == STANDARD_INPUT) {
            Some(input) => PutSource::Reader(input),
            None => PutSource::Path(path.into()),
        };
        edit.put(sources.iter().map(source).collect(), &destination, &how)
    })
}

pub(super) fn mkdir(arguments: &MkdirArguments, printer: &Printer) -> Result<(), Failure> {
    edit(&arguments.file, printer, |edit| {
        let how = MakeDirectory {
            parents: arguments.parents,
            mode: mode(arguments.mode.as_ref())?,
            owner: owner(arguments.owner.as_ref())?,
        };
        arguments.paths.iter().map(|path| edit.make_directory(&guest_path(path)?, &how)).collect()
    })
}

pub(super) fn ln(arguments: &LnArguments, printer: &Printer) -> Result<(), Failure> {
    edit(&arguments.file, printer, |edit| {
        let (targets, link) = split(&arguments.paths)?;
        let targets: Vec<&[u8]> = targets.iter().map(|target| target.as_bytes()).collect();
        edit.link(&targets, &link, MakeLink { symbolic: arguments.symbolic, force: arguments.force })
    })
}

pub(super) fn mv(arguments: &MvArguments, printer: &Printer) -> Result<(), Failure> {
    edit(&arguments.file, printer, |edit| {
        let (sources, destination) = split(&arguments.paths)?;
        let sources: Vec<GuestPath> =
            sources.iter().map(|path| guest_path(path)).collect::<Result<_, _>>()?;
        edit.rename(&sources, &destination)
    })
}

pub(super) fn rm(arguments: &RmArguments, printer: &Printer) -> Result<(), Failure> {
    edit(&arguments.file, printer, |edit| {
        let how = Remove { recursive: arguments.recursive, force: arguments.force };
        let removed = arguments.paths.iter().map(|path| edit.remove(&guest_path(path)?, how));
        Ok(removed.collect::<Result<Vec<_>, _>>()?.into_iter().flatten().collect())
    })
}

pub(super) fn chmod(arguments: &ChmodArguments, printer: &Printer) -> Result<(), Failure> {
    edit(&arguments.file, printer, |edit| {
        let change: ModeChange = arguments.mode.parse()?;
        let change = |path: &OsString| {
            let path = guest_path(path)?;
            edit.change_mode(&path, &change, arguments.recursive).map(|()| path)
        };
        arguments.paths.iter().map(change).collect()
    })
}

pub(super) fn chown(arguments: &ChownArguments, printer: &Printer) -> Result<(), Failure> {
    edit(&arguments.file, printer, |edit| {
        let owner = OwnerChange::parse(arguments.owner.as_bytes())?;
        let how = ChangeOwner { recursive: arguments.recursive, dereference: !arguments.no_dereference };
        let change = |path: &OsString| {
            let path = guest_path(path)?;
            edit.change_owner(&path, &owner, how).map(|()| path)
        };
        arguments.paths.iter().map(change).collect()
    })
}

pub(super) fn inject(arguments: &InjectArguments, printer: &Printer) -> Result<(), Failure> {
    #[derive(Serialize)]
    struct Document<'a> {
        version: u32,
        file: &'a Utf8Path,
        #[serde(flatten)]
        report: &'a InjectReport,
    }
    let file = &arguments.file.file;
    let request = InjectRequest {
        guest: arguments.guest.options()?,
        architecture: arguments.architecture.clone(),
        hostname: arguments.hostname.clone(),
        timestamp_seconds: banger::source_date_epoch()?,
        ..InjectRequest::default()
    };
    let cancellation = cancel_on_signal(printer);
    let report = banger::inject_file(file, &request, &cancellation)?;
    for fixup in &report.fixups {
        printer.note(&fixup.to_string());
    }
    for warning in &report.warnings {
        printer.warning(warning);
    }
    printer.note(&match report.is_unchanged() {
        true => format!("{file} boots with {}; all was there", report.contract),
        false => {
            format!("{file} boots with {}; {} paths put into it", report.contract, report.injected.len())
        }
    });
    output(printer.result(&Document { version: 1, file, report: &report }, ""))
}

pub(super) fn resize(arguments: &ResizeArguments, printer: &Printer) -> Result<(), Failure> {
    #[derive(Serialize)]
    struct Document<'a> {
        version: u32,
        file: &'a Utf8Path,
        #[serde(flatten)]
        resized: banger::rootfs::Resized,
    }
    let file = &arguments.file.file;
    // So that an interrupt does not stop it where only its journal knows what it was about.
    let _cancellation = cancel_on_signal(printer);
    let resized = banger::rootfs::resize(file, arguments.size.0)?;
    let (before, size) = (Size(resized.before_bytes), Size(resized.size_bytes));
    printer.note(&format!("{file} had {before} and has {size}"));
    output(printer.result(&Document { version: 1, file, resized }, ""))
}
