//! Tests of the guest binary and of what it shares with hosts.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod config;
mod protocol;
