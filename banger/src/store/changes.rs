//! Changes of the store: images are published, replaced, renamed and removed.

use std::fs;
use std::io;

use banger_tree::Cancellation;

use super::error::StoreError;
use super::files::{NAMES_LOCK, REMOVED_SUFFIX, REPLACED_FILE, STAGING_SUFFIX, is_pull_lock, pull_lock};
use super::image_store::ImageStore;
use super::lease::{StoredImage, UnusedImage, is_replaced};
use super::name::ImageName;
use super::record::ImageRecord;
use super::staged_image::{StagedImage, write_record};
use super::stored_kind::StoredKind;
use crate::id::ImageId;
use crate::lock::{Lock, TransientLock};
use crate::staging::{remove_tree, sweep, sync};

impl ImageStore {
    /// Starts a new image: the caller writes it into its directory and then publishes it. First sweeps
    /// leftovers of earlier runs.
    ///
    /// # Errors
    /// The state directory cannot be written, or the caller asks to stop.
    pub fn stage(&self, cancellation: &Cancellation) -> Result<StagedImage, StoreError> {
        self.make_directories()?;
        self.sweep(cancellation)?;
        StagedImage::create(self.images())
    }

    /// Publishes `staged` with its `record`, in the place of an older image of the same name. Everything is
    /// on the disk when this returns. The older image is removed now or, if it is in use, by a later
    /// [`sweep`](Self::sweep).
    ///
    /// # Errors
    /// The state directory cannot be written, or the caller asks to stop; then nothing is published.
    pub fn publish(
        &self,
        staged: StagedImage,
        record: ImageRecord,
        cancellation: &Cancellation,
    ) -> Result<StoredImage, StoreError> {
        let _names = self.lock_names(cancellation)?;
        self.finish_replacements()?;
        let older = self.list()?.images.into_iter().find(|image| image.name == record.name);
        let older = older.map(|image| image.id);
        let stored = self.make_visible(staged, record, older.clone())?;
        if let Some(older) = older {
            // The record hides it already. If it cannot be removed now, the next change removes it.
            let _ = self.replace(&older);
        }
        Ok(stored)
    }

    /// Makes `staged` visible as the image `record` describes, whose name must be free.
    pub(crate) fn publish_new(
        &self,
        staged: StagedImage,
        record: ImageRecord,
        cancellation: &Cancellation,
    ) -> Result<StoredImage, StoreError> {
        let _names = self.lock_names(cancellation)?;
        self.check_vacant(&record.name)?;
        self.make_visible(staged, record, None)
    }

    /// Publishes `staged`; its record hides the image `replaces` from then on.
    fn make_visible(
        &self,
        staged: StagedImage,
        mut record: ImageRecord,
        replaces: Option<ImageId>,
    ) -> Result<StoredImage, StoreError> {
        record.id = staged.id().clone();
        record.replaces = replaces;
        let lease = staged.publish(&record)?;
        Ok(StoredImage { path: self.rootfs_path(&record.id), record, lease })
    }

    /// Removes the image with this name, id or unique beginning of an id, also a damaged one;
    /// returns its id.
    ///
    /// # Errors
    /// The image does not exist or is in use, the state directory cannot be written, or the caller asks to
    /// stop.
    pub fn remove(&self, wanted: &str, cancellation: &Cancellation) -> Result<String, StoreError> {
        let find = || match self.find(wanted) {
            Ok(image) => Ok(image.id.as_str().to_owned()),
            Err(StoreError::Damaged { id, .. }) => Ok(id),
            Err(error) => Err(error),
        };
        find()?;
        let _names = self.lock_names(cancellation)?;
        self.finish_replacements()?;
        let id = find()?;
        let path = self.images().join(&id);
        let Some(unused) = UnusedImage::take(&path) else { return Err(StoreError::InUse { path }) };
        self.discard(&id, unused)?;
        self.sweep_replaced()?;
        Ok(id)
    }

    /// Gives an image another name; returns its new record.
    ///
    /// # Errors
    /// The image does not exist, the name is taken, the state directory cannot be written, or the caller asks
    /// to stop.
    pub fn rename(
        &self,
        wanted: &str,
        name: ImageName,
        cancellation: &Cancellation,
    ) -> Result<ImageRecord, StoreError> {
        self.find(wanted)?;
        let _names = self.lock_names(cancellation)?;
        self.finish_replacements()?;
        let mut record = self.find(wanted)?;
        if self.list()?.images.iter().any(|image| image.name == name && image.id != record.id) {
            return Err(StoreError::NameTaken { what: StoredKind::Image, name });
        }
        record.name = name;
        record.replaces = None;
        write_record(&self.directory(&record.id), &record)?;
        Ok(record)
    }

