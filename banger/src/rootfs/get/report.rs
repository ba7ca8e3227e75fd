//! What was copied to the host.

use banger_tree::GuestPath;
use camino::Utf8PathBuf;
use serde::Serialize;

/// Number of warnings that are kept.
const WARNINGS_MAX: usize = 100;

/// Files that were copied to this host. Its JSON form is the output of `banger rootfs get --json`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct GetReport {
    /// The new paths on this host.
    pub paths: Vec<Utf8PathBuf>,
    /// Number of names that were made.
    pub entries: u64,
    /// Bytes of files, without holes.
    pub content_bytes: u64,
    /// Number of devices that were not made.
    pub not_made: u64,
    /// Number of files that belong to the user of this process, in the place of their owner.
    pub without_owner: u64,
    /// Number of extended attributes that were not set.
    pub without_xattrs: u64,
    /// The first warnings: devices and extended attributes.
    pub warnings: Vec<String>,
    /// Number of all warnings.
    pub warning_count: u64,
}

impl GetReport {
    pub(super) fn warn(&mut self, path: &GuestPath, reason: &str) {
        self.warning_count += 1;
        if self.warnings.len() < WARNINGS_MAX {
            self.warnings.push(format!("{path} {reason}"));
        }
    }
}
