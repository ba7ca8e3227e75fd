//! Kernels come out of every kind of source, are checked, and start by plans and a small initramfs.
#![allow(
    clippy::unwrap_used,
    clippy::print_stderr,
    reason = "a test fails by panicking, and says what it skips"
)]

mod boot_plan;
mod bundle;
mod bundle_damage;
mod bundle_editor;
mod check;
mod depmod;
mod formats;
mod hostile;
mod initramfs;
mod real;
mod schema;
mod sources;
mod support;
