//! The `banger` command as users run it: real images, a real registry, real interruptions.

#![allow(clippy::unwrap_used, reason = "what fails in a test shall panic, in its helpers too")]

mod bad_input;
mod boot;
mod cache;
mod commands;
mod confinement;
mod copies;
mod error_texts;
mod foreign_sources;
mod guest_copy;
mod guest_hostile;
mod help;
mod host_files;
mod image_choice;
mod image_push;
mod image_push_signed;
mod injection;
mod interruption;
mod kernel;
mod kernel_bundle;
mod kernel_download;
mod kernel_ref;
mod logs;
mod memory;
mod output;
mod prompt;
mod real_images;
mod register;
mod registries;
mod registry_failures;
mod reproducible;
mod rootfs_build;
mod rootfs_commands;
mod rootfs_edit;
mod rootfs_stop;
mod secured;
mod sources;
mod store_trust;
mod support;
mod tar_ends;
mod terminal;
mod terminal_images;
mod trust;
mod two_pulls;
mod weather;
