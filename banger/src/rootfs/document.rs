//! Documents about an ext4 file, as programs get them: the command line and the C library print the same.

use camino::Utf8Path;
use serde::Serialize;

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
