//! Turns a container image into a bootable ext4 root file system.
//!
//! The pipeline of the crates around it: [`pull`] resolves a reference, flattens the layers into
//! a tree while they come in, writes the ext4 file and publishes it in the [`ImageStore`] with
//! one rename; [`pull_to_file`] does the same for a single file, and [`build_rootfs`] for a
//! directory or a tar. An image that is pulled is made to boot on the way; [`inject_file`] does that
//! to a finished one, [`rootfs`] looks into finished files and edits them, and [`guest`] talks to
//! what runs inside once it has booted.
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
//! Limits: Linux and macOS hosts; file systems up to 16 TiB.

mod argument;
mod backend;
mod build;
mod dirs;
mod error;
mod event;
pub mod guest;
mod guest_binary;
mod host_file;
mod host_tree;
mod id;
mod identity;
mod image_user;
mod inject;
mod lock;
mod output;
mod pull;
mod pull_events;
mod request;
pub mod rootfs;
mod scratch;
mod setters;
mod source;
mod staging;
mod store;
mod time;
mod warnings;

pub use argument::ArgumentError;
pub use backend::{Backend, DEFAULT_BACKEND};
pub use banger_ext4::{
    BootContract, Change, Entrypoint, Fixup, FixupKind, ImageSize, InitMode, InjectError, InjectReport,
};
pub use banger_oci::{
    BlobCache, CacheEntry, Limits, Platform, PruneOptions, PruneReport, PullOptions, Reference,
    ReferenceError,
};
pub use banger_tree::{
    Budget, Cancellation, Cost, Existing, HostPlace, NewFile, NewFileError, escape_text, is_hidden,
    write_new_file,
};
pub use build::{BuildRequest, BuiltFile, SourceKind, build_rootfs};
pub use dirs::{Dirs, DirsError};
pub use error::Error;
pub use event::{Event, EventHandler};
pub use guest_binary::{GuestBinaryError, GuestOptions, parse_init_mode};
pub use host_tree::DirectoryError;
pub use id::ImageId;
pub use identity::parse_uuid;
pub use inject::{InjectRequest, inject_file, inject_rootfs};
pub use output::OutputError;
pub use pull::{pull, pull_to_file};
pub use request::{PullRequest, PulledFile};
pub use store::{
    BuildOptions, ClonedFrom, DamagedImage, GuestBuildOptions, ImageConfigRecord, ImageLease, ImageName,
    ImageRecord, ImageStore, LayerRecord, Listing, NameError, RECORD_FILE, ROOTFS_FILE, StagedImage,
    StoreError, StoredImage, Verification,
};
pub use time::source_date_epoch;
pub use uuid::Uuid;
