//! Errors of the tools as errors of a root file system.

use std::io;

use banger_ext4::Ext4Error;
use banger_tree::{Corruption, RootfsError};
use camino::Utf8Path;

/// Returns the error of a root file system that a build's error is.
pub(crate) fn rootfs_error(error: Ext4Error, image: &Utf8Path) -> RootfsError {
    let image = image.to_string();
    match error {
        Ext4Error::Io { action, source, .. } if source.kind() == io::ErrorKind::InvalidData => {
            RootfsError::Corrupt { image, damage: Corruption::new(format!("cannot {action}: {source}")) }
        }
        Ext4Error::Io { action, source, .. } => RootfsError::Io { action, image, source },
        Ext4Error::Limit { path, reason } => RootfsError::Limit { path, reason },
        Ext4Error::ToolFailed { tool, version, reason } | Ext4Error::ToolUnfit { tool, version, reason } => {
            RootfsError::Tool { tool: format!("{tool} {version}"), image, reason }
        }
        Ext4Error::ToolMissing { tool } => {
            RootfsError::Tool { tool, image, reason: "it is not installed".to_owned() }
        }
        other => RootfsError::Unsupported { image, reason: other.to_string() },
    }
}
