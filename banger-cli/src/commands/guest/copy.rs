//! `banger guest cp`.

use std::fs::{File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};

use banger::guest::{CopyIn, GuestClient, GuestError};
use serde::Serialize;

use super::Document;
use crate::args::guest::{CopyArguments, CopyEnd};
use crate::commands::{Failure, output};
use crate::printer::{Printer, raw_output};

#[derive(Serialize)]
struct Answer {
    bytes: u64,
}

pub(super) fn copy(arguments: &CopyArguments, guest: &GuestClient, printer: &Printer) -> Result<(), Failure> {
    let ends = (CopyEnd::from(arguments.source.as_str()), CopyEnd::from(arguments.target.as_str()));
    match ends {
        (CopyEnd::Guest(_), CopyEnd::Guest(_)) => {
            Err(option("cp", &arguments.target, "one of the two must be on the host"))
        }
        (source, CopyEnd::Guest(path)) => {
            let bytes = copy_in(arguments, &source, path, guest)?;
            output(printer.result(&Document::new(Answer { bytes }), ""))
        }
        (CopyEnd::Guest(path), target) => {
            let bytes = copy_out(&path, &target, guest)?;
            // With the content on standard output there is no place for a document.
            match target {
                CopyEnd::Standard => Ok(()),
                _ => output(printer.result(&Document::new(Answer { bytes }), "")),
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
) -> Result<u64, Failure> {
    let mut request = CopyIn {
        path,
        mode: arguments.mode,
        uid: arguments.owner.map(|(uid, _)| uid),
        gid: arguments.owner.and_then(|(_, gid)| gid),
        parents: arguments.parents,
        size_bytes: None,
    };
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

fn copy_out(path: &str, target: &CopyEnd, guest: &GuestClient) -> Result<u64, Failure> {
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
    // A device or a pipe takes the bytes; a rename would put a file in its place.
    if target.metadata().is_ok_and(|metadata| !metadata.is_file() && !metadata.is_dir()) {
        let write = |source| banger::Error::Output { action: "write", path: target.clone(), source };
        let mut file = OpenOptions::new().write(true).open(target).map_err(write)?;
        return Ok(guest.copy_out(path, &mut file)?.1);
    }
    // Beside its place until it is whole, and only its owner's until the mode is known.
    let partial = target.with_file_name(format!(".{}.partial", target.file_name().unwrap_or_default()));
    let stale = partial.clone();
    let interrupted = move || {
        // It is there or not, depending on when that comes.
        let _ = std::fs::remove_file(&stale);
        std::process::exit(130);
    };
    // Without a handler the next copy to the same place removes it.
    let _ = ctrlc::set_handler(interrupted);
    let write = |source| banger::Error::Output { action: "write", path: target.clone(), source };
    let mut file = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(&partial)
        .map_err(write)?;
    let copied = guest.copy_out(path, &mut file).map_err(Failure::from).and_then(|(kind, bytes)| {
        file.flush()
            // The guest's set-user-id bits have no business on the host.
            .and_then(|()| file.set_permissions(std::fs::Permissions::from_mode(kind.mode & 0o777)))
            .and_then(|()| std::fs::rename(&partial, target))
            .map_err(write)?;
        Ok(bytes)
    });
    if copied.is_err() {
        // The reason is already known; what could be left is an empty file.
        let _ = std::fs::remove_file(&partial);
    }
    copied
}

fn read_error(path: &str, source: &io::Error) -> Failure {
    option("cp", path, &source.to_string())
}

fn option(option: &'static str, value: &str, reason: &str) -> Failure {
    banger::Error::Option { option, value: value.to_owned(), reason: reason.to_owned() }.into()
}
