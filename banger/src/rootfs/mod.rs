//! Reads and edits ext4 files, without root or mount.
//!
//! [`open`] and [`View`] read, [`edit`] and [`Edit`] change; both work on any [`Rootfs`]. Each [`edit`] is
//! atomic: after a crash the file has the old state or the new one. Changes that do not fit the journal of
//! the file system take several commits, and each leaves a sound file system.
//!
//! ```no_run
//! use banger::Cancellation;
//! use banger::rootfs::{Destination, Put, PutSource, edit};
//!
//! let (now, running) = (banger::rootfs::timestamp()?, Cancellation::default());
//! edit("disk.ext4", now, &running, |edit| {
//!     let hostname = PutSource::Reader(&mut &b"guest\n"[..]);
//!     edit.put(vec![hostname], &Destination::parse(b"/etc/hostname")?, &Put::default())
//! })?;
//! # Ok::<(), banger::Error>(())
//! ```

mod acl;
mod advice;
mod attributes;
mod capability;
mod content_match;
mod diff;
mod document;
mod du;
mod edit;
mod error;
mod find;
mod get;
mod glob;
mod inherit;
mod look;
mod make;
mod metadata;
mod mode;
mod moving;
mod owner;
pub(crate) mod pair;
mod patient;
mod place;
mod put;
mod removal;
mod script;
mod sparse_map;
pub(crate) mod tar;
mod tar_file;
mod whole_file;
mod xattr;

use std::ops::Range;
use std::time::{SystemTime, UNIX_EPOCH};

pub use attributes::ChangeOwner;
pub use banger_ext4::{Ext4Editor, FileSystemUsage, RepairReport, VerifyReport};
use banger_tree::Cancellation;
pub use banger_tree::{
    Attributes, FileType, GuestPath, Rootfs, RootfsError, Timestamp, Xattrs, escape_bytes,
};
use camino::Utf8Path;
pub use content_match::{ContentMatch, digest_of};
pub use diff::{DiffReport, DifferenceKind, PathChange, PathDifference, diff};
pub use document::{ChangedPaths, DiffDocument, FileDocument, FoundEntries};
pub use du::{PathUsage, UsageDetail, UsageReport, disk_usage};
pub(crate) use edit::WalkedDirs;
pub use edit::{Destination, Edit, Operand};
pub use error::{EditAdvice, EditError};
pub use find::{Find, PermTest, SizeTest, find};
pub use get::{GetReport, get_files};
pub use glob::Glob;
pub use look::{CopyError, Listing, RootfsEntry, View, parse_time, time_text};
pub use make::{MakeDirectory, MakeLink};
pub use metadata::metadata_of;
pub use mode::ModeChange;
pub use moving::Move;
pub use owner::OwnerChange;
pub use patient::{PatientReader, PatientWriter};
pub use place::{Part, Partition, PlaceError, RootfsPlace, WantedPartition};
pub use put::{Put, PutSource, host_error};
pub use removal::Remove;
pub use script::{EditScript, OperationReport, ScriptReport, edit_by_script, run_script};
use serde::Serialize;
pub use tar::{TarReport, write_tar};
pub use tar_file::{TarDocument, tar_error, write_tar_file};
pub use whole_file::{read_up_to, write_over};
pub use xattr::{remove_xattr, set_xattr, xattr};

use self::content_match::read_back;
use crate::error::Error;
use crate::time::source_date_epoch;
use crate::verity::check_unprotected;

/// Returns the time of an edit: `SOURCE_DATE_EPOCH`, or now.
///
/// # Errors
/// `SOURCE_DATE_EPOCH` is not a number.
pub fn timestamp() -> Result<Timestamp, Error> {
    if let Some(seconds) = source_date_epoch()? {
        return Ok(Timestamp::from_seconds(seconds).clamped_to_ext4());
    }
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let seconds = i64::try_from(now.as_secs()).unwrap_or(i64::MAX);
    Ok(Timestamp { seconds, nanoseconds: now.subsec_nanos() }.clamped_to_ext4())
}

/// Returns the path in a root file system that `text` means.
///
/// # Errors
/// It is empty, or no path.
pub fn parse_path(text: &[u8]) -> Result<GuestPath, EditError> {
    match text {
        b"" => Err(EditError::EmptyPath),
        text => Ok(GuestPath::parse(text).map_err(RootfsError::from)?),
    }
}

/// Opens the ext4 file system at `place` to look into: a file or block device, or a part of one.
///
/// # Errors
/// It is not ext2, ext3 or ext4, is damaged or has an unknown feature. Or the file has no such partition, or is an image
/// of another format; or the host refuses.
pub fn open(place: impl Into<RootfsPlace>) -> Result<Ext4Editor, Error> {
    let place = place.into();
    Ext4Editor::open_range(&place.file, place.range()?).map_err(|error| not_opened(&place, error))
}

/// Opens the ext4 file system at `place` alone, to change it.
///
/// # Errors
/// As [`open`], or another program has the file in use, or a dm-verity hash tree protects it.
pub fn open_to_edit(place: impl Into<RootfsPlace>) -> Result<Ext4Editor, Error> {
    open_alone(&place.into(), Ext4Editor::open_range_to_edit)
}

/// Opens the file system at `place` by `open`, if no hash tree protects it.
fn open_alone(
    place: &RootfsPlace,
    open: fn(&Utf8Path, Range<u64>) -> Result<Ext4Editor, RootfsError>,
) -> Result<Ext4Editor, Error> {
    let editor = open(&place.file, place.range()?).map_err(|error| not_opened(place, error))?;
    if place.part == Part::Whole {
        check_unprotected(&place.file, editor.size_bytes())?;
    }
    Ok(editor)
}

