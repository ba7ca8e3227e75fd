//! The image store: one directory an image, published by one rename.
//!
//! ```text
//! <state>/images/<id>/rootfs.ext4    the file system
//! <state>/images/<id>/rootfs.verity  its dm-verity hash tree, if it was asked for
//! <state>/images/<id>/image.json     its record
//! <state>/images/<id>/kernel/        the files of its kernel, if it came with one
//! <state>/images/<id>/referrers/     an OCI layout of the artifacts that refer to it, if they were asked for
//! <state>/images/<id>/replaced       exists if another image took its name: it is hidden
//! <state>/images/<id>.staging/       under construction
//! <state>/images/<id>.staging.lock   locked by the process that builds it
//! <state>/images/<id>.removed/       being removed
//! <state>/images/.pull-<name>.lock   locked by the pull that builds the image of this name
//! <state>/images/.lock               locked while names change
//! ```
//! The record lies inside the renamed directory, so an image and its record appear together or not at all.
//! Unlocked leftovers are swept at the next start.
//!
//! Each user of an image has a lease: a shared lock (`flock`) on the image's directory. Threads and processes
//! hold it in the same way, and the kernel drops it with its holder. Removal takes the lock exclusively. An
//! image that is replaced while it is leased is marked `replaced`; the first sweep after the last lease
//! removes its directory. The lock belongs to the directory itself, not to its name, so it stays when the
//! directory is renamed.

mod changes;
mod copies;
mod directory;
mod error;
mod files;
mod image_store;
mod lease;
mod lookup;
mod name;
mod prune;
mod record;
mod referrer_check;
mod referrers;
mod staged_image;
mod stored_kind;
mod verify;

pub use error::StoreError;
pub use files::{KERNEL_DIRECTORY, RECORD_FILE, REFERRERS_DIRECTORY, ROOTFS_FILE, VERITY_FILE};
pub use image_store::{ImageStore, Listing};
pub use lease::{ImageLease, StoredImage};
pub use lookup::DamagedImage;
pub use name::{ImageName, NameError};
pub use prune::{ImagePruneOptions, ImagePruneReport};
pub use record::{
    ArtifactOrigin, BuildOptions, BuiltFrom, ClonedFrom, GuestBuildOptions, ImageConfigRecord, ImageRecord,
    LayerRecord,
};
pub use referrers::ReferrerRecord;
pub use staged_image::StagedImage;
pub use stored_kind::StoredKind;
pub use verify::Verification;

pub(crate) use directory::{directory_names, make_directories};
pub(crate) use files::{NAMES_LOCK, REMOVED_SUFFIX, STAGING_SUFFIX, WINDOWS_FILE};
pub(crate) use lease::UnusedImage;
pub(crate) use lookup::{StoredRecord, look_up, parse_record, read_record};
pub(crate) use staged_image::write_json;

#[cfg(test)]
mod tests;
