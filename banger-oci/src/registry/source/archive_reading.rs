//! Readers of the bytes of an archive.

use std::fs::File;
use std::io::Read;
use std::os::unix::fs::FileExt;
use std::sync::Arc;

use banger_tree::{Budget, Cost};
use camino::{Utf8Path, Utf8PathBuf};

use crate::registry::error::PullError;
use crate::registry::stop::PullStop;

/// Reads a file from its start without moving the offset that others see.
pub(super) struct SharedFile {
    file: Arc<File>,
    position: u64,
}

impl SharedFile {
    pub(super) fn new(file: Arc<File>) -> Self {
        Self { file, position: 0 }
    }
}

impl Read for SharedFile {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let count = self.file.read_at(buffer, self.position)?;
        self.position += count as u64;
        Ok(count)
    }
}

/// Charges the decompressed bytes, and ends when the pull is cancelled.
pub(super) struct Metered {
    inner: Box<dyn Read + Send>,
    budget: Budget,
    cancel: PullStop,
    path: Utf8PathBuf,
}

impl Metered {
    pub(super) fn new(
        inner: Box<dyn Read + Send>,
        budget: &Budget,
        cancel: &PullStop,
        path: &Utf8Path,
    ) -> Self {
        Self { inner, budget: budget.clone(), cancel: cancel.clone(), path: path.to_owned() }
    }
}

impl Read for Metered {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        self.cancel.check().map_err(PullError::into_io)?;
        let count = self.inner.read(buffer)?;
        let charged = self.budget.charge(Cost::InflatedBytes, count as u64);
        charged.map_err(|over| PullError::over_budget(self.path.as_str())(over).into_io())?;
        Ok(count)
    }
}
