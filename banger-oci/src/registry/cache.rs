//! The content-addressed blob cache: `blobs/<algorithm>/<hex>`, partial downloads beside them.
//!
//! Several processes may use one cache at a time. The writer of a `<hex>.partial` file holds an exclusive
//! `flock` on it; a reader of a blob holds a shared one. So each blob is downloaded once for all processes.
//! [`BlobCache::prune`] locks a blob exclusively before it removes it, so it never removes a blob of a
//! running pull. The kernel drops the locks of a killed process, so a lock is never stale.
//!
//! Files are not synced to the disk. Every blob is hashed again when it is read, so banger finds damage of a
//! power failure and fetches the blob again.

use std::fs::{self, File, TryLockError};
use std::io::{self, Read};
use std::os::unix::fs::{FileExt, MetadataExt};
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use banger_tree::{Advice, Existing, LockedFile, NewFile};
use camino::{Utf8Path, Utf8PathBuf};

use crate::digest::{Digest, Hasher};
use crate::registry::error::PullError;
use crate::registry::event::{Progress, PullEvent};
use crate::registry::stop::PullStop;

mod damage;
mod place;
mod prune;
mod tags;
mod verify;

pub(crate) use damage::DamagedBlobs;
pub use place::check_own_directory;
use place::{Place, Purpose};
pub use prune::{CacheEntry, PruneOptions, PruneReport, Removal};
pub use verify::{CacheVerification, DamagedBlob};

/// Bytes read at a time when a blob is hashed.
pub(crate) const READ_LEN: usize = 256 * 1024;

/// How the names of small blobs begin while they are written.
const NEW_PREFIX: &str = ".new-";
const SMALL_BLOB_MODE: u32 = 0o600;
/// Writing a small blob takes far less than this. Older files were left by a killed process.
const NEW_LIFE: Duration = Duration::from_secs(3600);

/// Interval at which a process checks for the release of a lock.
const LOCK_INTERVAL: Duration = Duration::from_millis(10);
/// Time limit of these checks. A process locks a complete blob exclusively only for an instant.
const LOCK_TIME: Duration = Duration::from_secs(30);
/// Number of attempts at a path that another process changes all the time.
const MAX_LOOKS: u32 = 1000;

/// The receiver of events of the cache, and the flag that stops a wait for other processes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Watch<'a> {
    pub(crate) progress: &'a Progress,
    pub(crate) cancel: &'a PullStop,
}

impl Watch<'_> {
    fn damaged(self, digest: &Digest) {
        self.progress.emit(PullEvent::CacheDamaged { digest: digest.clone() });
    }
}

/// A directory with blobs, shared by all pulls of a user.
#[derive(Clone, Debug)]
pub struct BlobCache {
    root: Utf8PathBuf,
}

/// A complete blob of the cache. While this exists, [`BlobCache::prune`] leaves the blob alone.
#[derive(Debug)]
pub(crate) struct CachedBlob {
    pub(crate) file: LockedFile,
    pub(crate) path: Utf8PathBuf,
    pub(crate) len: u64,
}

/// The right to write a partial download. A drop lets others continue the download.
#[derive(Debug)]
pub(crate) struct PartialBlob {
    pub(crate) file: Arc<LockedFile>,
    pub(crate) path: Utf8PathBuf,
    /// Path of the complete blob.
    pub(crate) target: Utf8PathBuf,
}

/// Result of [`BlobCache::claim`].
#[derive(Debug)]
pub(crate) enum Claim {
    Complete(CachedBlob),
    Partial(PartialBlob),
    /// Another process is writing it.
    Busy,
}

impl BlobCache {
    /// Returns the cache at `root`, which need not be there: for [`BlobCache::list`] and
    /// [`BlobCache::prune`], which find nothing then.
    pub fn at(root: impl Into<Utf8PathBuf>) -> Self {
        Self { root: root.into() }
    }

    /// Opens the cache at `root`; creates a missing directory.
    ///
    /// # Errors
    ///
    /// [`PullError::Io`] if the directory cannot be created, [`PullError::CachePlace`] if another user can
    /// change files in it.
    pub fn open(root: impl Into<Utf8PathBuf>) -> Result<Self, PullError> {
        let cache = Self::at(root);
        let blobs = cache.root.join("blobs");
        let algorithms = ["sha256", "sha512"].map(|algorithm| blobs.join(algorithm));
        for dir in [&cache.root, &blobs].into_iter().chain(&algorithms) {
            place::make_directory(dir)?;
        }
        Ok(cache)
    }

    /// The directory of the cache.
    #[must_use]
    pub fn root(&self) -> &Utf8Path {
        &self.root
    }

    /// Returns the path of the blob `digest`.
    #[must_use]
    pub fn blob_path(&self, digest: &Digest) -> Utf8PathBuf {
        self.root.join("blobs").join(digest.algorithm().as_str()).join(digest.hex())
    }

    /// Returns the path of the incomplete blob `digest`.
    #[must_use]
    pub fn partial_path(&self, digest: &Digest) -> Utf8PathBuf {
        let mut path = self.blob_path(digest).into_string();
        path.push_str(".partial");
        path.into()
    }

