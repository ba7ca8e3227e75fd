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
mod attributes;
mod capability;
mod document;
mod edit;
mod error;
mod inherit;
mod look;
mod make;
mod metadata;
mod mode;
mod moving;
mod owner;
mod patient;
mod place;
mod put;
mod removal;
mod sparse_map;
pub(crate) mod tar;
mod tar_file;
mod whole_file;
mod xattr;

use std::time::{SystemTime, UNIX_EPOCH};

pub use attributes::ChangeOwner;
pub use banger_ext4::Ext4Editor;
use banger_tree::Cancellation;
pub use banger_tree::{
    Attributes, FileType, GuestPath, Rootfs, RootfsError, Timestamp, Xattrs, escape_bytes,
};
use camino::Utf8Path;
pub use document::FileDocument;
pub(crate) use edit::WalkedDirs;
pub use edit::{Destination, Edit, Operand};
pub use error::{EditAdvice, EditError};
pub use look::{CopyError, Listing, RootfsEntry, View, time_text};
pub use make::{MakeDirectory, MakeLink};
pub use metadata::metadata_of;
pub use mode::ModeChange;
pub use moving::Move;
pub use owner::OwnerChange;
pub use patient::{PatientReader, PatientWriter};
pub use place::{Part, Partition, PlaceError, RootfsPlace, WantedPartition};
pub use put::{Put, PutSource};
pub use removal::Remove;
use serde::Serialize;
pub use tar::{TarReport, write_tar};
pub use tar_file::{TarDocument, tar_error, write_tar_file};
pub use whole_file::{read_up_to, write_over};
pub use xattr::{remove_xattr, set_xattr, xattr};

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
    let opened = match place.range()? {
        None => Ext4Editor::open(&place.file),
        Some(range) => Ext4Editor::open_range(&place.file, range),
    };
    opened.map_err(not_opened(&place))
}

/// Opens the ext4 file system at `place` alone, to change it.
///
/// # Errors
/// As [`open`], or another program has the file in use, or a dm-verity hash tree protects it.
pub fn open_to_edit(place: impl Into<RootfsPlace>) -> Result<Ext4Editor, Error> {
    let place = place.into();
    let opened = match place.range()? {
        None => Ext4Editor::open_to_edit(&place.file),
        Some(range) => Ext4Editor::open_range_to_edit(&place.file, range),
    };
    let editor = opened.map_err(not_opened(&place))?;
    if place.part == Part::Whole {
        check_unprotected(&place.file, editor.size_bytes())?;
    }
    Ok(editor)
}

/// Returns the error of a file system that was not opened. It names what the file is instead, where that is known.
fn not_opened(place: &RootfsPlace) -> impl FnOnce(RootfsError) -> Error {
    let place = place.clone();
    move |error| match &error {
        RootfsError::Unreadable { .. } => match place.other_content() {
            Some(other) => other.into(),
            None => in_file(&place.file)(error),
        },
        _ => in_file(&place.file)(error),
    }
}

/// Opens the ext4 file system at `place` alone, does `work` on it at `timestamp`, and makes the changes last.
///
/// # Errors
/// As [`open_to_edit`], or `work` fails; then nothing is changed, or
/// the error is [`EditError::Partly`].
pub fn edit<T>(
    place: impl Into<RootfsPlace>,
    timestamp: Timestamp,
    cancellation: &Cancellation,
    work: impl FnOnce(&mut Edit<'_>) -> Result<T, EditError>,
) -> Result<T, Error> {
    let place = place.into();
    let mut rootfs = open_to_edit(&place)?;
    rootfs.set_cancellation(cancellation);
    let mut edit = Edit::new(&mut rootfs, timestamp, cancellation);
    let outcome = work(&mut edit);
    let steps = edit.steps();
    let outcome = outcome.and_then(|outcome| edit.commit().map(|()| outcome));
    outcome.map_err(|source| match steps {
        0 => in_file(&place.file)(source),
        _ => in_file(&place.file)(EditError::Partly { source: Box::new(source) }),
    })
}

/// How large a file system shall be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NewSize {
    /// This many bytes.
    Bytes(u64),
    /// So many bytes more than it has.
    More(u64),
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

/// Makes the file system at `place` larger, and the file with it, which stays sparse; all or nothing. In a partition it
/// grows up to the end of the partition.
///
/// The size may become a little smaller than requested, if the end would hold almost only metadata.
///
/// # Errors
/// As [`edit`], or it is larger than that or cannot become so large.
pub fn resize(
    place: impl Into<RootfsPlace>,
    size: NewSize,
    cancellation: &Cancellation,
) -> Result<Resized, Error> {
    let place = place.into();
    let mut rootfs = open_to_edit(&place)?;
    rootfs.set_cancellation(cancellation);
    let before_bytes = rootfs.size_bytes();
    let wanted = match size {
        NewSize::Bytes(bytes) => bytes,
        NewSize::More(bytes) => before_bytes.saturating_add(bytes),
    };
    let size_bytes = rootfs.grow(wanted).map_err(in_file(&place.file))?;
    Ok(Resized { before_bytes, size_bytes })
}

/// Returns the error with the name of the file.
pub fn in_file<E: Into<EditError>>(file: &Utf8Path) -> impl FnOnce(E) -> Error {
    let file = file.to_owned();
    move |error| Error::Rootfs { file, source: error.into() }
}