/// Returns the error of a file system that was not opened. It names what the file is instead, where that is known.
fn not_opened(place: &RootfsPlace, error: RootfsError) -> Error {
    let other = match error {
        RootfsError::Unreadable { .. } => place.other_content(),
        _ => None,
    };
    other.map_or_else(|| in_file(&place.file)(error), Error::from)
}

/// Repairs what is unambiguous in the file system at `place`: see [`Ext4Editor::repair`].
///
/// # Errors
/// As [`open_to_edit`], or as [`Ext4Editor::repair`]. Damage that stays is in the report, but what makes the file
/// unreadable is an error.
pub fn repair(place: impl Into<RootfsPlace>, cancellation: &Cancellation) -> Result<RepairReport, Error> {
    let place = place.into();
    let mut editor = open_alone(&place, Ext4Editor::open_range_to_repair)?;
    editor.set_cancellation(cancellation);
    editor.repair().map_err(in_file(&place.file))
}

/// Opens the ext4 file system at `place` alone, does `work` on it at `timestamp`, and makes the changes last. A single file
/// that `work` [put](Edit::put) there is read back from the image, and its bytes are compared.
///
/// # Errors
/// As [`open_to_edit`], or `work` fails; then nothing is changed, or
/// the error is [`EditError::Partly`]. Or a file reads back with other bytes, [`EditError::ReadBack`].
pub fn edit<T>(
    place: impl Into<RootfsPlace>,
    timestamp: Timestamp,
    cancellation: &Cancellation,
    work: impl FnOnce(&mut Edit<'_>) -> Result<T, EditError>,
) -> Result<T, Error> {
    let place = place.into();
    let mut rootfs = open_to_edit(&place)?;
    rootfs.set_cancellation(cancellation);
    change(&mut rootfs, timestamp, cancellation, false, work).map_err(in_file(&place.file))
}

/// Does `work` on a file system that is open, as [`edit`] does. Earlier changes of `rootfs` belong to the commit.
///
/// # Errors
/// As [`edit`]. Then `rootfs` forgets all changes since the last commit.
pub fn edit_open<T>(
    rootfs: &mut Ext4Editor,
    timestamp: Timestamp,
    cancellation: &Cancellation,
    work: impl FnOnce(&mut Edit<'_>) -> Result<T, EditError>,
) -> Result<T, EditError> {
    let done = change(rootfs, timestamp, cancellation, false, work);
    if done.is_err() {
        // The first error says more.
        let _ = rootfs.reopen();
    }
    done
}

/// Does `work` on an open file system, commits it (once, if it `is_atomic`) and reads single files back.
fn change<T>(
    rootfs: &mut Ext4Editor,
    timestamp: Timestamp,
    cancellation: &Cancellation,
    is_atomic: bool,
    work: impl FnOnce(&mut Edit<'_>) -> Result<T, EditError>,
) -> Result<T, EditError> {
    let edit = Edit::new(rootfs, timestamp, cancellation);
    let mut edit = if is_atomic { edit.in_one_commit() } else { edit };
    let outcome = work(&mut edit);
    let (steps, written) = (edit.steps(), edit.take_written());
    let outcome = outcome.and_then(|outcome| edit.commit().map(|()| outcome));
    let outcome = outcome.map_err(|source| match steps {
        0 => source,
        _ => EditError::Partly { source: Box::new(source) },
    })?;
    if !written.is_empty() {
        // The changes are in place, and an interruption now would hide that.
        let unstoppable = Cancellation::default();
        rootfs.set_cancellation(&unstoppable);
        // What is in memory proves nothing.
        rootfs.reopen()?;
        for (path, digest) in &written {
            read_back(rootfs, path, digest, &unstoppable)?;
        }
        rootfs.set_cancellation(cancellation);
    }
    Ok(outcome)
}

/// How large a file system shall be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NewSize {
    /// This many bytes.
    Bytes(u64),
    /// So many bytes more than it has.
    More(u64),
    /// So many bytes less than it has.
    Less(u64),
    /// The smallest that holds its content.
    Min,
}

impl NewSize {
    /// Gives a file system this size; returns the size that it has then.
    pub(crate) fn set(self, rootfs: &mut Ext4Editor) -> Result<u64, RootfsError> {
        let before_bytes = rootfs.size_bytes();
        let size_bytes = match self {
            Self::Bytes(bytes) => bytes,
            Self::More(bytes) => before_bytes.saturating_add(bytes),
            Self::Less(bytes) => before_bytes.saturating_sub(bytes),
            Self::Min => rootfs.minimum_size_bytes()?,
        };
        rootfs.resize(size_bytes)
    }
}

/// Result of [`resize`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Resized {
    /// Size before, in bytes.
    pub before_bytes: u64,
    /// Bytes that it has.
    pub size_bytes: u64,
}

/// Makes the file system at `place` larger or smaller, and the file with it, which stays sparse; all or nothing. In a
/// partition it grows up to the end of the partition.
///
/// The size may become a little smaller than requested, if the end would hold almost only metadata.
///
/// # Errors
/// As [`edit`], or its content needs more than that, or it cannot become so large.
pub fn resize(
    place: impl Into<RootfsPlace>,
    size: NewSize,
    cancellation: &Cancellation,
) -> Result<Resized, Error> {
    let place = place.into();
    let mut rootfs = open_to_edit(&place)?;
    rootfs.set_cancellation(cancellation);
    let before_bytes = rootfs.size_bytes();
    let size_bytes = size.set(&mut rootfs).map_err(in_file(&place.file))?;
    Ok(Resized { before_bytes, size_bytes })
}

/// Returns the error with the name of the file.
pub fn in_file<E: Into<EditError>>(file: &Utf8Path) -> impl FnOnce(E) -> Error {
    let file = file.to_owned();
    move |error| Error::Rootfs { file, source: error.into() }
}
