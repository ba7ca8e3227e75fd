//! The modules of a kernel in a root file system.

use std::borrow::Cow;
use std::fs;

use banger_boot::{VSOCK_MODULE, merge_files};
use banger_guest::config::paths;
use banger_kernel::check::KernelFacts;
use banger_kernel::{Kernel, MODULES_DEP, ModuleSet};
use banger_tree::{Cancellation, Rootfs, Timestamp};
use camino::Utf8Path;

use crate::error::Error;
use crate::host_file::{open_plain_path, read_at_most};
use crate::store::StoreError;

/// Largest file beside modules that is merged; that of a module has a limit of its own.
const MAX_FILE_BYTES: u64 = 64 << 20;

/// Returns whether a kernel has vsock as a module.
pub(crate) fn has_vsock_module(kernel: &Kernel) -> Result<bool, Error> {
    let Some(directory) = &kernel.files.modules else { return Ok(false) };
    let path = directory.join(MODULES_DEP);
    let text = fs::read(&path).map_err(|source| StoreError::io("read", &path, source))?;
    Ok(KernelFacts::module_names(&String::from_utf8_lossy(&text)).contains(VSOCK_MODULE))
}

/// Puts the modules of a kernel and the indexes that `depmod` makes into `/lib/modules/<release>`. Their time is
/// `timestamp`.
pub(crate) fn merge_modules(
    rootfs: &mut dyn Rootfs,
    kernel: &Kernel,
    timestamp: Timestamp,
    cancellation: &Cancellation,
) -> Result<(), Error> {
    let Some(directory) = &kernel.files.modules else { return Ok(()) };
    let set = ModuleSet::read(directory, cancellation)?;
    let files = set.files.iter().map(|path| match cancellation.is_cancelled() {
        true => Err(Error::Cancelled),
        false => Ok((path.as_str(), Cow::from(read_file(&directory.join(path))?))),
    });
    let indexes = set.indexes.iter().map(|(name, bytes)| Ok((*name, Cow::from(bytes))));
    merge_files(rootfs, &format!("{}/{}", paths::MODULES, kernel.release), timestamp, files.chain(indexes))
}

fn read_file(path: &Utf8Path) -> Result<Vec<u8>, StoreError> {
    let read = open_plain_path(path).and_then(|file| read_at_most(&file, MAX_FILE_BYTES));
    read.map_err(|source| StoreError::io("read", path, source))
}
