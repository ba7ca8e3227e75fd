//! Tests of the guest binary and of what it shares with hosts.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod abuse;
mod agent;
mod config;
mod first_boot;
mod init;
mod large_files;
mod network;
mod protocol;
mod support;
