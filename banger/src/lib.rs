//! Turns a container image into a bootable ext4 root file system.

mod dirs;
mod store;

pub use dirs::{Dirs, DirsError};
pub use store::{
    BuildOptions, DamagedImage, ImageConfigRecord, ImageId, ImageName, ImageRecord, ImageStore, LayerRecord,
    Listing, NameError, RECORD_FILE, ROOTFS_FILE, StagedImage, StoreError,
};
