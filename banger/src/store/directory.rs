//! The directories of the store: made for their user alone, and trusted only where they are.

use std::fs::{self, DirBuilder, Permissions};
use std::io;
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, PermissionsExt as _};

use rustix::process::geteuid;

use super::ImageStore;
use super::error::StoreError;
use crate::host_file::distrust;

/// Mode of the directories that are made here.
const PRIVATE: u32 = 0o700;

impl ImageStore {
    /// Makes the directories of the store. Those of an older version of banger become private.
    pub(super) fn make_directories(&self) -> Result<(), StoreError> {
        self.check_trust()?;
        let failed = |source| StoreError::io("create", &self.images, source);
        DirBuilder::new().recursive(true).mode(PRIVATE).create(&self.images).map_err(failed)?;
        self.check_trust()?;
        let metadata = fs::metadata(&self.images).map_err(failed)?;
        if metadata.uid() == geteuid().as_raw() && metadata.mode() & 0o077 != 0 {
            fs::set_permissions(&self.images, Permissions::from_mode(PRIVATE)).map_err(failed)?;
        }
        Ok(())
    }

    /// Fails where others than this user and root could have put images into the store.
    fn check_trust(&self) -> Result<(), StoreError> {
        // In a directory with the sticky bit, such as `/tmp`, nobody moves what is another user's.
        for (path, with_sticky) in [(&self.state, true), (&self.images, false)] {
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
                    return Err(StoreError::Untrusted { path: path.clone(), reason });
                }
            }
        }
        Ok(())
    }

    /// Returns the names of all that is in the directory of the images, in order.
    pub(super) fn directory_names(&self) -> Result<Vec<String>, StoreError> {
        self.check_trust()?;
        let failed = |source: io::Error| match source.kind() {
            io::ErrorKind::PermissionDenied => {
                StoreError::Denied { reason: format!("cannot read {}: {source}", self.images) }
            }
            _ => StoreError::io("read", &self.images, source),
        };
        let entries = match fs::read_dir(&self.images) {
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
}
