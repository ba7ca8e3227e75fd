//! `banger rootfs put | mkdir | ln | mv | rm | chmod | chown | inject | resize`: each is one commit, or
//! several where the journal cannot hold it.

use std::ffi::OsString;
use std::fs::File;
use std::io;
use std::os::fd::AsFd as _;
use std::os::unix::ffi::OsStrExt as _;

use banger::rootfs::{
    ChangeOwner, ChangedPaths, Destination, Edit, EditError, FileDocument, GuestPath, MakeDirectory,
    MakeLink, ModeChange, Move, Operand, OwnerChange, PatientReader, Put, PutSource, Remove,
};
use banger::{Cancellation, InjectRequest};

use super::operand::{STANDARD_INPUT, guest_path};
use crate::args::{
    ChmodArguments, ChownArguments, FileArgument, InjectArguments, LnArguments, MkdirArguments, MvArguments,
    PutArguments, ResizeArguments, RmArguments, TargetArguments,
};
use crate::failure::{CommandError, output};
use crate::interrupt::cancel_on_signal;
use crate::printer::Printer;
use crate::units::Size;

/// Edits `file`; `work` returns the paths that were changed.
fn edit(
    file: &FileArgument,
    printer: &Printer,
    work: impl FnOnce(&mut Edit<'_>, &Cancellation) -> Result<Vec<GuestPath>, EditError>,
) -> Result<(), CommandError> {
    let cancellation = cancel_on_signal(printer);
    let (place, file) = (file.place(), &file.file);
    let paths = banger::rootfs::edit(place, banger::rootfs::timestamp()?, &cancellation, |edit| {
        work(edit, &cancellation)
    })?;
    output(printer.result(&FileDocument::new(file, ChangedPaths::new(paths)), ""))
}

/// Splits paths into what goes somewhere, and where that is.
fn split<'a>(
    paths: &'a [OsString],
    target: &TargetArguments,
) -> Result<(&'a [OsString], Destination), EditError> {
    if let Some(dir) = &target.target_directory {
        return Ok((paths, Destination::parse_directory(dir.as_bytes())?));
    }
    let (last, others) = paths.split_last().expect("the parser asks for a path");
    if others.is_empty() {
        return Err(EditError::NoDestination { path: banger::rootfs::escape_bytes(last.as_bytes()) });
    }
    let parse = if target.no_target_directory { Destination::parse_exact } else { Destination::parse };
    Ok((others, parse(last.as_bytes())?))
}

fn operands(paths: &[OsString]) -> Result<Vec<Operand>, EditError> {
    paths.iter().map(|path| Operand::parse(path.as_bytes())).collect()
}

/// Checks that all paths are there before the first of them is changed.
fn existing(paths: &[OsString], edit: &Edit<'_>) -> Result<Vec<Operand>, EditError> {
    let operands = operands(paths)?;
    operands.iter().try_for_each(|operand| edit.check_exists(operand))?;
    Ok(operands)
}

fn mode(text: Option<&String>) -> Result<Option<ModeChange>, EditError> {
    text.map(|text| text.parse()).transpose()
}

fn owner(text: Option<&OsString>) -> Result<Option<OwnerChange>, EditError> {
    text.map(|text| OwnerChange::parse(text.as_bytes())).transpose()
}

pub(super) fn put(arguments: &PutArguments, printer: &Printer) -> Result<(), CommandError> {
    let standard_input = File::from(io::stdin().as_fd().try_clone_to_owned().map_err(CommandError::Output)?);
    edit(&arguments.file, printer, |edit, cancellation| {
        let (sources, destination) = split(&arguments.paths, &arguments.target)?;
        let by_number = arguments.uid.or(arguments.gid).is_some();
        let how = Put::default()
            .with_mode(mode(arguments.mode.as_ref())?)
            .with_owner(match by_number {
                true => Some(OwnerChange::to_ids(arguments.uid, arguments.gid)),
                false => owner(arguments.owner.as_ref())?,
            })
            .with_parents(arguments.parents)
            .with_no_dereference(arguments.no_dereference)
            .with_no_clobber(arguments.no_clobber)
            .with_if_match(arguments.if_match.as_deref().map(str::parse).transpose()?);
        let mut input = PatientReader::new(standard_input, cancellation);
        let mut input: Option<&mut dyn io::Read> = Some(&mut input);
        let source = |path: &OsString| match input.take_if(|_| path == STANDARD_INPUT) {
            Some(input) => PutSource::Reader(input),
            None => PutSource::Path(path.into()),
        };
        edit.put(sources.iter().map(source).collect(), &destination, &how)
    })
}