    /// Removes leftovers of killed processes, and replaced images that nobody uses any more.
    /// [`stage`](Self::stage) does so first.
    ///
    /// # Errors
    /// The state directory cannot be written, or the caller asks to stop.
    pub fn sweep(&self, cancellation: &Cancellation) -> Result<(), StoreError> {
        let images = self.images();
        if !images.exists() {
            return Ok(());
        }
        let _names = self.lock_names(cancellation)?;
        sweep(images, "", STAGING_SUFFIX)
            .map_err(|source| StoreError::io("remove what is stale in", images, source))?;
        for name in self.directory_names()? {
            let path = images.join(&name);
            if name.strip_suffix(REMOVED_SUFFIX).is_some_and(ImageId::is_id) {
                remove_tree(&path).map_err(|source| StoreError::io("remove", &path, source))?;
            } else if is_pull_lock(&name) {
                // A leftover does not block a pull.
                let _ = TransientLock::remove_stale(&path);
            }
        }
        self.finish_replacements()?;
        self.sweep_replaced()
    }

    /// Waits until no other thread or process pulls the image `name`, and blocks others until the lock is
    /// dropped. Calls `on_wait` once if it must wait.
    pub(crate) fn lock_pull(
        &self,
        name: &ImageName,
        cancellation: &Cancellation,
        on_wait: impl FnOnce(),
    ) -> Result<TransientLock, StoreError> {
        self.make_directories()?;
        let path = self.images().join(pull_lock(name.as_str()));
        TransientLock::wait(&path, cancellation, on_wait).map_err(|error| StoreError::lock(&path, error))
    }

    pub(super) fn check_vacant(&self, name: &ImageName) -> Result<(), StoreError> {
        match self.list()?.images.iter().any(|image| image.name == *name) {
            true => Err(StoreError::NameTaken { what: StoredKind::Image, name: name.clone() }),
            false => Ok(()),
        }
    }

    fn lock_names(&self, cancellation: &Cancellation) -> Result<Lock, StoreError> {
        let path = self.images().join(NAMES_LOCK);
        Lock::wait(&path, cancellation).map_err(|error| StoreError::lock(&path, error))
    }

    /// Finishes the work of a process that was killed between publishing an image and removing the older one.
    /// After this no record hides another image.
    fn finish_replacements(&self) -> Result<(), StoreError> {
        for image in self.records()?.0 {
            let Some(replaced) = image.replaces else { continue };
            let directory = self.directory(&replaced);
            if directory.is_dir() && !is_replaced(&directory) {
                self.replace(&replaced)?;
            }
        }
        Ok(())
    }

    /// Removes the replaced images that nobody uses any more.
    fn sweep_replaced(&self) -> Result<(), StoreError> {
        for name in self.directory_names()? {
            let path = self.images().join(&name);
            if ImageId::is_id(&name)
                && is_replaced(&path)
                && let Some(unused) = UnusedImage::take(&path)
            {
                self.discard(&name, unused)?;
            }
        }
        Ok(())
    }

    /// Takes an image away from its name: removes it, or marks it while it is used.
    fn replace(&self, id: &ImageId) -> Result<(), StoreError> {
        let directory = self.directory(id);
        if let Some(unused) = UnusedImage::take(&directory) {
            return self.discard(id.as_str(), unused);
        }
        let mark = directory.join(REPLACED_FILE);
        let marked = match fs::File::create_new(&mark) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => Err(error),
            _ => sync(&directory),
        };
        marked.map_err(|source| StoreError::io("write", &mark, source))
    }

    /// Removes an image in one step; its bytes are freed afterwards.
    fn discard(&self, id: &str, unused: UnusedImage) -> Result<(), StoreError> {
        let from = self.images().join(id);
        let to = self.images().join(format!("{id}{REMOVED_SUFFIX}"));
        // Left by a run that was killed here.
        remove_tree(&to).map_err(|source| StoreError::io("remove", &to, source))?;
        fs::rename(&from, &to).map_err(|source| StoreError::io("remove", &from, source))?;
        // Threads that waited for a lease now see that the image was removed.
        drop(unused);
        remove_tree(&to).map_err(|source| StoreError::io("remove", &to, source))
    }
}
