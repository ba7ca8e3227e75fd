//! Turns a container image into a bootable ext4 root file system.
//!
//! One crate for programs that embed banger: its pipeline, and every type that the pipeline names.
//!
//! [`pull`] resolves a reference, flattens the layers into a tree while they arrive, and makes the tree boot.
//! Then it writes the ext4 file and publishes it in the [`ImageStore`] with one rename. [`pull_to_file`] does
//! the same for a single file, [`pull_to_fd`] for an open one, and [`build_rootfs`] for a directory or a tar.
//! [`register_image`] makes a managed image of an ext4 file that exists.
//! [`inject_file`] makes a finished file boot, [`import_kernel`] gets a kernel for it, and [`boot`] checks and plans
//! the boot. [`rootfs`] reads and edits finished files, and [`guest`] talks to a running guest.
//!
//! ```no_run
//! use banger::{Cancellation, Dirs, EventHandler, PullRequest};
//!
//! let request = PullRequest::new("debian:bookworm".parse()?);
//! let image = banger::pull(&request, &Dirs::of_user()?, &EventHandler::none(), &Cancellation::default())?;
//! println!("{}", image.path);
//! # Ok::<(), banger::Error>(())
//! ```
//!
//! An [`Error`] has a [kind](Error::kind), a [code](Error::code) that stays the same in all versions, and a
//! message. [Advice](Error::advice) is separate from the message, and [`Error::context`] has named values.
//! [`Error::to_json`] has all of them.
//!
//! Features:
//!
//! - `e2fsprogs` (default): the backend that runs mkfs.ext4 and debugfs of the host.
//! - `embedded-guest` (default): embeds a guest binary, see [`embedded_guest`].
//! - `tokio`: `pull_async`, `pull_to_file_async`, `pull_to_fd_async` and `build_async`, the same calls as futures. A dropped
//!   future stops its run.
//! - `tracing`: every [`Event`] goes to the program's `tracing` subscriber too.
//!
//! Limits: Linux and macOS hosts; file systems up to 16 TiB.

mod accounts;
mod argument;
#[cfg(feature = "tokio")]
mod asynchronous;
mod backend;
pub mod boot;
mod build;
mod calls;
mod clone;
mod commit;
mod dirs;
mod discard_store;
pub mod doctor;
mod document;
mod elf;
mod error;
mod event;
mod fetch;
mod file_system;
pub mod guest;
mod guest_binary;
#[cfg(test)]
#[path = "../build/guest_source.rs"]
mod guest_source;
mod host_copy;
mod host_file;
mod host_tree;
mod id;
mod identity;
mod image_build;
mod image_facts;
mod image_user;
mod inject;
mod inspect;
mod kernel;
mod lock;
mod login_document;
mod machine_settings;
mod network_file;
mod output;
mod output_directory;
mod output_fd;
mod present;
mod pull;
mod pull_events;
mod register;
mod report;
mod request;
pub mod rootfs;
mod rootfs_artifact;
mod scratch;
mod source;
mod staging;
mod store;
mod threads;
mod time;
mod verity;
pub mod vm;
mod warnings;

