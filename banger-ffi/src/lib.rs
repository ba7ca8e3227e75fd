//! The C ABI of banger. `include/banger.h` is made of this crate by `cargo xtask header`; the doc comments
//! here are its manual.
//!
//! No logic lives here: a function parses its arguments, calls the `banger` crate and converts the answer.
//! [`call::guarded`] is the body of every function that can fail.

#[cfg(panic = "abort")]
compile_error!("banger-ffi needs panic = \"unwind\": a panic becomes error 510");

mod boot;
mod call;
mod cancel;
mod error;
mod event;
mod exec;
mod guest;
mod image;
mod metadata;
mod options;
mod pull;
mod request;
mod rootfs;
mod rootfs_edit;
mod sized;
mod store;
mod string;
mod task;
mod version;
