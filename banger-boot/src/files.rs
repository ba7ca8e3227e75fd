//! Adds a directory of files to a root file system.

use std::borrow::Cow;

use banger_tree::{GuestPath, Rootfs, RootfsError, Timestamp};

use crate::edit::Edit;
use crate::error::InjectError;

/// Permissions of the files.
const MODE: u16 = 0o644;

/// Writes `files`, each a path below `directory` and its bytes, as files of root with the mode 0644. Missing
/// directories are made, existing symlinks are followed: a `/lib` that leads to `usr/lib` stays a symlink. A
/// file with these bytes already stays as it is, other files are replaced.
///
/// Commits in between if the root file system needs that. The caller commits at the end.
///
/// # Errors
/// An item of `files` is an error, a file that cannot be replaced is in the way, or the root file system cannot
/// be read or changed.
pub fn merge_files<'a, E: From<InjectError>>(
    rootfs: &mut dyn Rootfs,
    directory: &str,
    timestamp: Timestamp,
    files: impl IntoIterator<Item = Result<(&'a str, Cow<'a, [u8]>), E>>,
) -> Result<(), E> {
    let mut edit = Edit::new(rootfs, timestamp);
    for file in files {
        let (path, bytes) = file?;
        let failed = |error: RootfsError| E::from(InjectError::from(error));
        let path = GuestPath::parse(format!("{directory}/{path}")).map_err(|error| failed(error.into()))?;
        edit.file_at(&path, &bytes, MODE)?;
        edit.commit_if_due().map_err(failed)?;
    }
    Ok(())
}
