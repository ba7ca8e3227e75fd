//! Images of registries, image layouts and archives: references to them lead to verified layers. All of the
//! feature `registry`.

mod access;
mod account;
mod artifact;
mod attempt;
mod auth;
mod background;
mod blob_attempts;
mod blob_place;
mod blob_writer;
mod bolt;
mod cache;
mod cap;
mod certificates;
mod clients;
mod config;
mod content_range;
mod download;
mod endpoints;
mod engine;
mod error;
mod event;
mod foreign_text;
mod http;
mod inspect;
mod jobs;
mod json;
mod layer;
mod local_sources;
mod logins;
pub mod manifest;
mod missing;
mod options;
mod origin;
mod policy;
mod proxy;
mod pull;
mod puller;
mod push;
mod rate;
mod redirect;
mod referrers;
mod registries;
mod repository;
mod repository_use;
mod request;
mod resolver;
mod secrets;
mod shared_blob;
mod slots;
mod source;
mod split;
mod stop;
mod streamed;
mod threads;
mod trace;
mod transfer;
mod trust;
mod trusted_servers;
mod upload_body;
mod upload_bytes;
mod user_settings;
mod wanted;
mod web_file;

pub use artifact::{FoundArtifact, PulledArtifact};
pub use auth::{Credential, CredentialSource, KeptLogin, RemovedLogins};
pub use cache::{
    BlobCache, CacheEntry, CacheVerification, DamagedBlob, PruneOptions, PruneReport, Removal,
    check_own_directory,
};
pub use config::{ContainerConfig, ImageConfig, RootfsConfig};
pub use engine::PullerOptions;
pub use error::{EndpointFailure, FittingImage, PullError};
pub use event::{Progress, PullEvent, PullPhase, ResolvedLayer};
pub use inspect::InspectedImage;
pub use layer::{Layer, LayerReader};
pub use local_sources::LocalSources;
pub use manifest::{Descriptor, ImageManifest};
pub use options::PullOptions;
pub use policy::{PullPolicy, PullPolicyError};
pub use proxy::ProxySettings;
pub use pull::PulledImage;
pub use puller::{Puller, pull};
pub use push::{
    ArtifactBlobs, ArtifactToPush, BlobFiles, PushError, PushedArtifact, PushedSignature, SignError,
    check_push_target,
};
pub use referrers::PulledReferrer;
pub use registries::RegistriesConfig;
pub use slots::ReadPermit;
pub use source::{ArchiveInput, BlobSource, FileBlobs};
pub use trust::{
    PublicKey, SignaturePlace, SigningKey, SigningKeyError, TrustError, TrustPolicy, VerifiedSignature,
};
pub use web_file::{WebFile, WebFileAddress};
