//! The small initramfs of a stored kernel, kept in the cache.

use std::fs;
use std::io;

use banger_kernel::Kernel;
use banger_kernel::initramfs::{InitramfsOptions, ModuleDirectory, make_initramfs};
use banger_oci::Digest;
use camino::Utf8PathBuf;

use crate::dirs::Dirs;
use crate::error::Error;
use crate::guest_binary::{GuestOptions, guest_binary};
use crate::output::{OutputError, OutputFile};

/// The directory of the files in the cache.
const DIRECTORY: &str = "initramfs";

/// Returns the small initramfs of `kernel`: a file in the cache of `dirs` that has its digest as its name. The
/// function makes the file if it is missing. Returns `None` if the kernel has no modules and `options` do not ask for a
/// verified root: then all its drivers are built in.
///
/// # Errors
/// The kernel lacks a driver that `options` ask for, its modules cannot be read or are damaged, there is no guest
/// binary for its processor, or the cache cannot be written.
pub fn small_initramfs(
    kernel: &Kernel,
    dirs: &Dirs,
    options: &InitramfsOptions,
) -> Result<Option<Utf8PathBuf>, Error> {
    if kernel.files.modules.is_none() && !options.verity {
        return Ok(None);
    }
    let guest = guest_binary(&GuestOptions::default(), kernel.architecture.name())?;
    let initramfs = match &kernel.files.modules {
        Some(modules) => make_initramfs(&kernel.release, &ModuleDirectory::new(modules), &guest, options)?,
        None => {
            let no_modules = |_: &str, _: u64| Ok(None);
            make_initramfs(&kernel.release, &no_modules, &guest, &options.clone().with_all_builtin())?
        }
    };
    let digest = Digest::of(&initramfs.bytes);
    let directory = dirs.cache.join(DIRECTORY);
    let path = directory.join(format!("{}.cpio", digest.hex()));
    // A file of this name is complete: it was published by a rename.
    if path.is_file() {
        return Ok(Some(path));
    }
    fs::create_dir_all(&directory).map_err(OutputError::io("create", &directory))?;
    let written = OutputFile::create(&path, false).and_then(|file| {
        fs::write(file.partial_path(), &initramfs.bytes).map_err(OutputError::io("write", &path))?;
        file.publish()
    });
    match written {
        // Another process was faster.
        Err(OutputError::Exists { .. }) => {}
        Err(OutputError::Io { source, .. }) if source.kind() == io::ErrorKind::AlreadyExists => {}
        other => other?,
    }
    Ok(Some(path))
}
