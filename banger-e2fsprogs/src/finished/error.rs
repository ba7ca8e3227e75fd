//! Errors of the tools as errors of a root file system.

use std::io;

use banger_ext4::Ext4Error;
use banger_tree::{Corruption, Failure as _, GuestPath, RootfsError};
use camino::Utf8Path;

/// What debugfs tells of a full file system, without the figures of [`Ext4Error::NoSpace`].
pub(crate) const NO_FREE_BLOCK: &str = "there is no free block";
pub(crate) const NO_FREE_INODE: &str = "all inodes are in use";

/// Returns the error of a root file system that a build's error is.
pub(crate) fn rootfs_error(error: Ext4Error, image: &Utf8Path) -> RootfsError {
    let image = image.to_string();
    match error {
        Ext4Error::Io { action, source, .. } if source.kind() == io::ErrorKind::InvalidData => {
            RootfsError::Corrupt { image, damage: Corruption::new(format!("cannot {action}: {source}")) }
        }
        Ext4Error::Io { action, source, .. } => RootfsError::Io { action, image, source },
        Ext4Error::Limit { path, reason } if [NO_FREE_BLOCK, NO_FREE_INODE].contains(&reason.as_str()) => {
            RootfsError::NoSpace { path, reason }
        }
        Ext4Error::Limit { path, reason } => RootfsError::Limit { path, reason, advice: None },
        Ext4Error::ToolFailed { tool, version, reason } | Ext4Error::ToolUnfit { tool, version, reason } => {
            RootfsError::Tool { tool: format!("{tool} {version}"), image, reason }
        }
        Ext4Error::ToolMissing { tool } => {
            RootfsError::Tool { tool, image, reason: "it is not installed".to_owned() }
        }
        Ext4Error::Content(source) => RootfsError::Content { path: GuestPath::root(), source },
        Ext4Error::OverBudget(source) => RootfsError::OverBudget { path: GuestPath::root(), source },
        Ext4Error::Cancelled => RootfsError::Cancelled,
        other => {
            let advice = other.advice();
            RootfsError::Unsupported { image, reason: other.to_string(), advice }
        }
    }
}
