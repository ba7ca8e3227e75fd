//! The `banger` command as users run it: real images, a real registry, real interruptions.

#![allow(clippy::unwrap_used, reason = "what fails in a test shall panic, in its helpers too")]

mod bad_input;
mod cache;
mod commands;
mod confinement;
mod copies;
mod guest_copy;
mod injection;
mod interruption;
mod memory;
mod output;
mod real_images;
mod reproducible;
mod rootfs_build;
mod rootfs_commands;
mod rootfs_edit;
mod rootfs_stop;
mod secured;
mod support;
