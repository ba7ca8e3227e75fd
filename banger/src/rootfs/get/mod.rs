//! Files and directories of a root file system, copied to this host.

mod failure;
mod host_attributes;
mod host_tree_writer;
mod report;

use std::fs;
use std::io;
use std::os::fd::AsFd as _;

use banger_tree::{Cancellation, FileType, GuestPath, HostPlace, Rootfs, Stat};
use camino::{Utf8Path, Utf8PathBuf};
use rustix::fs::CWD;

use self::failure::GetFailure;
use self::host_tree_writer::HostTreeWriter;
pub use self::report::GetReport;
use super::edit::Operand;
use super::error::{EditAdvice, EditError};
use super::tar::stat;
use crate::error::Error;
use crate::host_file::parent_of;
use crate::output::{OutputError, staging_beside};
use crate::staging::{StagingDir, sync, sync_tree};

/// Name of a path in its staging directory, if it is not a directory itself.
const STAGED: &str = "staged";

/// Copies `paths` of the root file system in `file` to this host, directories with all that is below them: to the name
/// `destination`, or into that directory, if it exists.
///
/// Copies have the modes, times, owners, extended attributes, hard links, holes, symlinks, FIFOs and sockets. What the
/// user of this process may not set or make is counted in the report; a file without its owner has no setuid and
/// setgid bit. A symlink in `paths` is copied itself. Each path is complete or absent. Hard links between two of
/// `paths` become separate files.
///
/// # Errors
/// A path does not exist, its place is taken, the root file system is damaged, the host refuses, or the caller asks to
/// stop. Then the paths from there on are absent.
pub fn get_files(
    rootfs: &dyn Rootfs,
    file: &Utf8Path,
    paths: &[Operand],
    destination: &Utf8Path,
    cancellation: &Cancellation,
) -> Result<GetReport, Error> {
    HostPlace::check_path(destination.as_std_path()).map_err(OutputError::new_file(destination))?;
    let copies =
        copies_of(rootfs, paths, destination, cancellation).map_err(|failure| failure.in_file(file))?;
    let paths = copies.iter().map(|copy| copy.to.clone()).collect();
    let mut report = GetReport { paths, ..GetReport::default() };
    let staged: Vec<Staged> = copies
        .into_iter()
        .map(|copy| copy.stage(rootfs, cancellation, &mut report))
        .collect::<Result<_, _>>()
        .map_err(|failure| failure.in_file(file))?;
    for staged in staged {
        staged.publish()?;
    }
    Ok(report)
}

/// A path, and where it goes.
struct PlannedCopy {
    path: GuestPath,
    stat: Stat,
    to: Utf8PathBuf,
}

/// Returns the paths with their places, of which all are free.
fn copies_of(
    rootfs: &dyn Rootfs,
    paths: &[Operand],
    destination: &Utf8Path,
    cancellation: &Cancellation,
) -> Result<Vec<PlannedCopy>, GetFailure> {
    let is_directory = fs::metadata(destination).is_ok_and(|metadata| metadata.is_dir());
    if !is_directory && paths.len() > 1 {
        let source = io::ErrorKind::NotADirectory.into();
        let path = destination.to_string();
        return Err(EditError::Host { action: "copy several paths into", path, source }.into());
    }
    let mut copies: Vec<PlannedCopy> = Vec::new();
    for operand in paths {
        let path = match operand.is_directory {
            true => rootfs.resolve(&operand.path)?,
            false => operand.path.clone(),
        };
        if rootfs.stat(&path)?.is_none() {
            return Err(EditError::NotFound { path, advice: EditAdvice::ListAround }.into());
        }
        let stat = stat(rootfs, &path, cancellation)?;
        if operand.is_directory && stat.file_type != FileType::Directory {
            return Err(operand.not_a_directory().into());
        }
        let to = match path.file_name() {
            Some(name) if is_directory => {
                let name =
                    std::str::from_utf8(name).map_err(|_| EditError::HostName { path: path.clone() })?;
                destination.join(name)
            }
            // The root goes into an empty directory.
            _ => destination.to_owned(),
        };
        if copies.iter().any(|copy| copy.to == to) {
            return Err(EditError::TwoOfOneName { path: path.clone(), to: to.to_string() }.into());
        }
        check_free(&to, path.is_root())?;
        copies.push(PlannedCopy { path, stat, to });
    }
    Ok(copies)
}

/// Checks that a place is free. A directory may be the place of the root, if it is empty.
fn check_free(place: &Utf8Path, is_root: bool) -> Result<(), OutputError> {
    let found = match fs::symlink_metadata(place) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        found => found.map_err(OutputError::io("look at", place))?,
    };
    let is_empty = || fs::read_dir(place).is_ok_and(|mut entries| entries.next().is_none());
    match is_root && found.is_dir() && is_empty() {
        true => Ok(()),
        false => Err(OutputError::Taken { path: place.to_owned() }),
    }
}

/// A path that waits beside its place, complete.
struct Staged {
    staging: StagingDir,
    is_directory: bool,
    to: Utf8PathBuf,
}

impl PlannedCopy {
    fn stage(
        self,
        rootfs: &dyn Rootfs,
        cancellation: &Cancellation,
        report: &mut GetReport,
    ) -> Result<Staged, GetFailure> {
        let Self { path, stat, to } = self;
        let Some(name) = to.file_name() else {
            return Err(OutputError::Kind { path: to, reason: "has no name of its own" }.into());
        };
        // With a slash at its end it would be in itself.
        let to = parent_of(&to).join(name);
        let staging = staging_beside(&to)?;
        let failed = OutputError::io("write", &to);
        let top = staging.open().map_err(&failed)?;
        let is_directory = stat.file_type == FileType::Directory;
        let mut writer = HostTreeWriter::new(rootfs, top.as_fd(), (&path, &to), cancellation, report);
        let written = match is_directory {
            true => writer.directory(stat),
            false => writer.top_file(&stat, STAGED.as_bytes()),
        };
        written?;
        sync_tree(staging.path()).map_err(&failed)?;
        Ok(Staged { staging, is_directory, to })
    }
}

impl Staged {
    /// Gives the path its name.
    fn publish(self) -> Result<(), OutputError> {
        let Self { staging, is_directory, to } = self;
        let place = staging.path().to_owned();
        let failed = OutputError::io("make", &to);
        let published = match is_directory {
            true => staging.publish(&to),
            false => rename_new(&place.join(STAGED), &to).and_then(|()| sync(&parent_of(&to))),
        };
        published.map_err(|error| match error.kind() {
            io::ErrorKind::AlreadyExists | io::ErrorKind::DirectoryNotEmpty => {
                OutputError::Taken { path: to.clone() }
            }
            _ => failed(error),
        })
    }
}

/// Renames a file, and replaces nothing.
#[cfg(target_os = "linux")]
fn rename_new(from: &Utf8Path, to: &Utf8Path) -> io::Result<()> {
    use rustix::fs::{RenameFlags, renameat_with};
    Ok(renameat_with(CWD, from.as_str(), CWD, to.as_str(), RenameFlags::NOREPLACE)?)
}

/// Renames a file, and replaces nothing that was there a moment ago.
#[cfg(not(target_os = "linux"))]
fn rename_new(from: &Utf8Path, to: &Utf8Path) -> io::Result<()> {
    match fs::symlink_metadata(to) {
        Ok(_) => Err(io::ErrorKind::AlreadyExists.into()),
        Err(_) => Ok(rustix::fs::renameat(CWD, from.as_str(), CWD, to.as_str())?),
    }
}
