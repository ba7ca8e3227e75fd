//! The facts that a check needs: what a kernel has, and what an image is.

use std::collections::BTreeSet;

use banger_ext4::Ext4Editor;
use banger_kernel::check::{GuestFacts, KernelConfig, KernelFacts};
use banger_kernel::{Kernel, MODULES_DEP};
use banger_tree::{Cancellation, FileType, GuestPath, Rootfs as _, RootfsError};
use camino::Utf8Path;

use super::image::BootImage;
use crate::error::Error;
use crate::host_file::{open_plain_path, read_at_most};
use crate::store::StoreError;

/// Largest configuration and largest list of modules: many times those of a distribution.
const MAX_LIST_BYTES: u64 = 64 << 20;
/// Most directories of modules that are told of.
const MAX_RELEASES: usize = 64;
const BUILTIN: &str = "modules.builtin";
/// The programs that a kernel tries in this order, if it is not told one (`init/main.c`).
const INITS: [&str; 4] = ["/sbin/init", "/etc/init", "/bin/init", "/bin/sh"];

/// Returns what a kernel has: from its configuration, `modules.builtin` and `modules.dep`. An import takes the
/// configuration out of the kernel itself where no file has it.
///
/// # Errors
/// A file exists and cannot be read, or is larger than any such file.
pub fn kernel_facts(kernel: &Kernel) -> Result<KernelFacts, Error> {
    let files = &kernel.files;
    let config = files.config.as_deref().map(read_text).transpose()?.flatten();
    let config = config.map(|text| KernelConfig::parse(&text)).filter(|config| !config.is_empty());
    let list = |name: &str| -> Result<Option<BTreeSet<String>>, Error> {
        let Some(directory) = &files.modules else { return Ok(None) };
        Ok(read_text(&directory.join(name))?.map(|text| KernelFacts::module_names(&text)))
    };
    Ok(KernelFacts::new(&kernel.release)
        .with_config(config)
        .with_builtin(list(BUILTIN)?)
        .with_modules(list(MODULES_DEP)?))
}

/// Returns the text of a file; `None` if it does not exist.
fn read_text(path: &Utf8Path) -> Result<Option<String>, Error> {
    let read = open_plain_path(path).and_then(|file| read_at_most(&file, MAX_LIST_BYTES));
    match read {
        Ok(bytes) => Ok(Some(String::from_utf8_lossy(&bytes).into_owned())),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(source) => Err(StoreError::io("read", path, source).into()),
    }
}

/// Returns what is known of an image. A managed image has architecture and contract in its record; those of other
/// images are detected, as an injection does. `init` is the value of `init=` on the kernel's command line.
///
/// # Errors
/// The image cannot be read, or the caller asks to stop.
pub fn guest_facts(
    image: &BootImage,
    init: Option<&str>,
    cancellation: &Cancellation,
) -> Result<GuestFacts, Error> {
    let rootfs = image.editor(cancellation)?;
    let architecture = match image.recorded_architecture() {
        Some(architecture) => Some(architecture),
        None => image.detected_architecture(&rootfs)?,
    };
    let contract = match image.record.as_ref().and_then(|record| record.boot_contract) {
        Some(contract) => Some(contract),
        None => banger_boot::boot_contract(&rootfs)?,
    };
    let has_init = has_init(&rootfs, init).map_err(image.failed())?;
    let releases = module_releases(&rootfs).map_err(image.failed())?;
    Ok(GuestFacts::default()
        .with_architecture(architecture)
        .with_contract(contract)
        .with_init(has_init)
        .with_features(rootfs.features().to_vec())
        .with_module_releases(releases))
}

/// Returns whether the kernel finds a program to start.
fn has_init(rootfs: &Ext4Editor, init: Option<&str>) -> Result<bool, RootfsError> {
    for program in init.map_or_else(|| INITS.to_vec(), |init| vec![init]) {
        let path = GuestPath::parse(program)?;
        if banger_boot::find_program(rootfs, &path)?.is_some() {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Returns the names of the directories in `/lib/modules`, in order.
fn module_releases(rootfs: &Ext4Editor) -> Result<Vec<String>, RootfsError> {
    let place = GuestPath::parse("/lib/modules")?;
    let entries = match rootfs.resolve(&place).and_then(|real| rootfs.read_dir(&real)) {
        Ok(entries) => entries,
        Err(RootfsError::NotFound { .. } | RootfsError::NotADirectory { .. } | RootfsError::Symlinks(_)) => {
            return Ok(Vec::new());
        }
        Err(error) => return Err(error),
    };
    let directories = entries.into_iter().filter(|entry| entry.file_type == FileType::Directory);
    let mut names: Vec<String> =
        directories.filter_map(|entry| String::from_utf8(entry.name).ok()).take(MAX_RELEASES).collect();
    names.sort_unstable();
    Ok(names)
}
