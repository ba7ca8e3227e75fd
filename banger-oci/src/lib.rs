//! Pulls container images and flattens their layers into a tree, without a daemon or root.
//!
//! [`pull`] finds an image in a registry, an image layout or an archive, checks every document on
//! the way against its digest, and returns a [`PulledImage`] whose [`Layer`]s can be read at once,
//! while their downloads still go on. All that comes from a registry goes through a [`BlobCache`].
//!
//! ```no_run
//! use banger_oci::{BlobCache, Progress, PullOptions, pull};
//! use banger_tree::Cancellation;
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let cache = BlobCache::open("/var/cache/images")?;
//! let reference = "debian:bookworm".parse()?;
//! let options = PullOptions::default();
//! let image = pull(&reference, &cache, &options, &Progress::none(), &Cancellation::new())?;
//! for layer in &image.layers {
//!     let tar = banger_oci::decompress::decompressor(layer.open()?)?;
//!     // … read the tar, and compare its digest with `layer.diff_id`.
//! #   drop(tar);
//! }
//! image.finish()?;
//! # Ok(())
//! # }
//! ```

mod access;
mod attempt;
mod auth;
mod background;
mod blob_writer;
mod cache;
mod cap;
mod clients;
mod config;
mod content_range;
pub mod decompress;
pub mod digest;
mod download;
mod engine;
mod error;
mod event;
pub mod flatten;
mod foreign_format;
mod foreign_text;
mod gzip;
mod http;
mod json;
mod layer;
mod logins;
pub mod manifest;
mod options;
mod origin;
mod platform;
mod pull;
mod puller;
mod rate;
mod redirect;
mod reference;
mod registry;
mod resolver;
mod secrets;
mod setters;
mod slots;
mod source;
mod stop;
pub mod tar;
mod threads;
mod trace;
mod transfer;

pub(crate) use setters::setters;

pub use auth::{Credential, CredentialSource};
pub use cache::{BlobCache, CacheEntry, PruneOptions, PruneReport, Removal, check_own_directory};
pub use config::{ContainerConfig, ImageConfig, RootfsConfig};
pub use digest::Digest;
pub use engine::PullerOptions;
pub use error::{FittingImage, PullError};
pub use event::{Progress, PullEvent, PullPhase, ResolvedLayer};
pub use flatten::{
    FlattenError, FlattenEvent, FlattenOptions, Flattened, LayerName, LayerSource, Limits, flatten,
};
pub use foreign_format::{FOREIGN_MAGIC_LEN, ForeignFormat, ImageContainer};
pub use layer::{Layer, LayerReader};
pub use manifest::{Descriptor, ImageManifest};
pub use options::PullOptions;
pub use platform::{Platform, PlatformError};
pub use pull::PulledImage;
pub use puller::{Puller, pull};
pub use reference::{Reference, ReferenceError, RegistryReference, Selector};
pub use slots::ReadPermit;
