//! Pulls container images and flattens their layers into a tree, without a daemon or root.

pub mod decompress;
pub mod digest;

pub use digest::Digest;
