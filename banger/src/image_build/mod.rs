//! Builds an image from another one: steps in a virtual machine, on a copy of its disk.
//!
//! The disk after each program is kept in the cache, under the digest of the base, the kernel and the steps so far.
//! A later build with the same beginning starts there.

mod build;
mod cache;
mod clean;
mod error;
mod keys;
mod programs;
mod request;
mod step;

pub use build::build_image;
pub use cache::{BuildCache, BuildCachePruned};
pub use error::ImageBuildError;
pub use request::{BuiltImage, ImageBuildRequest};
pub use step::BuildStep;
