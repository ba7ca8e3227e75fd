//! Finished images as artifacts of registries: one machine converts an image, others fetch the ext4 file.

mod blocks;
mod boundaries;
mod cut;
mod error;
mod format;
mod pull;
mod push;
mod restore;
mod reuse;
mod threads;
mod window_digest;

pub use error::RootfsArtifactError;
pub use format::ROOTFS_ARTIFACT_TYPE;
pub(crate) use pull::ArtifactPull;
pub use push::{ImagePushRequest, PushedImage, push_image};
