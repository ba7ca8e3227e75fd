//! Tests of the library through its public interface.
#![allow(clippy::unwrap_used, reason = "a test fails where it unwraps")]

mod guest;
mod hostile_guest;
mod leases;
mod rootfs_cost;