    /// Whether the blob `digest` is complete. Its bytes are checked when they are read.
    #[must_use]
    pub fn contains(&self, digest: &Digest) -> bool {
        fs::symlink_metadata(self.blob_path(digest)).is_ok_and(|metadata| metadata.is_file())
    }

    /// Opens a complete blob and keeps it from being pruned.
    pub(crate) fn get(&self, digest: &Digest, watch: &Watch<'_>) -> Result<Option<CachedBlob>, PullError> {
        let path = self.blob_path(digest);
        for _ in 0..MAX_LOOKS {
            watch.cancel.check()?;
            let file = match place::open(&path, Purpose::Read)? {
                Place::File(file) => file,
                Place::Nothing => return Ok(None),
                Place::Removed => {
                    watch.damaged(digest);
                    continue;
                }
            };
            // A writer keeps its exclusive lock for an instant after the rename.
            lock_shared(&file, &path, watch.cancel)?;
            // Removed between the two calls above: look again.
            if is_at(&file, &path) {
                let len = file.metadata().map_err(PullError::io("read", &path))?.len();
                // For `prune`, which selects by age. Files of another user keep their time.
                let _not_ours = file.set_modified(SystemTime::now());
                return Ok(Some(CachedBlob { file: LockedFile::of(file), path, len }));
            }
        }
        Err(restless(path))
    }

    /// Opens a complete blob, or the file for the missing rest.
    pub(crate) fn claim(&self, digest: &Digest, watch: &Watch<'_>) -> Result<Claim, PullError> {
        let path = self.partial_path(digest);
        for _ in 0..MAX_LOOKS {
            if let Some(blob) = self.get(digest, watch)? {
                return Ok(Claim::Complete(blob));
            }
            let file = match place::open(&path, Purpose::Write)? {
                Place::File(file) => file,
                Place::Nothing => continue,
                Place::Removed => {
                    watch.damaged(digest);
                    continue;
                }
            };
            match file.try_lock() {
                Ok(()) => {}
                Err(TryLockError::WouldBlock) => return Ok(Claim::Busy),
                Err(TryLockError::Error(error)) => return Err(PullError::io("lock", &path)(error)),
            }
            let file = LockedFile::of(file);
            // Completed or removed by another process between the two calls above: look again.
            if is_at(&file, &path) {
                let target = self.blob_path(digest);
                let partial = PartialBlob { file: Arc::new(file), path: path.clone(), target };
                // Completed before the file was created, which is a new one then: it goes again.
                if !self.contains(digest) {
                    return Ok(Claim::Partial(partial));
                }
            }
        }
        Err(restless(path))
    }

    /// Reads a small blob, for example a manifest, and checks it. A damaged one is removed.
    pub(crate) fn read_small(
        &self,
        digest: &Digest,
        limit_bytes: u64,
        watch: &Watch<'_>,
    ) -> Result<SmallBlob, PullError> {
        let Some(blob) = self.get(digest, watch)? else {
            return Ok(SmallBlob::Absent);
        };
        // Too large for the wanted document: the source words the error.
        if blob.len > limit_bytes {
            if hash_file(&blob.file, &blob.path, digest, watch.cancel)? == *digest {
                return Ok(SmallBlob::Absent);
            }
            blob.remove()?;
            return Ok(SmallBlob::Damaged);
        }
        let mut bytes = Vec::new();
        // Not more than that, should it grow meanwhile.
        let mut reader = (&*blob.file).take(limit_bytes.saturating_add(1));
        reader.read_to_end(&mut bytes).map_err(PullError::io("read", &blob.path))?;
        if digest.matches(&bytes) {
            return Ok(SmallBlob::Present(bytes, blob));
        }
        blob.remove()?;
        Ok(SmallBlob::Damaged)
    }

    /// Removes a damaged blob, if the path still leads to the same file.
    pub(crate) fn discard_damaged(&self, file: &File, digest: &Digest) -> Result<(), PullError> {
        remove_if_at(file, &self.blob_path(digest))
    }

    /// Stores a small blob whose digest the caller has checked.
    pub(crate) fn put_small(&self, digest: &Digest, bytes: &[u8]) -> Result<(), PullError> {
        if self.contains(digest) {
            return Ok(());
        }
        let target = self.blob_path(digest);
        let written = NewFile::create(target.as_std_path(), SMALL_BLOB_MODE).and_then(|file| {
            // It can be fetched again.
            let mut file = file.without_flush();
            file.write_bytes(bytes)?;
            file.publish(Existing::Replace)
        });
        written.map_err(|error| PullError::io("create", &target)(error.into()))
    }

    /// An unnamed file on the file system of the cache, which vanishes when it is closed.
    pub(crate) fn scratch_file(&self) -> Result<File, PullError> {
        tempfile::tempfile_in(&self.root).map_err(PullError::io("write to", &self.root))
    }
}

/// Result of [`BlobCache::read_small`].
#[derive(Debug)]
pub(crate) enum SmallBlob {
    Present(Vec<u8>, CachedBlob),
    Absent,
    /// It was there, with wrong bytes, and has been removed.
    Damaged,
}