pub(super) fn mkdir(arguments: &MkdirArguments, printer: &Printer) -> Result<(), CommandError> {
    edit(&arguments.file, printer, |edit, _| {
        let how = MakeDirectory::default()
            .with_parents(arguments.parents)
            .with_mode(mode(arguments.mode.as_ref())?)
            .with_owner(owner(arguments.owner.as_ref())?);
        arguments.paths.iter().map(|path| edit.make_directory(&guest_path(path)?, &how)).collect()
    })
}

pub(super) fn ln(arguments: &LnArguments, printer: &Printer) -> Result<(), CommandError> {
    edit(&arguments.file, printer, |edit, _| {
        let (targets, link) = split(&arguments.paths, &arguments.target)?;
        let targets: Vec<&[u8]> = targets.iter().map(|target| target.as_bytes()).collect();
        let how = MakeLink::default()
            .with_symbolic(arguments.symbolic)
            .with_force(arguments.force)
            .with_no_dereference(arguments.no_dereference);
        edit.link(&targets, &link, how)
    })
}

pub(super) fn mv(arguments: &MvArguments, printer: &Printer) -> Result<(), CommandError> {
    edit(&arguments.file, printer, |edit, _| {
        let (sources, destination) = split(&arguments.paths, &arguments.target)?;
        let sources = existing(sources, edit)?;
        edit.rename(&sources, &destination, Move::default().with_no_clobber(arguments.no_clobber))
    })
}

pub(super) fn rm(arguments: &RmArguments, printer: &Printer) -> Result<(), CommandError> {
    edit(&arguments.file, printer, |edit, _| {
        let how = Remove::default()
            .with_recursive(arguments.recursive)
            .with_force(arguments.force)
            .with_empty_directories(arguments.dir);
        let operands = operands(&arguments.paths)?;
        operands.iter().try_for_each(|operand| edit.check_removable(operand, how))?;
        let removed = operands.iter().map(|operand| edit.remove(operand, how));
        Ok(removed.collect::<Result<Vec<_>, _>>()?.into_iter().flatten().collect())
    })
}

pub(super) fn chmod(arguments: &ChmodArguments, printer: &Printer) -> Result<(), CommandError> {
    edit(&arguments.file, printer, |edit, _| {
        let change: ModeChange = arguments.mode.parse()?;
        let operands = existing(&arguments.paths, edit)?;
        let change = |operand: Operand| {
            edit.change_mode(&operand, &change, arguments.recursive).map(|()| operand.path)
        };
        operands.into_iter().map(change).collect()
    })
}

pub(super) fn chown(arguments: &ChownArguments, printer: &Printer) -> Result<(), CommandError> {
    edit(&arguments.file, printer, |edit, _| {
        let owner = OwnerChange::parse(arguments.owner.as_bytes())?;
        let operands = existing(&arguments.paths, edit)?;
        let how = ChangeOwner::default()
            .with_recursive(arguments.recursive)
            .with_dereference(!arguments.no_dereference);
        let change = |operand: Operand| edit.change_owner(&operand, &owner, how).map(|()| operand.path);
        operands.into_iter().map(change).collect()
    })
}

pub(super) fn inject(arguments: &InjectArguments, printer: &Printer) -> Result<(), CommandError> {
    let file = &arguments.file.file;
    let request = InjectRequest::default()
        .with_guest(arguments.guest.options())
        .with_architecture(arguments.architecture.clone())
        .with_hostname(arguments.hostname.clone())
        .with_timestamp_seconds(banger::source_date_epoch()?);
    let cancellation = cancel_on_signal(printer);
    let report = banger::inject_file(arguments.file.place(), &request, &cancellation)?;
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
    output(printer.result(&FileDocument::new(file, &report), ""))
}

pub(super) fn resize(arguments: &ResizeArguments, printer: &Printer) -> Result<(), CommandError> {
    let file = &arguments.file.file;
    // So that an interrupt does not stop it where only its journal knows what it was about.
    let cancellation = cancel_on_signal(printer);
    let resized = banger::rootfs::resize(arguments.file.place(), arguments.size.0, &cancellation)?;
    let (before, size) = (Size(resized.before_bytes), Size(resized.size_bytes));
    printer.note(&format!("{file} had {before} and has {size}"));
    output(printer.result(&FileDocument::new(file, resized), ""))
}
