//! Documents about kernels, as programs get them.

use camino::{Utf8Path, Utf8PathBuf};
use serde::Serialize;

use super::import::ImportedKernelFile;
use super::kernel_store::{KernelListing, KernelStore, StoredKernel};
use super::record::KernelRecord;
use crate::store::DamagedImage;

/// The record of a kernel with the place of its directory.
#[derive(Clone, Debug, Serialize)]
pub struct KernelDocument<'a> {
    #[serde(flatten)]
    record: &'a KernelRecord,
    path: Utf8PathBuf,
    #[serde(skip_serializing_if = "Option::is_none")]
    unchanged: Option<bool>,
}

impl<'a> KernelDocument<'a> {
    /// Returns the document of the kernel `record` whose directory is `path`.
    pub fn new(record: &'a KernelRecord, path: &Utf8Path) -> Self {
        Self { record, path: path.to_owned(), unchanged: None }
    }
}

impl<'a> From<&'a StoredKernel> for KernelDocument<'a> {
    fn from(kernel: &'a StoredKernel) -> Self {
        Self::new(&kernel.record, &kernel.path)
    }
}

impl<'a> From<&'a ImportedKernelFile> for KernelDocument<'a> {
    fn from(imported: &'a ImportedKernelFile) -> Self {
        Self { unchanged: Some(imported.unchanged), ..Self::from(&imported.stored) }
    }
}

/// The kernels of a store.
#[derive(Clone, Debug, Serialize)]
pub struct KernelListingDocument<'a> {
    version: u32,
    kernels: Vec<KernelDocument<'a>>,
    damaged: &'a [DamagedImage],
}

impl<'a> KernelListingDocument<'a> {
    /// Returns the document of `listing`, which `store` gave.
    pub fn new(listing: &'a KernelListing, store: &KernelStore) -> Self {
        let listed = |record: &'a KernelRecord| KernelDocument::new(record, &store.directory(&record.id));
        Self { version: 1, kernels: listing.kernels.iter().map(listed).collect(), damaged: &listing.damaged }
    }
}
