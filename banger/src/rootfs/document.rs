//! Documents about an ext4 file, as programs get them: the command line and the C library print the same.

use banger_tree::GuestPath;
use camino::Utf8Path;
use serde::Serialize;

use super::diff::DiffReport;
use super::look::RootfsEntry;

/// What a call found or did, with the ext4 file that it was about.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct FileDocument<'a, T> {
    version: u32,
    file: &'a Utf8Path,
    #[serde(flatten)]
    report: T,
}

impl<'a, T> FileDocument<'a, T> {
    /// Returns the document of `report` on `file`.
    pub fn new(file: &'a Utf8Path, report: T) -> Self {
        Self { version: 1, file, report }
    }
}

/// Paths that an edit changed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct ChangedPaths {
    /// The paths.
    pub paths: Vec<GuestPath>,
}

impl ChangedPaths {
    /// Returns the document of `paths`.
    pub fn new(paths: Vec<GuestPath>) -> Self {
        Self { paths }
    }
}

/// Files that a search found.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct FoundEntries {
    /// The files.
    pub entries: Vec<RootfsEntry>,
}

impl FoundEntries {
    /// Returns the document of `entries`.
    pub fn new(entries: Vec<RootfsEntry>) -> Self {
        Self { entries }
    }
}

/// How another ext4 file differs.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct DiffDocument<'a> {
    other: &'a Utf8Path,
    #[serde(flatten)]
    report: &'a DiffReport,
}

impl<'a> DiffDocument<'a> {
    /// Returns the document of `report` on the second file `other`.
    pub fn new(other: &'a Utf8Path, report: &'a DiffReport) -> Self {
        Self { other, report }
    }
}
