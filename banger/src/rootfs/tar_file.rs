//! A path of an ext4 file as a tar on this host.

use std::io::{self, BufWriter, Write};

use banger_tree::{Cancellation, Existing, GuestPath, HostPlace, NewFile};
use camino::Utf8Path;
use serde::Serialize;

use super::error::EditError;
use super::look::CopyError;
use super::tar::{TarReport, write_tar};
use super::{RootfsPlace, in_file, open};
use crate::error::Error;
use crate::host_file::mode_limit;
use crate::output::{MODE, OutputError, check_not_source};

/// A tar that was written, as programs get it. Its JSON form is the output of `banger rootfs tar --json`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct TarDocument {
    /// The path in the ext4 file.
    pub path: GuestPath,
    /// Number of entries.
    pub entries: u64,
    /// Bytes of files in the tar, without holes.
    pub content_bytes: u64,
    /// The first warnings: files that the tar does not have.
    pub warnings: Vec<String>,
    /// Number of all warnings.
    pub warning_count: u64,
}

impl TarDocument {
    /// Returns the document of a tar of `path`.
    pub fn new(path: GuestPath, report: TarReport) -> Self {
        let TarReport { entries, content_bytes, warnings, warning_count, .. } = report;
        Self { path, entries, content_bytes, warnings, warning_count }
    }
}

/// Writes `path` of the ext4 file system at `place`, as [`write_tar`] does, to the file `output` of this host. The file is
/// complete when this returns. Nobody may read it who may not read the ext4 file. `replace` says whether it may replace a file.
///
/// # Errors
/// The ext4 file or the path cannot be read, the output exists or cannot be written, or the caller asks to stop. Then
/// nothing is written.
pub fn write_tar_file(
    place: impl Into<RootfsPlace>,
    path: &GuestPath,
    output: &Utf8Path,
    replace: bool,
    cancellation: &Cancellation,
) -> Result<TarReport, Error> {
    let place = place.into();
    let file = place.file.as_path();
    check_not_source(output, file)?;
    let existing = if replace { Existing::Replace } else { Existing::Keep };
    let failed = OutputError::new_file(output);
    HostPlace::open(output.as_std_path()).and_then(|place| place.check(existing)).map_err(&failed)?;
    let mut rootfs = open(&place)?;
    rootfs.set_cancellation(cancellation);
    let source = std::fs::metadata(file).map_err(OutputError::io("read", file))?;
    let new = NewFile::create(output.as_std_path(), MODE).map_err(&failed)?.limited_to(mode_limit(&source));
    let mut new = BufWriter::new(new);
    let report = write_tar(&rootfs, path, &mut new, &|_| false, cancellation);
    let report = report.and_then(|report| new.flush().map(|()| report).map_err(CopyError::Output));
    let report = report.map_err(|error| {
        tar_error(error, file, cancellation, |error| Error::from(OutputError::io("write", output)(error)))
    })?;
    let new = new.into_inner().map_err(|error| OutputError::io("write", output)(error.into_error()))?;
    new.publish(existing).map_err(failed)?;
    Ok(report)
}

/// Returns the error of a tar of the ext4 file `file` that was not written; `output` makes that of the output.
pub fn tar_error<E: From<Error>>(
    error: CopyError,
    file: &Utf8Path,
    cancellation: &Cancellation,
    output: impl FnOnce(io::Error) -> E,
) -> E {
    match error {
        _ if cancellation.is_cancelled() => Error::Cancelled.into(),
        CopyError::Read(EditError::Cancelled) => Error::Cancelled.into(),
        CopyError::Read(error) => in_file(file)(error).into(),
        CopyError::Output(error) => output(error),
    }
}
