//! Pulls container images and flattens their layers into a tree, without a daemon or root.
//!
//! [`flatten()`] applies layers, base first, to one tree. A tar that belongs to no image is one layer:
//!
//! ```
//! use banger_oci::{FlattenOptions, TarLayer, flatten};
//! use banger_tree::MemoryStore;
//!
//! let tar = TarLayer::new("rootfs.tar", || Ok(&[0_u8; 1024][..]));
//! let flattened = flatten(&[tar], &mut MemoryStore::default(), &FlattenOptions::default(), &|_event| {})?;
//! assert_eq!(flattened.tree.inode_count(), 1);
//! # Ok::<(), banger_oci::FlattenError>(())
//! ```
//!
//! With the feature `registry` (default), `pull` finds an image in a registry, an image layout or an archive.
//! It checks every document and blob against its digest, and returns layers that can be read during their
//! download. Without this feature the crate does not compile reqwest, rustls and tokio.
//!
//! Limits: `Limits` and `PullOptions` limit the cost of an image. Only images for Linux are supported.

#[cfg(feature = "registry")]
mod access;
#[cfg(feature = "registry")]
mod attempt;
#[cfg(feature = "registry")]
mod auth;
#[cfg(feature = "registry")]
mod background;
#[cfg(feature = "registry")]
mod blob_writer;
#[cfg(feature = "registry")]
mod cache;
#[cfg(feature = "registry")]
mod cap;
#[cfg(feature = "registry")]
mod clients;
#[cfg(feature = "registry")]
mod config;
#[cfg(feature = "registry")]
mod content_range;
pub mod decompress;
pub mod digest;
#[cfg(feature = "registry")]
mod download;
#[cfg(feature = "registry")]
mod engine;
#[cfg(feature = "registry")]
mod error;
#[cfg(feature = "registry")]
mod event;
pub mod flatten;
mod foreign_format;
#[cfg(feature = "registry")]
mod foreign_text;
#[cfg(feature = "registry")]
mod http;
#[cfg(feature = "registry")]
mod json;
#[cfg(feature = "registry")]
mod layer;
#[cfg(feature = "registry")]
mod logins;
#[cfg(feature = "registry")]
pub mod manifest;
mod one_line;
#[cfg(feature = "registry")]
mod options;
#[cfg(feature = "registry")]
mod origin;
mod platform;
#[cfg(feature = "registry")]
mod pull;
#[cfg(feature = "registry")]
mod puller;
#[cfg(feature = "registry")]
mod rate;
#[cfg(feature = "registry")]
mod redirect;
mod reference;
#[cfg(feature = "registry")]
mod registry;
#[cfg(feature = "registry")]
mod resolver;
#[cfg(feature = "registry")]
mod secrets;
mod setters;
#[cfg(feature = "registry")]
mod slots;
#[cfg(feature = "registry")]
mod source;
#[cfg(feature = "registry")]
mod stop;
pub mod tar;
#[cfg(feature = "registry")]
mod threads;
#[cfg(feature = "registry")]
mod trace;
#[cfg(feature = "registry")]
mod transfer;

pub(crate) use setters::setters;

pub use digest::Digest;
pub use flatten::{
    FlattenError, FlattenEvent, FlattenOptions, Flattened, LayerName, LayerSource, Limits, TarLayer, flatten,
};
pub use foreign_format::{FOREIGN_MAGIC_LEN, ForeignFormat, ImageContainer};
pub use platform::{Platform, PlatformError};
pub use reference::{Reference, ReferenceError, RegistryReference, Selector};

#[cfg(feature = "registry")]
pub use auth::{Credential, CredentialSource};
#[cfg(feature = "registry")]
pub use cache::{BlobCache, CacheEntry, PruneOptions, PruneReport, Removal, check_own_directory};
#[cfg(feature = "registry")]
pub use config::{ContainerConfig, ImageConfig, RootfsConfig};
#[cfg(feature = "registry")]
pub use engine::PullerOptions;
#[cfg(feature = "registry")]
pub use error::{FittingImage, PullError};
#[cfg(feature = "registry")]
pub use event::{Progress, PullEvent, PullPhase, ResolvedLayer};
#[cfg(feature = "registry")]
pub use layer::{Layer, LayerReader};
#[cfg(feature = "registry")]
pub use manifest::{Descriptor, ImageManifest};
#[cfg(feature = "registry")]
pub use options::PullOptions;
#[cfg(feature = "registry")]
pub use pull::PulledImage;
#[cfg(feature = "registry")]
pub use puller::{Puller, pull};
#[cfg(feature = "registry")]
pub use slots::ReadPermit;