pub use argument::ArgumentError;
#[cfg(feature = "tokio")]
pub use asynchronous::{build_async, pull_async, pull_to_fd_async, pull_to_file_async};
pub use backend::{Backend, DEFAULT_BACKEND};
pub use banger_boot::{
    BootContract, Change, Entrypoint, Fixup, FixupKind, GuestAgents, InitMode, InjectError, InjectReport,
    MachineSettings, SettingsError, inject_guest_agents,
};
pub use banger_ext4::{
    EditorEffort, Ext4Editor, Ext4Error, ImageSize, JournalSize, Mismatch, MismatchReason, OwnershipReport,
    Storage, VerifyReport, apply_ownership,
};
pub use banger_kernel::{
    Acceleration, BUNDLE_TYPE, BundleFacts, ConfigOrigin, Kernel, KernelArchitecture, KernelError,
    KernelFiles, KernelFormat, KernelLimits, PackageInfo, PlainFiles, PortForward, PortForwardError,
};
pub use banger_oci::flatten::EntryError;
pub use banger_oci::tar::TarError;
pub use banger_oci::{
    ArchiveInput, BlobCache, BlobSource, CacheEntry, CacheVerification, Credential, CredentialSource,
    DamagedBlob, Digest, EndpointFailure, FileBlobs, FittingImage, FlattenError, ImageDaemon, KeptLogin,
    LayerCompression, LayerName, Limits, LocalSources, Platform, PlatformError, Progress, ProxySettings,
    PruneOptions, PruneReport, PublicKey, PullError, PullOptions, PullPolicy, PullPolicyError, Puller,
    PullerOptions, Reference, ReferenceError, RegistriesConfig, RegistryReference, Removal, RemovedLogins,
    Selector, SignError, SignaturePlace, SigningKey, SigningKeyError, TrustError, TrustPolicy,
    VerifiedSignature, WebFile, WebFileAddress,
};
pub use banger_tree::{
    Advice, AttributeChange, Attributes, Budget, CancelGuard, Cancellation, ChildSetup, ContentError,
    ContentStore, Corruption, Cost, DirEntry, Distrust, ErrorContext, ErrorKind, Existing, Failure, FileType,
    GuestPath, HostPlace, LayerIndex, Metadata, MetadataEntry, MetadataKind, NewFile, NewFileError, NodeKind,
    OverBudget, PathError, ResolveError, Rootfs, RootfsError, Setting, Stat, Timestamp, TreeError, Xattrs,
    escape_bytes, escape_text, is_hidden, write_new_file,
};
pub use build::{BuildRequest, BuiltFile, SourceKind};
pub use calls::{build_rootfs, image_metadata, inspect_image, pull, pull_to_fd, pull_to_file};
pub use clone::{CloneRequest, CloneTarget, ClonedImage, Identity, UnknownIdentity, clone_image};
pub use commit::{CommitError, CommitRequest, CommittedImage, CommittedLayer, commit_image};
pub use dirs::{Dirs, DirsError};
pub use document::{
    BlobDocument, CacheDocument, CacheVerificationDocument, ImageDocument, ImagePruneDocument,
    ListingDocument, PruneDocument,
};
pub use error::Error;
pub use event::{Event, EventHandler, LayerBlob};
pub use file_system::FileSystemOptions;
pub use guest_binary::{GuestBinary, GuestBinaryError, GuestOptions, embedded_guest, parse_init_mode};
pub use host_copy::{HostCopy, UnknownCopy};
pub use host_tree::DirectoryError;
pub use id::ImageId;
pub use identity::parse_uuid;
pub use image_build::{
    BuildCache, BuildCachePruned, BuildStep, BuiltImage, ImageBuildError, ImageBuildRequest, build_image,
};
pub use inject::{InjectRequest, inject_file, inject_rootfs};
pub use inspect::{BootOutlook, ImageInspection, InspectedLayer};
pub use kernel::{
    CatalogError, ImportedKernelFile, KERNEL_RECORD_FILE, KernelBundleRecord, KernelCatalog,
    KernelConfigRecord, KernelDocument, KernelFileRecord, KernelImportRequest, KernelListing,
    KernelListingDocument, KernelModulesRecord, KernelPackRequest, KernelPullRequest, KernelRecord,
    KernelSourceName, KernelStore, PackedKernel, PackedKernels, StoredKernel, import_kernel, pack_kernels,
    pull_kernel,
};
pub use login_document::{LoginDocument, LogoutDocument};
pub use network_file::write_network_config;
pub use output::OutputError;
pub use output_fd::OutputFd;
pub use register::{RegisterError, RegisterRequest, register_image};
pub use report::ErrorReport;
pub use request::{PullRequest, PulledFile};
pub use rootfs_artifact::{
    ImagePushRequest, PROVENANCE_TYPE, PushedImage, ROOTFS_ARTIFACT_TYPE, RootfsArtifactError, push_image,
};
pub use store::{
    ArtifactOrigin, BuildOptions, BuiltFrom, ClonedFrom, DamagedImage, GuestBuildOptions, ImageConfigRecord,
    ImageLease, ImageName, ImagePruneOptions, ImagePruneReport, ImageRecord, ImageStore, KERNEL_DIRECTORY,
    LayerRecord, Listing, NameError, RECORD_FILE, REFERRERS_DIRECTORY, ROOTFS_FILE, ReferrerRecord,
    StagedImage, StoreError, StoredImage, StoredKind, VERITY_FILE, Verification,
};
pub use time::source_date_epoch;
pub use uuid::Uuid;
pub use verity::{UnknownVerityPlace, VerityError, VerityPlace, VerityRecord};
