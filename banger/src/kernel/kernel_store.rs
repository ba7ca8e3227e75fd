//! Lists, opens and removes the kernels of one state directory.

use std::fs;
use std::io;

use banger_kernel::Kernel;
use banger_tree::Cancellation;
use camino::{Utf8Path, Utf8PathBuf};

use super::record::KernelRecord;
use crate::id::ImageId;
use crate::lock::Lock;
use crate::staging::{StagingDir, remove_tree, sweep, sync_tree};
use crate::store::{
    DamagedImage, ImageLease, NAMES_LOCK, REMOVED_SUFFIX, STAGING_SUFFIX, StoreError, StoredKind,
    UnusedImage, directory_names, look_up, make_directories, read_record, write_json,
};

/// File name of the record in a kernel's directory.
pub const KERNEL_RECORD_FILE: &str = "kernel.json";

/// The kernels under one state directory.
#[derive(Clone, Debug)]
pub struct KernelStore {
    state: Utf8PathBuf,
    kernels: Utf8PathBuf,
}

/// Content of the store.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct KernelListing {
    /// The kernels, ordered by name.
    pub kernels: Vec<KernelRecord>,
    /// Directories that look like kernels but whose record cannot be read.
    pub damaged: Vec<DamagedImage>,
}

/// A kernel of the store, kept in its place.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct StoredKernel {
    /// Its record.
    pub record: KernelRecord,
    /// Its directory.
    pub path: Utf8PathBuf,
    /// Its files.
    pub kernel: Kernel,
    /// Keeps the files in their places.
    pub lease: ImageLease,
}

impl KernelStore {
    /// Returns the store under `state`; nothing is created before the first kernel is imported.
    pub fn new(state: &Utf8Path) -> Self {
        Self { state: state.to_owned(), kernels: state.join("kernels") }
    }

    /// Returns the directory of a kernel.
    pub fn directory(&self, id: &ImageId) -> Utf8PathBuf {
        self.kernels.join(id.as_str())
    }

    /// Returns all kernels. They may be removed at any time: [`open`](Self::open) keeps one.
    ///
    /// # Errors
    /// The store's directory exists and cannot be read.
    pub fn list(&self) -> Result<KernelListing, StoreError> {
        let mut listing = KernelListing::default();
        for name in directory_names(&self.state, &self.kernels)? {
            let Ok(id) = name.parse::<ImageId>() else { continue };
            let directory = self.directory(&id);
            match read_record(&directory, &id, KERNEL_RECORD_FILE, KernelRecord::from_json) {
                Ok(record) => listing.kernels.push(record),
                // Removed since the directory was read.
                Err(_) if !directory.exists() => {}
                Err(damaged) => listing.damaged.push(damaged),
            }
        }
        listing.kernels.sort_by(|a, b| (&a.name, &a.id).cmp(&(&b.name, &b.id)));
        Ok(listing)
    }

    /// Returns the record of the kernel with this name, id, or unique beginning of an id. The kernel may be
    /// removed at any time: [`open`](Self::open) keeps it.
    ///
    /// # Errors
    /// No kernel or several kernels fit, or its record is damaged.
    pub fn find(&self, wanted: &str) -> Result<KernelRecord, StoreError> {
        let KernelListing { kernels, damaged } = self.list()?;
        look_up(kernels, damaged, wanted)
    }

    /// Returns the kernel with this name, id, or unique beginning of an id. It stays in its place until the
    /// result is dropped.
    ///
    /// # Errors
    /// The errors of [`find`](Self::find), or the caller asks to stop.
    pub fn open(&self, wanted: &str, cancellation: &Cancellation) -> Result<StoredKernel, StoreError> {
        loop {
            let record = self.find(wanted)?;
            let path = self.directory(&record.id);
            // Removed since it was found, if there is no lease.
            if let Some(lease) = ImageLease::take(&path, cancellation)? {
                return Ok(stored(record, path, lease));
            }
        }
    }

