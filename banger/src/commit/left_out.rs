//! Paths of a disk that are no content of an image.

use std::collections::BTreeSet;

use banger_guest::config::{NETWORK_FILE, paths};
use banger_tree::{FileType, GuestPath, Rootfs, RootfsError, Stat};

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

    /// Returns the state of runs, and files that banger wrote for the guest. A directory that banger made stays if the
    /// disk has something else in it.
    pub(super) fn of_squash(injected: &[GuestPath], disk: &dyn Rootfs) -> Result<Self, RootfsError> {
        let Self(run_state) = Self::run_state();
        let mut left_out: BTreeSet<GuestPath> = injected.iter().cloned().chain(run_state.clone()).collect();
        // A directory comes before the paths in it.
        for path in injected.iter().collect::<BTreeSet<_>>().into_iter().rev() {
            let is_directory = |stat: Stat| stat.file_type == FileType::Directory;
            if run_state.contains(path) || !disk.stat(path)?.is_some_and(is_directory) {
                continue;
            }
            for entry in disk.read_dir(path)? {
                if !left_out.contains(&path.join(&entry.name)?) {
                    left_out.remove(path);
                }
            }
        }
        Ok(Self(left_out))
    }

    /// Returns whether a layer does not have this path.
    pub(super) fn contains(&self, path: &GuestPath) -> bool {
        self.0.contains(path)
    }
}
