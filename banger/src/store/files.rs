//! Names of files and directories in the store.

/// File name of the file system in an image's directory.
pub const ROOTFS_FILE: &str = "rootfs.ext4";
/// File name of the dm-verity hash tree in an image's directory.
pub const VERITY_FILE: &str = "rootfs.verity";
/// File name of the record in an image's directory.
pub const RECORD_FILE: &str = "image.json";

/// Name of the directory with the files of its kernel in an image's directory.
pub const KERNEL_DIRECTORY: &str = "kernel";

/// Name of the OCI layout with the artifacts that refer to it in an image's directory.
pub const REFERRERS_DIRECTORY: &str = "referrers";

/// Name of the list of the windows that an image was made of in its directory, if it was pulled as a finished one.
pub(crate) const WINDOWS_FILE: &str = "windows.json";

/// An empty file in the directory of an image whose name another image has taken.
pub(super) const REPLACED_FILE: &str = "replaced";
/// The lock that is held while names change.
pub(crate) const NAMES_LOCK: &str = ".lock";

pub(crate) const STAGING_SUFFIX: &str = ".staging";
pub(crate) const REMOVED_SUFFIX: &str = ".removed";

const PULL_LOCK_PREFIX: &str = ".pull-";
const PULL_LOCK_SUFFIX: &str = ".lock";

/// Returns the name of the lock that a pull of the image `name` holds.
pub(super) fn pull_lock(name: &str) -> String {
    format!("{PULL_LOCK_PREFIX}{name}{PULL_LOCK_SUFFIX}")
}

/// Returns whether a file is the lock of a pull.
pub(super) fn is_pull_lock(file_name: &str) -> bool {
    file_name.starts_with(PULL_LOCK_PREFIX) && file_name.ends_with(PULL_LOCK_SUFFIX)
}