    /// Removes the kernel with this name, id or unique beginning of an id, also a damaged one; returns its id.
    ///
    /// # Errors
    /// The kernel does not exist or is in use, the state directory cannot be written, or the caller asks to
    /// stop.
    pub fn remove(&self, wanted: &str, cancellation: &Cancellation) -> Result<String, StoreError> {
        let find = || match self.find(wanted) {
            Ok(kernel) => Ok(kernel.id.to_string()),
            Err(StoreError::Damaged { id, .. }) => Ok(id),
            Err(error) => Err(error),
        };
        find()?;
        let _names = self.lock_names(cancellation)?;
        let id = find()?;
        let from = self.kernels.join(&id);
        let Some(unused) = UnusedImage::take(&from) else { return Err(StoreError::InUse { path: from }) };
        let to = self.kernels.join(format!("{id}{REMOVED_SUFFIX}"));
        let failed = |path: &Utf8Path| {
            let path = path.to_owned();
            move |source| StoreError::io("remove", &path, source)
        };
        // Left by a run that was killed here.
        remove_tree(&to).map_err(failed(&to))?;
        fs::rename(&from, &to).map_err(failed(&from))?;
        // Threads that waited for a lease now see that the kernel was removed.
        drop(unused);
        remove_tree(&to).map_err(failed(&to))?;
        Ok(id)
    }

    /// Starts a new kernel in a directory of its own; first removes leftovers of killed processes.
    pub(super) fn stage(&self, cancellation: &Cancellation) -> Result<(ImageId, StagingDir), StoreError> {
        make_directories(&self.state, &self.kernels)?;
        self.sweep(cancellation)?;
        loop {
            let id = ImageId::random();
            let path = self.kernels.join(format!("{id}{STAGING_SUFFIX}"));
            match StagingDir::create(path.clone()) {
                Ok(staging) => return Ok((id, staging)),
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                Err(source) => return Err(StoreError::io("create", &path, source)),
            }
        }
    }

    /// Publishes a kernel with one rename; everything is on the disk when this returns. Returns the existing
    /// kernel, and true, if one with the same name and files is there already.
    pub(super) fn publish(
        &self,
        staging: StagingDir,
        record: KernelRecord,
        cancellation: &Cancellation,
    ) -> Result<(StoredKernel, bool), StoreError> {
        let staged = staging.path().to_owned();
        write_json(&staged, KERNEL_RECORD_FILE, &record)?;
        sync_tree(&staged).map_err(|source| StoreError::io("flush", &staged, source))?;
        let _names = self.lock_names(cancellation)?;
        let KernelListing { kernels, .. } = self.list()?;
        if let Some(existing) = kernels.into_iter().find(|kernel| kernel.name == record.name) {
            let path = self.directory(&existing.id);
            let lease = match existing.digest == record.digest {
                true => ImageLease::take(&path, cancellation)?,
                false => None,
            };
            return match lease {
                Some(lease) => Ok((stored(existing, path, lease), true)),
                None => Err(StoreError::NameTaken { what: StoredKind::Kernel, name: record.name }),
            };
        }
        let path = self.directory(&record.id);
        let failed = |source| StoreError::io("publish", &path, source);
        // Leased before others can see it.
        let lease = staging.open().and_then(ImageLease::of_new).map_err(failed)?;
        staging.publish(&path).map_err(failed)?;
        Ok((stored(record, path, lease), false))
    }

    /// Removes leftovers of killed processes.
    fn sweep(&self, cancellation: &Cancellation) -> Result<(), StoreError> {
        let _names = self.lock_names(cancellation)?;
        sweep(&self.kernels, "", STAGING_SUFFIX)
            .map_err(|source| StoreError::io("remove what is stale in", &self.kernels, source))?;
        for name in directory_names(&self.state, &self.kernels)? {
            if name.strip_suffix(REMOVED_SUFFIX).is_some_and(ImageId::is_id) {
                let path = self.kernels.join(&name);
                remove_tree(&path).map_err(|source| StoreError::io("remove", &path, source))?;
            }
        }
        Ok(())
    }

    fn lock_names(&self, cancellation: &Cancellation) -> Result<Lock, StoreError> {
        let path = self.kernels.join(NAMES_LOCK);
        Lock::wait(&path, cancellation).map_err(|error| StoreError::lock(&path, error))
    }
}

fn stored(record: KernelRecord, path: Utf8PathBuf, lease: ImageLease) -> StoredKernel {
    let kernel = record.kernel_in(&path);
    StoredKernel { record, path, kernel, lease }
}
