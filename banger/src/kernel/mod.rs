//! Kernels: taken from packages, directories, images and files, and kept in a store.
//!
//! ```text
//! <state>/kernels/<id>/vmlinux       or Image: the kernel, not compressed
//! <state>/kernels/<id>/bzImage       the file that the vmlinux came out of
//! <state>/kernels/<id>/initrd        an initrd that the user gave
//! <state>/kernels/<id>/config        the full .config
//! <state>/kernels/<id>/modules/      the content of /lib/modules/<release>, with modules.dep
//! <state>/kernels/<id>/kernel.json   the record
//! ```
//! Staging directories, locks and leases are those of the image store (`crate::store`).

mod catalog;
mod digests;
mod document;
mod import;
mod kernel_store;
mod merge;
mod open_source;
mod pack;
mod placing;
mod pull;
mod record;
mod source;

pub use catalog::{CatalogError, KernelCatalog};
pub use document::{KernelDocument, KernelListingDocument};
pub use import::{ImportedKernelFile, KernelImportRequest, import_kernel};
pub use kernel_store::{KERNEL_RECORD_FILE, KernelListing, KernelStore, StoredKernel};
pub use pack::{KernelPackRequest, PackedKernel, PackedKernels, pack_kernels};
pub use pull::{KernelPullRequest, pull_kernel};
pub use record::{
    KernelBundleRecord, KernelConfigRecord, KernelFileRecord, KernelModulesRecord, KernelRecord,
};
pub use source::KernelSourceName;

pub(crate) use digests::{directory_digest, file_digest, file_record};
pub(crate) use merge::{has_vsock_module, merge_modules};
pub(crate) use placing::{place_directory, place_file, place_kernel};
