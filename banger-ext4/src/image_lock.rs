//! Locks on images, for backends that edit them in a way of their own.

use banger_tree::RootfsError;
use camino::Utf8Path;

use crate::editor::{Ext4Editor, FileStorage, Storage as _, WHOLE};

/// A lock on an image that [`Ext4Editor`] respects: it is shared at first, and exclusive for a commit.
///
/// A drop releases the lock.
#[derive(Debug)]
pub struct ImageLock {
    storage: FileStorage,
    image: String,
}

impl ImageLock {
    /// Locks the image at `path` as a reader.
    ///
    /// # Errors
    /// The host refuses, or an editor is committing to the image.
    pub fn shared(path: &Utf8Path) -> Result<Self, RootfsError> {
        let image = path.to_string();
        match FileStorage::open(path, WHOLE) {
            Ok(storage) => Ok(Self { storage, image }),
            Err(source) => Err(RootfsError::Io { action: "open", image, source }),
        }
    }

    /// Makes the lock exclusive, unless the image at `path` is mounted.
    ///
    /// # Errors
    /// The image is mounted or was not unmounted, it is damaged, or another process has it locked.
    pub fn make_exclusive(&mut self, path: &Utf8Path) -> Result<(), RootfsError> {
        Ext4Editor::open(path)?.check_not_mounted()?;
        let failed = |source| RootfsError::Io { action: "lock", image: self.image.clone(), source };
        self.storage.lock().map_err(failed)
    }
}
