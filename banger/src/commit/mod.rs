//! Makes a container image of an ext4 disk that ran.
//!
//! [`commit_parts`] compares the disk with the image that it was a copy of, and writes the difference as one layer.
//! [`commit_image`] also writes the image to its target. The comparison and the writer of the layer know no ext4: they
//! read two [`Rootfs`](banger_tree::Rootfs).

mod base;
mod blob_copy;
mod config;
mod diff;
mod error;
mod failure;
mod layout;
mod left_out;
mod links;
mod names;
mod parts;
mod request;
mod run;
mod same;

pub use error::CommitError;
pub use parts::{CommittedBlob, ImageParts, commit_parts};
pub use request::{CommitRequest, CommitTarget};
pub use run::{CommittedImage, CommittedLayer, commit_image};
