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

mod compress;
pub mod decompress;
pub mod digest;
#[cfg(test)]
mod error_table;
pub mod flatten;
mod foreign_format;
mod one_line;
mod platform;
mod reference;
#[cfg(feature = "registry")]
mod registry;
pub mod tar;

pub use compress::{LayerCompression, LayerEncoder, WrittenLayer};
pub use digest::Digest;
pub use flatten::{
    FlattenError, FlattenEvent, FlattenOptions, Flattened, LayerName, LayerSource, Limits, TarLayer, flatten,
};
pub use foreign_format::{FOREIGN_MAGIC_LEN, ForeignFormat, ImageContainer};
pub use platform::{Platform, PlatformError};
pub use reference::{ImageDaemon, Reference, ReferenceError, RegistryReference, Selector};

#[cfg(feature = "registry")]
pub use registry::{
    ArchiveInput, ArtifactBlobs, ArtifactToPush, BlobCache, BlobFiles, BlobSource, CacheEntry,
    CacheVerification, ContainerConfig, Credential, CredentialSource, DamagedBlob, Descriptor,
    EndpointFailure, FileBlobs, FittingImage, FoundArtifact, ImageConfig, ImageManifest, InspectedImage,
    KeptLogin, Layer, LayerReader, LocalSources, Progress, ProxySettings, PruneOptions, PruneReport,
    PublicKey, PullError, PullEvent, PullOptions, PullPhase, PullPolicy, PullPolicyError, PulledArtifact,
    PulledImage, PulledReferrer, Puller, PullerOptions, PushError, PushedArtifact, PushedSignature,
    ReadPermit, RegistriesConfig, Removal, RemovedLogins, ResolvedLayer, RootfsConfig, SignError,
    SignaturePlace, SigningKey, SigningKeyError, TrustError, TrustPolicy, VerifiedSignature, WebFile,
    WebFileAddress, check_own_directory, check_push_target, manifest, pull,
};
