//! The C ABI of banger. `include/banger.h` is made of this crate by `cargo xtask header`; the doc comments
//! here are its manual.
//!
//! No logic lives here: a function parses its arguments, calls the `banger` crate and converts the answer.
//! [`call::guarded`] is the body of every function that can fail.

#[cfg(panic = "abort")]
compile_error!("banger-ffi needs panic = \"unwind\": a panic becomes error 510");

pub mod boot;
mod c_text;
mod call;
pub mod cancel;
pub mod clone;
pub mod commit;
pub mod dir;
pub mod error;
pub mod event;
pub mod exec;
pub mod guest;
pub mod image;
pub mod kernel;
pub mod metadata;
mod object;
pub mod option_keys;
mod option_kinds;
mod option_reader;
pub mod options;
pub mod plan;
pub mod pull;
pub mod push;
pub mod register;
pub mod registry;
mod request;
pub mod rootfs;
pub mod rootfs_edit;
pub mod rootfs_tar;
pub mod rootfs_whole;
mod signals;
mod sized;
mod sources;
pub mod store;
pub mod string;
mod task;
#[cfg(test)]
mod tests;
mod turns;
pub mod version;
mod vm;
