//! Tests of the test kit, against the tools it stands in for.

#![allow(clippy::unwrap_used, reason = "clippy.toml allows it in test functions; this is for their helpers")]

mod compare;
mod compress;
mod fsck;
mod images;
mod layer;
mod layout;
mod registry;
