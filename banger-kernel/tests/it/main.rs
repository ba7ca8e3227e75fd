//! Kernels come out of every kind of source, and nothing comes out of damaged ones.
#![allow(
    clippy::unwrap_used,
    clippy::print_stderr,
    reason = "a test fails by panicking, and says what it skips"
)]

mod formats;
mod hostile;
mod real;
mod sources;
mod support;
