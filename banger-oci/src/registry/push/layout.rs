//! A push to the directory of an OCI layout.

use std::fs::{self, File, TryLockError};
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::time::Duration;

use banger_tree::{Existing, LockedFile, NewFile};
use camino::{Utf8Path, Utf8PathBuf};

use super::error::PushError;
use super::layout_index::{OCI_LAYOUT, name_of, with_entry};
use super::plan::{PushPlan, PushTally};
use super::workers::Workers;
use crate::digest::Digest;
use crate::reference::Selector;
use crate::registry::cache::hash_file;
use crate::registry::error::PullError;
use crate::registry::event::{Progress, PullEvent};
use crate::registry::options::PullOptions;
use crate::registry::source::{DirFiles, LayoutFiles as _, blob_name, read_stored};
use crate::registry::stop::PullStop;
use crate::registry::upload_bytes::UploadBytes;

/// The mode of a new file, without the bits of the umask.
pub(super) const FILE_MODE: u32 = 0o666;
/// How often a push looks whether another one has left the directory.
const LOCK_INTERVAL: Duration = Duration::from_millis(20);

/// Writes an artifact into a layout. Its index changes last, in one step.
pub(super) fn push(
    dir: &Utf8Path,
    selector: &Selector,
    plan: &PushPlan<'_>,
    options: &PullOptions,
    progress: &Progress,
    workers: &Workers<'_>,
    tally: &PushTally,
) -> Result<(), PushError> {
    let mut layout = LayoutDir::open(dir, workers.stop)?;
    layout.check()?;
    if layout.files.open("oci-layout")?.is_none() {
        layout.write("oci-layout", OCI_LAYOUT.as_bytes())?;
    }
    let digests = plan.blobs.iter().map(|blob| &blob.digest).chain([&plan.digest]);
    for algorithm in digests.map(|digest| digest.algorithm().as_str()) {
        let blobs = dir.join("blobs").join(algorithm);
        fs::create_dir_all(&blobs).map_err(PullError::io("create", &blobs))?;
    }
    workers.each(&plan.blobs, |_, blob| {
        let (digest, size_bytes) = (blob.digest.clone(), blob.size);
        if layout.has(&digest, size_bytes, workers.stop)? {
            tally.note_present();
            progress.emit(PullEvent::BlobPresent { digest, size_bytes, mounted: false });
            return Ok(());
        }
        let bytes = plan.read(blob, workers.stop)?;
        progress.emit(PullEvent::UploadStarted { digest: digest.clone(), size_bytes });
        layout.write_blob(&blob_name(&digest), &bytes, workers.stop)?;
        progress.emit(PullEvent::UploadDone { digest });
        tally.note_sent(blob);
        Ok(())
    })?;
    layout.write(&blob_name(&plan.digest), &plan.manifest)?;
    workers.stop.check()?;
    let what = format!("index.json of {dir}");
    let existing = match layout.files.open("index.json")? {
        Some(stored) => Some(read_stored(&stored, options.manifest_cap(), &what)?),
        None => None,
    };
    let budget = options.budget.renewed();
    let index = with_entry(existing.as_deref(), plan.descriptor(), name_of(selector), &what, &budget)?;
    layout.publish(&index)
}

/// The directory of a layout, which only one push at a time changes. A directory that this push made is removed,
/// unless the push succeeds.
#[derive(Debug)]
struct LayoutDir {
    files: DirFiles,
    /// `None` where the host has no locks.
    lock: Option<LockedFile>,
    is_unfinished: bool,
}

impl LayoutDir {
    /// Opens the directory, and makes it if it is missing. Waits for other pushes.
    fn open(dir: &Utf8Path, stop: &PullStop) -> Result<Self, PushError> {
        loop {
            stop.check()?;
            let is_made = match fs::create_dir(dir) {
                Ok(()) => true,
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => false,
                Err(error) => return Err(PullError::io("create", dir)(error).into()),
            };
            // To open a FIFO would block for ever.
            if fs::metadata(dir).is_ok_and(|found| !found.is_dir()) {
                return Err(PullError::layout(dir, "it is not a directory").into());
            }
            let opened = match File::open(dir) {
                Ok(opened) => opened,
                // Another push has removed its directory meanwhile.
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                Err(error) => return Err(PullError::io("open", dir)(error).into()),
            };
            let id = |found: io::Result<fs::Metadata>| found.map(|found| (found.dev(), found.ino()));
            let own = id(opened.metadata()).map_err(PullError::io("read", dir))?;
            let lock = lock(opened, stop)?;
            if id(fs::metadata(dir)).ok() == Some(own) {
                let is_unfinished = is_made && is_empty(dir)?;
                return Ok(Self { files: DirFiles(dir.to_owned()), lock, is_unfinished });
            }
        }
    }

