//! Reads os-release of the guest.

use std::ops::ControlFlow;
use std::path::Path;

use banger_guest::files::os_release::{MAX_FILE_BYTES, MAX_LINE_BYTES, OS_RELEASE_FILES, OsRelease};

use crate::bounded::{LineLimits, for_each_line};
use crate::root::Root;

const LIMITS: LineLimits = LineLimits { file_bytes: MAX_FILE_BYTES as u64, line_bytes: MAX_LINE_BYTES };

/// Reads the first file with content.
pub(crate) fn of_guest(root: &Root) -> OsRelease {
    OS_RELEASE_FILES
        .into_iter()
        .map(|path| read(&root.path(path)))
        .find(|release| *release != OsRelease::default())
        .unwrap_or_default()
}

fn read(path: &Path) -> OsRelease {
    let mut release = OsRelease::default();
    // For a file that is missing or longer than the limit, the part that was read counts.
    let _ = for_each_line(path, LIMITS, |line| {
        release.take_line(line);
        ControlFlow::Continue(())
    });
    release
}
