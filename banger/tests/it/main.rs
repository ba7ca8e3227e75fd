//! Tests of the library through its public interface.
#![allow(clippy::unwrap_used, reason = "a test fails where it unwraps")]

#[cfg(feature = "tokio")]
mod asynchronous;
mod guest;
mod guest_cancel;
mod hostile_guest;
<<<<<<< HEAD
mod one_crate;
=======
mod leases;
>>>>>>> lease
mod rootfs_cost;
mod sigpipe;
