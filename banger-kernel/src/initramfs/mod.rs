//! The small initramfs: loads the drivers of the root disk, and mounts the root file system.
//!
//! The kernels of distributions have the drivers of most disks as modules. They need an initramfs that loads
//! them. The one of a distribution has tools, libraries and a shell, and has to be made on a machine with that
//! distribution. [`make_initramfs`] makes another from the module directory of any kernel and the guest binary
//! of banger. It has three kinds of files:
//!
//! - `/init`, the guest binary; it does the work in its role `banger-initramfs`;
//! - [`/banger/modules`](banger_guest::config::paths::INITRAMFS_MODULES), the needed modules, decompressed; their names begin with
//!   their place in the order of loading;
//! - [`/banger/kernel`](banger_guest::config::paths::INITRAMFS_KERNEL), the release of the kernel that the modules are for.
//!
//! The same input gives the same bytes. `docs/initramfs.md` of the project describes the boot.
//!
//! ```
//! use banger_kernel::initramfs::{InitramfsOptions, RootDisk, make_initramfs};
//!
//! // A kernel with everything built in.
//! let modules = |path: &str, _max_bytes: u64| {
//!     let builtin = b"kernel/drivers/block/virtio_blk.ko\nkernel/drivers/virtio/virtio_mmio.ko\nkernel/fs/ext4/ext4.ko\n";
//!     Ok((path == "modules.builtin").then(|| builtin.to_vec()))
//! };
//! # let guest: &[u8] = b"\x7fELF\x02\x01\x01\0\0\0\0\0\0\0\0\0\x02\0\x3e\0";
//! let initramfs = make_initramfs("6.12.1", &modules, guest, &InitramfsOptions::default())?;
//! assert_eq!(initramfs.disks, [RootDisk::VirtioMmio]);
//! assert!(initramfs.modules.is_empty());
//! # Ok::<(), banger_kernel::initramfs::InitramfsError>(())
//! ```
//!
//! # Limits
//!
//! - The root file system must be ext4, on a partition or a whole disk. LVM, RAID and encryption are not
//!   supported.
//! - `modules.dep` and the modules are foreign input. The size of each file, the number of modules and their
//!   total size have limits.

mod archive;
mod error;
mod index;
mod load_order;
mod modinfo;
mod module_file;
mod options;
mod source;

pub use error::InitramfsError;
pub use options::{InitramfsCompression, InitramfsOptions, RootDisk, UnknownRootDisk};
pub use source::{ModuleDirectory, ModuleSource};

use index::ModuleIndex;
use load_order::LoadOrder;
use modinfo::machine;
use options::{FILE_SYSTEM, VERITY_DRIVERS, VERITY_HASHES};

/// A finished initramfs.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Initramfs {
    /// The file: a cpio archive, compressed if the options ask for it.
    pub bytes: Vec<u8>,
    /// The names of the modules in it, in the order of loading. Drivers that the kernel has built in are not
    /// in this list.
    pub modules: Vec<String>,
    /// The kinds of root disks that the kernel reaches with it.
    pub disks: Vec<RootDisk>,
}

/// Makes the initramfs of a kernel.
///
/// `release` is the kernel's release, for example `6.1.0-50-cloud-amd64`. `modules` gives the files of its
/// module directory. `guest` is the static guest binary for the kernel's architecture, for example that of
/// `banger::embedded_guest`.
///
/// # Errors
///
/// [`InitramfsError::MissingDriver`] if the kernel lacks a driver; other errors if a file cannot be read, is
/// damaged, is for another kernel, or exceeds a limit.
pub fn make_initramfs(
    release: &str,
    modules: &dyn ModuleSource,
    guest: &[u8],
    options: &InitramfsOptions,
) -> Result<Initramfs, InitramfsError> {
    if release.is_empty() || !release.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'/') {
        return Err(InitramfsError::Release { release: release.to_owned() });
    }
    let machine = machine(guest).ok_or(InitramfsError::Guest)?;
    let index = ModuleIndex::read(modules, &options.builtin)?;
    let mut order = LoadOrder::new(release, machine, modules, &index);
    let mut disks = Vec::new();
    for disk in RootDisk::ALL {
        match order.add_all(disk.drivers(), disk.description()) {
            Ok(()) => disks.push(disk),
            Err(InitramfsError::MissingDriver { .. }) if !options.disks.contains(&disk) => {}
            Err(error) => return Err(error),
        }
    }
    if disks.is_empty() {
        return Err(InitramfsError::NoRootDisk { release: release.to_owned() });
    }
    order.add_all(&[FILE_SYSTEM], "the root file system")?;
    if options.verity {
        order.add_all(&VERITY_DRIVERS, "a root file system that dm-verity verifies")?;
        for hash in VERITY_HASHES {
            order.add_wanted(hash, "dm-verity")?;
        }
    }
    for module in &options.modules {
        order.add_all(&[module], "the caller of this function")?;
    }
    for module in &options.optional_modules {
        match order.add_all(&[module], "the caller of this function") {
            Ok(()) | Err(InitramfsError::MissingDriver { .. }) => {}
            Err(error) => return Err(error),
        }
    }
    let files = order.finish();
    let bytes = archive::write(release, guest, &files, options.compression)?;
    Ok(Initramfs { bytes, modules: files.into_iter().map(|file| file.name).collect(), disks })
}

#[cfg(test)]
mod tests;