impl CachedBlob {
    /// Removes the blob from the cache, if the path still leads to this file.
    pub(crate) fn remove(&self) -> Result<(), PullError> {
        remove_if_at(&self.file, &self.path)
    }
}

impl PartialBlob {
    /// Makes the partial file the blob, for everybody at once. The blob is not pruned while
    /// [`file`](Self::file) is open.
    pub(crate) fn complete(&self, cancel: &PullStop) -> Result<(), PullError> {
        fs::rename(&self.path, &self.target).map_err(PullError::io("create", &self.target))?;
        // Blobs are shared and never written again.
        lock_shared(&self.file, &self.target, cancel)
    }

    /// Removes the partial file.
    pub(crate) fn discard(&self) {
        if is_at(&self.file, &self.path) {
            // A file that cannot be removed is truncated, so that no download resumes it.
            let _kept = fs::remove_file(&self.path).or_else(|_| self.file.set_len(0));
        }
    }
}

impl Drop for PartialBlob {
    fn drop(&mut self) {
        // Nothing to resume: leave nothing behind.
        if self.file.metadata().is_ok_and(|metadata| metadata.len() == 0) {
            self.discard();
        }
    }
}

/// Hashes a file from its start.
pub(crate) fn hash_file(
    file: &File,
    path: &Utf8Path,
    digest: &Digest,
    cancel: &PullStop,
) -> Result<Digest, PullError> {
    let mut hasher = Hasher::new(digest.algorithm());
    let mut buffer = vec![0; READ_LEN];
    let mut offset = 0;
    loop {
        cancel.check()?;
        let count = file.read_at(&mut buffer, offset).map_err(PullError::io("read", path))?;
        if count == 0 {
            return Ok(hasher.finish());
        }
        hasher.update(&buffer[..count]);
        offset += count as u64;
    }
}

/// Removes `path` if it leads to `file` itself.
pub(crate) fn remove_if_at(file: &File, path: &Utf8Path) -> Result<(), PullError> {
    if !is_at(file, path) {
        return Ok(());
    }
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(PullError::io("remove", path)(error)),
        _ => Ok(()),
    }
}

/// Takes a shared lock on a file. Waits for a process with an exclusive lock, until `cancel` is set.
fn lock_shared(file: &File, path: &Utf8Path, cancel: &PullStop) -> Result<(), PullError> {
    let started = Instant::now();
    loop {
        match file.try_lock_shared() {
            Ok(()) => return Ok(()),
            Err(TryLockError::WouldBlock) => {}
            Err(TryLockError::Error(error)) => return Err(PullError::io("lock", path)(error)),
        }
        cancel.check()?;
        if started.elapsed() > LOCK_TIME {
            return Err(PullError::CachePlace {
                path: path.to_owned(),
                reason: format!("another process has locked it for {LOCK_TIME:?}"),
                advice: Advice::new(format!("end that process, which `fuser {path}` names, and try again")),
            });
        }
        std::thread::sleep(LOCK_INTERVAL);
    }
}

/// The error for a path that leads to another file at each attempt.
fn restless(path: Utf8PathBuf) -> PullError {
    let reason = "another process replaces it all the time".to_owned();
    PullError::CachePlace { path, reason, advice: Advice::new("end that process and try again") }
}

/// Returns whether `path` leads to `file` itself.
fn is_at(file: &File, path: &Utf8Path) -> bool {
    match (file.metadata(), fs::symlink_metadata(path)) {
        (Ok(own), Ok(there)) => own.dev() == there.dev() && own.ino() == there.ino(),
        _ => false,
    }
}

/// The time since a file was last used.
fn age(modified: SystemTime) -> Duration {
    SystemTime::now().duration_since(modified).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use std::sync::Barrier;

    use super::*;

    /// A request for a blob that another thread just completes never leads to a second download.
    #[test]
    fn a_blob_that_is_completed_meanwhile_is_not_claimed_again() {
        let dir = tempfile::tempdir().unwrap();
        let cache = BlobCache::open(Utf8Path::from_path(dir.path()).unwrap()).unwrap();
        let (progress, cancel) = (Progress::none(), PullStop::new(&banger_tree::Cancellation::new()));
        let watch = Watch { progress: &progress, cancel: &cancel };
        for round in 0..200_u32 {
            let digest = Digest::of(&round.to_le_bytes());
            let Claim::Partial(partial) = cache.claim(&digest, &watch).unwrap() else {
                panic!("nobody has it")
            };
            partial.file.write_all_at(b"x", 0).unwrap();
            let start = Barrier::new(2);
            std::thread::scope(|scope| {
                scope.spawn(|| {
                    start.wait();
                    partial.complete(&cancel).unwrap();
                });
                start.wait();
                loop {
                    match cache.claim(&digest, &watch).unwrap() {
                        Claim::Busy => {}
                        Claim::Complete(_) => break,
                        Claim::Partial(_) => panic!("claimed again in round {round}"),
                    }
                }
            });
            assert!(!cache.partial_path(&digest).exists());
        }
    }
}
