//! Where images come from that are on this machine: as the user's other programs have it.

use std::io::stdin;
use std::os::fd::AsFd as _;

use banger::{ArchiveInput, LocalSources, PullOptions};

/// Has a pull look for daemons and storages where docker and podman do.
pub(super) fn of_user(pull: &mut PullOptions) {
    pull.local = LocalSources::default().with_of_user(true);
}

/// Has a pull read `docker-archive:-` and `oci-archive:-` from the standard input.
pub(super) fn with_input(pull: &mut PullOptions) {
    // A closed one is none.
    pull.input = stdin().as_fd().try_clone_to_owned().ok().map(ArchiveInput::from_file);
}
