//! Growing a mounted ext4.

use std::os::fd::AsFd;

use rustix::io::Errno;
use rustix::ioctl::{Setter, ioctl, opcode};

/// `EXT4_IOC_RESIZE_FS` of the kernel's `fs/ext4/ext4.h`: `_IOW('f', 16, __u64)`.
const EXT4_IOC_RESIZE_FS: rustix::ioctl::Opcode = opcode::write::<u64>(b'f', 16);

/// Grows the ext4 that a directory is on to so many blocks.
pub(crate) fn resize_ext4(directory: impl AsFd, blocks: u64) -> Result<(), Errno> {
    // SAFETY: the request is the kernel's for a pointer to one u64, which it only reads; another
    // file system that gives the number another meaning is kept out by the caller, who looked at
    // the type.
    unsafe { ioctl(directory, Setter::<EXT4_IOC_RESIZE_FS, u64>::new(blocks)) }
}
