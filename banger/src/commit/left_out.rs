//! Paths of a disk that are no content of an image.

use std::collections::BTreeSet;

use banger_guest::config::{NETWORK_FILE, paths};
use banger_tree::GuestPath;

/// Paths that a run leaves, and that no layer has: the place of e2fsck, and banger's own state.
const RUN_STATE: [&str; 5] =
    ["/lost+found", paths::FIRST_BOOT_PENDING, paths::FIRST_BOOT_DONE, paths::FIRST_BOOT_LOG, NETWORK_FILE];

/// The paths that a layer does not have, with all that is below them.
#[derive(Debug)]
pub(super) struct LeftOut(BTreeSet<GuestPath>);

impl LeftOut {
    /// Returns the state of runs.
    pub(super) fn run_state() -> Self {
        Self(RUN_STATE.iter().map(|path| GuestPath::parse(path).expect("they are short paths")).collect())
    }

    /// Returns the state of runs, and files that banger wrote for the guest.
    pub(super) fn with_injected(injected: &[GuestPath]) -> Self {
        let Self(mut left_out) = Self::run_state();
        left_out.extend(injected.iter().cloned());
        Self(left_out)
    }

    /// Returns whether a layer does not have this path.
    pub(super) fn contains(&self, path: &GuestPath) -> bool {
        self.0.contains(path)
    }
}
