//! The directories of the store: private to their user, and trusted only if they are.

use std::fs::{self, DirBuilder, Permissions};
use std::io;
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, PermissionsExt as _};

use camino::Utf8Path;
use rustix::process::geteuid;

use super::error::StoreError;
use crate::host_file::distrust;

/// Mode of the directories that are made here.
const PRIVATE: u32 = 0o700;

/// Makes the directories of a store. Those of an older version of banger become private.
pub(crate) fn make_directories(state: &Utf8Path, images: &Utf8Path) -> Result<(), StoreError> {
    check_trust(state, images)?;
    let failed = |source| StoreError::io("create", images, source);
    DirBuilder::new().recursive(true).mode(PRIVATE).create(images).map_err(failed)?;
    check_trust(state, images)?;
    let metadata = fs::metadata(images).map_err(failed)?;
    if metadata.uid() == geteuid().as_raw() && metadata.mode() & 0o077 != 0 {
        fs::set_permissions(images, Permissions::from_mode(PRIVATE)).map_err(failed)?;
    }
    Ok(())
}

/// Fails if users other than this one and root may have put images into a store.
fn check_trust(state: &Utf8Path, images: &Utf8Path) -> Result<(), StoreError> {
    // In a directory with the sticky bit, for example `/tmp`, a user cannot move files of another user.
    for (path, with_sticky) in [(state, true), (images, false)] {
        // A symlink by its owner, too, who leads it wherever he likes.
        let found = [fs::symlink_metadata(path), fs::metadata(path)];
        for metadata in found {
            let metadata = match metadata {
                Ok(metadata) => metadata,
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
                    return Err(StoreError::Denied { reason: format!("cannot read {path}: {error}") });
                }
                Err(source) => return Err(StoreError::io("read", path, source)),
            };
            if let Some(reason) = distrust(&metadata, with_sticky) {
                return Err(StoreError::Untrusted { path: path.to_owned(), reason });
            }
        }
    }
    Ok(())
}

/// Returns all names in the directory of the images, in order.
pub(crate) fn directory_names(state: &Utf8Path, images: &Utf8Path) -> Result<Vec<String>, StoreError> {
    check_trust(state, images)?;
    let failed = |source: io::Error| match source.kind() {
        io::ErrorKind::PermissionDenied => {
            StoreError::Denied { reason: format!("cannot read {}: {source}", images) }
        }
        _ => StoreError::io("read", images, source),
    };
    let entries = match fs::read_dir(images) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(source) => return Err(failed(source)),
    };
    let mut names = Vec::new();
    for entry in entries {
        names.extend(entry.map_err(failed)?.file_name().into_string());
    }
    names.sort();
    Ok(names)
}
