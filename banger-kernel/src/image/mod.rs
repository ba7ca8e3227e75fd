//! Formats of kernel images: what a file is, and the vmlinux or Image in it.

mod arm64;
mod bz_image;
mod lz4;
mod notes;
mod payload;
mod scan;
mod unpack;

pub(crate) use bz_image::release_in_head;
pub(crate) use payload::is_alone_compressed;
pub(crate) use unpack::{Unpacked, is_kernel_head, unpack_image};

/// The first bytes of an image that its headers lie in.
pub(crate) const HEAD_BYTES: usize = 64 << 10;

/// Returns the little-endian number of 2 bytes at `at`.
fn u16_at(bytes: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_le_bytes(bytes.get(at..at.checked_add(2)?)?.try_into().ok()?))
}

/// Returns the little-endian number of 4 bytes at `at`.
fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_le_bytes(bytes.get(at..at.checked_add(4)?)?.try_into().ok()?))
}
