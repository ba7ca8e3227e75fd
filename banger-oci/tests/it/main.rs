//! Integration tests of `banger-oci`, one binary.

mod flatten_links;
mod flatten_paths;
mod flatten_random;
mod flatten_stream;
mod flatten_tar;
mod flatten_whiteouts;
mod layers;
mod model;
mod tarball;
