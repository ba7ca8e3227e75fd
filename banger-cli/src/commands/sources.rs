//! Images on the standard input.

use std::io::stdin;
use std::os::fd::AsFd as _;

use banger::{ArchiveInput, PullOptions};

/// Has a pull read `docker-archive:-` and `oci-archive:-` from the standard input.
pub(super) fn with_input(pull: &mut PullOptions) {
    // Nothing comes from one that is closed.
    pull.input = stdin().as_fd().try_clone_to_owned().ok().map(ArchiveInput::from_file);
}
