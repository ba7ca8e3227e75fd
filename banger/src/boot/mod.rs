//! Starts images: the small initramfs of a kernel.

mod initramfs;

pub use banger_kernel::initramfs::{InitramfsCompression, InitramfsError, InitramfsOptions, RootDisk};
pub use initramfs::small_initramfs;
