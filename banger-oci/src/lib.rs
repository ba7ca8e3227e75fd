//! Pulls container images and flattens their layers into a tree, without a daemon or root.

pub mod decompress;
pub mod digest;
pub mod flatten;
pub mod tar;

pub use digest::Digest;
