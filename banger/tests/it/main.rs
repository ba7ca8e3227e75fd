//! Tests of the library through its public interface.
#![allow(clippy::unwrap_used, reason = "a test fails where it unwraps")]

#[cfg(feature = "tokio")]
mod asynchronous;
mod clone;
mod commit;
mod commit_edits;
mod commit_targets;
mod doctor;
mod fleet;
mod guest;
mod guest_binary;
mod guest_cancel;
mod hostile_guest;
mod kernels;
mod leases;
mod many_pulls;
mod one_crate;
mod pull_to_fd;
mod rootfs_artifact;
mod rootfs_artifact_reuse;
mod rootfs_artifact_weather;
mod rootfs_cost;
mod rootfs_places;
mod sigpipe;
mod verity;
