//! Paths as they are given.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt as _;

use banger::rootfs::{EditError, GuestPath, parse_path};

/// What stands for the host's standard input.
pub(super) const STANDARD_INPUT: &str = "-";

/// Returns the path in a root file system that `text` means.
pub(super) fn guest_path(text: &OsStr) -> Result<GuestPath, EditError> {
    parse_path(text.as_bytes())
}