    /// Fails if the directory has other content than a layout.
    fn check(&self) -> Result<(), PushError> {
        let dir = self.files.path();
        let is_layout = ["oci-layout", "index.json"].iter().any(|name| dir.join(name).is_file());
        match is_layout || is_empty(dir)? {
            true => Ok(()),
            false => Err(PullError::layout(dir, "it is neither empty nor an OCI image layout").into()),
        }
    }

    /// Returns whether a blob is there, with the right bytes.
    fn has(&self, digest: &Digest, size: u64, stop: &PullStop) -> Result<bool, PullError> {
        match self.files.open(&blob_name(digest))? {
            Some(stored) if stored.len == size => {
                Ok(hash_file(&stored.file, &stored.path, digest, stop)? == *digest)
            }
            _ => Ok(false),
        }
    }

    /// Writes a file.
    fn write(&self, name: &str, bytes: &[u8]) -> Result<(), PushError> {
        self.write_with(name, |file, path| file.write_bytes(bytes).map_err(PushError::file(path)))
    }

    /// Writes a file of any size.
    fn write_blob(&self, name: &str, bytes: &UploadBytes, stop: &PullStop) -> Result<(), PushError> {
        self.write_with(name, |file, path| {
            let failed = |error| PullError::io("write", path)(error);
            Ok(bytes.copy_to(file, || stop.check(), failed)?)
        })
    }

    /// Writes a file by `write`. On Linux the flush of [`publish`](Self::publish) puts it on the disk.
    fn write_with(
        &self,
        name: &str,
        write: impl FnOnce(&mut NewFile, &Utf8Path) -> Result<(), PushError>,
    ) -> Result<(), PushError> {
        let path: Utf8PathBuf = self.files.path().join(name);
        let mut file = NewFile::create(path.as_std_path(), FILE_MODE).map_err(PushError::file(&path))?;
        if cfg!(target_os = "linux") {
            file = file.without_flush();
        }
        write(&mut file, &path)?;
        file.publish(Existing::Replace).map_err(PushError::file(&path))
    }

    /// Replaces the index. All files are on the disk before.
    fn publish(&mut self, index: &[u8]) -> Result<(), PushError> {
        let dir = self.files.path().to_owned();
        let flushed = match &self.lock {
            Some(opened) => flush(opened),
            None => File::open(&dir).and_then(|opened| flush(&opened)),
        };
        flushed.map_err(PullError::io("flush", &dir))?;
        let path = dir.join("index.json");
        banger_tree::write_new_file(path.as_std_path(), FILE_MODE, index).map_err(PushError::file(&path))?;
        self.is_unfinished = false;
        Ok(())
    }
}

impl Drop for LayoutDir {
    fn drop(&mut self) {
        if self.is_unfinished {
            // What stays here is no layout: it has no index.
            let _ = fs::remove_dir_all(self.files.path());
        }
    }
}

/// Puts all files of the file system on the disk: one call for all blobs.
fn flush(opened: &File) -> io::Result<()> {
    #[cfg(target_os = "linux")]
    return Ok(rustix::fs::syncfs(opened)?);
    #[cfg(not(target_os = "linux"))]
    opened.sync_all()
}

/// Locks an open directory. `None` if it cannot be locked.
fn lock(directory: File, stop: &PullStop) -> Result<Option<LockedFile>, PullError> {
    loop {
        stop.check()?;
        match directory.try_lock() {
            Ok(()) => return Ok(Some(LockedFile::of(directory))),
            Err(TryLockError::WouldBlock) => std::thread::sleep(LOCK_INTERVAL),
            Err(TryLockError::Error(_)) => return Ok(None),
        }
    }
}

fn is_empty(dir: &Utf8Path) -> Result<bool, PullError> {
    let mut entries = dir.read_dir_utf8().map_err(PullError::io("read", dir))?;
    Ok(entries.next().is_none())
}
