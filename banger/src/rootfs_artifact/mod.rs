//! Finished images as artifacts of registries: one machine converts an image, others fetch the ext4 file.

mod beside;
mod blocks;
mod boundaries;
mod cut;
mod error;
mod format;
mod provenance;
mod pull;
mod push;
mod request;
mod restore;
mod reuse;
mod verity_blob;
mod verity_format;
mod window_digest;

pub use error::RootfsArtifactError;
pub use format::ROOTFS_ARTIFACT_TYPE;
pub use provenance::PROVENANCE_TYPE;
pub(crate) use pull::ArtifactPull;
pub use push::{PushedImage, push_image};
pub(crate) use push::{repository, spool_in};
pub use request::ImagePushRequest;
