//! Makes a container image of an ext4 disk that ran.
//!
//! `parts` compares the disk with the image that it was a copy of, and writes the difference as one layer. `run` pushes
//! the image to its target. The comparison and the writer of the layer know no ext4: they read two
//! [`Rootfs`](banger_tree::Rootfs).

mod base;
mod config;
mod diff;
mod error;
mod failure;
mod layers;
mod left_out;
mod links;
mod names;
mod origin;
mod parts;
mod request;
mod run;

pub use error::CommitError;
pub use request::CommitRequest;
pub use run::{CommittedImage, CommittedLayer, commit_image};
