//! Integration tests of `banger-oci`, one binary.
#![allow(clippy::unwrap_used, reason = "what fails in a test shall panic, in its helpers too")]

mod flatten_gnu_tar;
mod flatten_links;
mod flatten_paths;
mod flatten_random;
mod flatten_stream;
mod flatten_tar;
mod flatten_whiteouts;
mod layers;
mod model;
mod tarball;
