//! `banger rootfs find`.

use std::io::{self, BufWriter, Write as _};
use std::os::unix::ffi::OsStrExt as _;

use banger::rootfs::{
    CopyError, EditError, FileDocument, FileType, Find, FoundEntries, Operand, RootfsEntry,
    find as find_files, in_file, parse_time,
};

use super::look::open_noted;
use crate::args::{FindArguments, TypeLetter};
use crate::failure::{CommandError, output};
use crate::interrupt::cancel_on_signal;
use crate::printer::{Printer, raw_output};

impl From<TypeLetter> for FileType {
    fn from(letter: TypeLetter) -> Self {
        match letter {
            TypeLetter::File => Self::Regular,
            TypeLetter::Directory => Self::Directory,
            TypeLetter::Symlink => Self::Symlink,
            TypeLetter::CharDevice => Self::CharDevice,
            TypeLetter::BlockDevice => Self::BlockDevice,
            TypeLetter::Fifo => Self::Fifo,
            TypeLetter::Socket => Self::Socket,
        }
    }
}

fn conditions(arguments: &FindArguments) -> Result<Find, EditError> {
    Ok(Find::default()
        .with_name(arguments.name.as_deref().map(str::parse).transpose()?)
        .with_path(arguments.path_glob.as_deref().map(str::parse).transpose()?)
        .with_types(arguments.types.iter().copied().map(FileType::from).collect())
        .with_size(arguments.size.map(|size| size.0))
        .with_newer(arguments.newer.as_deref().map(parse_time).transpose()?)
        .with_perm(arguments.perm.as_deref().map(str::parse).transpose()?)
        .with_uid(arguments.uid)
        .with_gid(arguments.gid)
        .with_max_depth(arguments.max_depth))
}

pub(super) fn find(arguments: &FindArguments, printer: &Printer) -> Result<(), CommandError> {
    let file = &arguments.file.file;
    let cancellation = cancel_on_signal(printer);
    let conditions = conditions(arguments).map_err(in_file(file))?;
    let start = Operand::parse(arguments.path.as_bytes()).map_err(in_file(file))?;
    let mut rootfs = open_noted(&arguments.file.place(), printer)?;
    rootfs.set_cancellation(&cancellation);
    let mut out = BufWriter::new(raw_output());
    let mut entries = Vec::new();
    let mut print = |entry: &RootfsEntry| -> io::Result<()> {
        match arguments.print0 {
            true => out.write_all(entry.path.as_bytes()).and_then(|()| out.write_all(b"\0")),
            // Nothing of a path is left that tells a terminal something.
            false => writeln!(out, "{}", entry.path),
        }
    };
    let found = find_files(&rootfs, &start, &conditions, &cancellation, |entry| {
        if printer.is_json() {
            entries.push(entry);
            return Ok(());
        }
        print(&entry).map_err(CopyError::Output)
    });
    found.map_err(|error| match error {
        CopyError::Read(error) => CommandError::from(in_file(file)(error)),
        CopyError::Output(error) => output(Err(error)).expect_err("it is an error"),
    })?;
    output(out.flush())?;
    drop(out);
    if !printer.is_json() {
        return Ok(());
    }
    output(printer.result(&FileDocument::new(file, FoundEntries::new(entries)), ""))
}
