//! `banger guest cp`.

use std::fs::{File, FileType};
use std::io::{self, Read};
use std::os::unix::fs::{FileTypeExt as _, PermissionsExt as _};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use banger::guest::{AnswerDocument, CopyAnswer, CopyIn, GuestClient, GuestError};
use banger::{Existing, NewFile};
use camino::Utf8Path;
use rustix::fs::{CWD, Mode, OFlags, openat};

use crate::args::guest::{CopyArguments, CopyEnd};
use crate::failure::{CommandError, output};
use crate::printer::{Printer, raw_output};

/// What a file from a guest may be at most, before the umask.
const WIDEST_MODE: u32 = 0o777;
const INTERRUPTED_STATUS: i32 = 130;

pub(super) fn copy(
    arguments: &CopyArguments,
    guest: &GuestClient,
    printer: &Printer,
) -> Result<(), CommandError> {
    let ends = (CopyEnd::from(arguments.source.as_str()), CopyEnd::from(arguments.target.as_str()));
    match ends {
        (CopyEnd::Guest(_), CopyEnd::Guest(_)) => {
            Err(option("cp", &arguments.target, "one of the two must be on the host"))
        }
        (source, CopyEnd::Guest(path)) => {
            let bytes = copy_in(arguments, &source, path, guest)?;
            output(printer.result(&AnswerDocument::new(CopyAnswer { bytes }), ""))
        }
        (CopyEnd::Guest(path), target) => {
            let bytes = copy_out(&path, &target, guest)?;
            // With the content on standard output there is no place for a document.
            match target {
                CopyEnd::Standard => Ok(()),
                _ => output(printer.result(&AnswerDocument::new(CopyAnswer { bytes }), "")),
            }
        }
        _ => Err(option("cp", &arguments.target, "one of the two must be in the guest: write it as :/PATH")),
    }
}

fn copy_in(
    arguments: &CopyArguments,
    source: &CopyEnd,
    path: String,
    guest: &GuestClient,
) -> Result<u64, CommandError> {
    let mut request = CopyIn::new(path)
        .with_mode(arguments.mode)
        .with_uid(arguments.owner.map(|(uid, _)| uid))
        .with_gid(arguments.owner.and_then(|(_, gid)| gid))
        .with_parents(arguments.parents);
    let mut content: Box<dyn Read> = match source {
        CopyEnd::Host(path) => {
            let open = || {
                let file = File::open(path)?;
                let metadata = file.metadata()?;
                Ok((file, metadata))
            };
            let (file, metadata) = open().map_err(|source: io::Error| read_error(path.as_str(), &source))?;
            if metadata.is_dir() {
                return Err(option("cp", path.as_str(), "is a directory; files are copied one by one"));
            }
            if metadata.is_file() {
                request.mode.get_or_insert(metadata.permissions().mode() & 0o7777);
                request.size_bytes = Some(metadata.len());
            }
            Box::new(file)
        }
        _ => Box::new(io::stdin().lock()),
    };
    Ok(guest.copy_in(&request, &mut content)?)
}

fn copy_out(path: &str, target: &CopyEnd, guest: &GuestClient) -> Result<u64, CommandError> {
    let CopyEnd::Host(target) = target else {
        let copied = guest.copy_out(path, &mut raw_output());
        return match copied {
            Err(GuestError::Content { source, .. }) => output(Err(source)).map(|()| 0),
            copied => Ok(copied?.1),
        };
    };
    // In a directory it has its own name, as with cp.
    let target = &match target.is_dir() {
        true => target.join(path.rsplit('/').next().unwrap_or_default()),
        false => target.clone(),
    };
    if let Some(mut stream) = open_stream(target)? {
        return Ok(guest.copy_out(path, &mut stream)?.1);
    }
    let failed = banger::Error::new_file(target);
    let partial = Arc::new(Mutex::new(None));
    let stale = Arc::clone(&partial);
    let interrupted = move || {
        let path: Option<PathBuf> = stale.lock().unwrap_or_else(PoisonError::into_inner).take();
        // It is there or not, depending on when the interrupt comes.
        let _ = path.map(std::fs::remove_file);
        std::process::exit(INTERRUPTED_STATUS);
    };
    // Without a handler the next copy to the same directory removes it.
    let _ = ctrlc::set_handler(interrupted);
    let mut file = NewFile::create(target.as_std_path(), WIDEST_MODE).map_err(&failed)?;
    *partial.lock().unwrap_or_else(PoisonError::into_inner) = Some(file.temporary_path().to_owned());
    let (kind, bytes) = guest.copy_out(path, &mut file)?;
    // The guest takes permissions away and gives none.
    file.limited_to(kind.mode).publish(Existing::Replace).map_err(&failed)?;
    Ok(bytes)
}

/// Opens a device or a pipe, which takes the bytes: a rename would put a file in its place. A symlink
/// to one is refused later, as every path into `/dev` is that does not name its device itself.
fn open_stream(target: &Utf8Path) -> Result<Option<File>, CommandError> {
    let is_stream = |kind: FileType| kind.is_fifo() || kind.is_char_device() || kind.is_block_device();
    if !target.symlink_metadata().is_ok_and(|metadata| is_stream(metadata.file_type())) {
        return Ok(None);
    }
    // A device has its place in /dev, a pipe anywhere else.
    if !target.starts_with("/dev") {
        banger::HostPlace::check_path(target.as_std_path()).map_err(banger::Error::new_file(target))?;
    }
    let write = |source| banger::Error::from(banger::OutputError::io("write", target)(source));
    let flags = OFlags::WRONLY | OFlags::NOFOLLOW | OFlags::NOCTTY | OFlags::CLOEXEC;
    let opened = openat(CWD, target.as_std_path(), flags, Mode::empty());
    let file = File::from(opened.map_err(|error| write(error.into()))?);
    let is_same = is_stream(file.metadata().map_err(write)?.file_type());
    Ok(is_same.then_some(file))
}

fn read_error(path: &str, source: &io::Error) -> CommandError {
    option("cp", path, &source.to_string())
}

fn option(option: &'static str, value: &str, reason: &str) -> CommandError {
    CommandError::argument(option, value, reason)
}
