//! Kernels for the root file systems of banger: where they come from, what they can start, and how.

pub mod initramfs;
