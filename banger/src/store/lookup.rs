//! Records of stored things: how one is read, and how a user's word finds one.

use std::io;

use camino::Utf8Path;
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::error::StoreError;
use super::name::ImageName;
use super::stored_kind::StoredKind;
use crate::host_file::{open_directory, open_plain, read_at_most};
use crate::id::ImageId;

/// Largest size of a record: several times the largest configuration.
const MAX_RECORD_BYTES: u64 = 64 << 20;

/// A record with an id and a name.
pub(crate) trait StoredRecord {
    /// The kind of the thing that has the record.
    const KIND: StoredKind;

    /// Returns the id.
    fn id(&self) -> &ImageId;

    /// Returns the name.
    fn name(&self) -> &ImageName;
}

/// An image or kernel whose record cannot be read.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct DamagedImage {
    /// Name of its directory.
    pub id: String,
    /// The fault of the record.
    pub reason: String,
    /// Whether the record is another user's: it may be sound.
    pub denied: bool,
}

/// Returns the record with this name, id, or unique beginning of an id.
pub(crate) fn look_up<R: StoredRecord>(
    mut records: Vec<R>,
    damaged: Vec<DamagedImage>,
    wanted: &str,
) -> Result<R, StoreError> {
    let what = R::KIND;
    let wanted_text = || wanted.to_owned();
    if let Some(index) = records.iter().position(|record| record.name().as_str() == wanted) {
        return Ok(records.swap_remove(index));
    }
    let is_prefix = |id: &str| !wanted.is_empty() && id.starts_with(wanted);
    records.retain(|record| is_prefix(record.id().as_str()));
    match (records.pop(), records.pop()) {
        (Some(record), None) => Ok(record),
        (Some(_), Some(_)) => Err(StoreError::Ambiguous { what, wanted: wanted_text() }),
        (None, _) => match damaged.into_iter().find(|found| found.denied || is_prefix(&found.id)) {
            // It may be the one that is meant.
            Some(DamagedImage { reason, denied: true, .. }) => Err(StoreError::Denied { reason }),
            Some(DamagedImage { id, reason, .. }) => Err(StoreError::Damaged { what, id, reason }),
            None => Err(StoreError::NotFound { what, wanted: wanted_text() }),
        },
    }
}

/// Reads the record of `id`, the file `file_name` in `directory`.
pub(crate) fn read_record<R: StoredRecord>(
    directory: &Utf8Path,
    id: &ImageId,
    file_name: &str,
    parse: impl FnOnce(&[u8]) -> Result<R, String>,
) -> Result<R, DamagedImage> {
    let path = directory.join(file_name);
    let damaged = |reason, denied| DamagedImage { id: id.to_string(), reason, denied };
    let unreadable = |path: &Utf8Path, error: io::Error| {
        let denied = error.kind() == io::ErrorKind::PermissionDenied;
        damaged(format!("cannot read {path}: {error}"), denied)
    };
    let opened = open_directory(directory).map_err(|error| unreadable(directory, error))?;
    let read = open_plain(&opened, file_name).and_then(|file| read_at_most(&file, MAX_RECORD_BYTES));
    let text = read.map_err(|error| unreadable(&path, error))?;
    let record =
        parse(&text).map_err(|error| damaged(format!("cannot understand {path}: {error}"), false))?;
    match record.id() == id {
        true => Ok(record),
        false => Err(damaged(format!("{path} is the record of the {} {}", R::KIND, record.id()), false)),
    }
}

/// Returns the record that `json` holds, of a format up to the version `newest`.
pub(crate) fn parse_record<R: DeserializeOwned>(json: &[u8], newest: u32) -> Result<R, String> {
    #[derive(serde::Deserialize)]
    struct Versioned {
        version: u32,
    }
    let Versioned { version } = serde_json::from_slice(json).map_err(|error| error.to_string())?;
    if version > newest {
        return Err(format!("format {version} is newer than {newest}; update banger"));
    }
    serde_json::from_slice(json).map_err(|error| error.to_string())
}
