//! Disks of earlier builds: `<cache>/builds/<key>.ext4`.

use std::fs::{self, File, FileTimes};
use std::io;
use std::time::{Duration, SystemTime};

use banger_ext4::copy_sparse;
use banger_oci::PruneOptions;
use banger_tree::Cancellation;
use camino::{Utf8Path, Utf8PathBuf};

use crate::dirs::Dirs;
use crate::error::Error;
use crate::output::{OutputError, OutputFile};

const SUFFIX: &str = ".ext4";

/// The disks of earlier builds.
#[derive(Clone, Debug)]
pub struct BuildCache {
    directory: Utf8PathBuf,
}

/// Result of [`BuildCache::prune`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct BuildCachePruned {
    /// Number of removed disks.
    pub removed: usize,
    /// Bytes on the host's disk that they had.
    pub removed_bytes: u64,
    /// Bytes on the host's disk that the others have.
    pub kept_bytes: u64,
}

impl BuildCache {
    /// Returns the cache in the cache directory of `dirs`.
    pub fn new(dirs: &Dirs) -> Self {
        Self { directory: dirs.cache.join("builds") }
    }

    fn path(&self, key: &str) -> Utf8PathBuf {
        self.directory.join(format!("{key}{SUFFIX}"))
    }

    /// Copies the disk of `key` to the new file `to`; returns whether there is one.
    pub(super) fn take(&self, key: &str, to: &Utf8Path, cancellation: &Cancellation) -> Result<bool, Error> {
        let path = self.path(key);
        let Ok(file) = File::open(&path) else { return Ok(false) };
        // Prune goes by the time of the last use.
        let _ = file.set_times(FileTimes::new().set_modified(SystemTime::now()));
        copy(&file, to, cancellation).map(|()| true)
    }

    /// Returns whether the disk of `key` is there.
    pub(super) fn has(&self, key: &str) -> bool {
        self.path(key).is_file()
    }

    /// Keeps a copy of the disk `from` for `key`.
    pub(super) fn put(&self, key: &str, from: &Utf8Path, cancellation: &Cancellation) -> Result<(), Error> {
        fs::create_dir_all(&self.directory).map_err(OutputError::io("create", &self.directory))?;
        let file = File::open(from).map_err(OutputError::io("open", from))?;
        let output = OutputFile::create(&self.path(key), true)?;
        copy(&file, &output.partial_path(), cancellation)?;
        Ok(output.publish()?)
    }

    /// Removes disks: those that `options` select by the time of their last use, and then the oldest ones until
    /// the others fit its size.
    ///
    /// # Errors
    /// The directory cannot be read, or a file cannot be removed.
    pub fn prune(&self, options: &PruneOptions) -> Result<BuildCachePruned, Error> {
        let mut disks = self.disks()?;
        // The oldest first.
        disks.sort();
        let mut kept: u64 = disks.iter().map(|(_, bytes, _)| bytes).sum();
        let mut pruned = BuildCachePruned::default();
        for (used, bytes, path) in disks {
            let age = SystemTime::now().duration_since(used).unwrap_or(Duration::ZERO);
            let is_selected = options.all
                || options.older_than.is_some_and(|limit| age > limit)
                || options.max_size_bytes.is_some_and(|limit| kept > limit);
            if !is_selected {
                continue;
            }
            if !options.dry_run {
                match fs::remove_file(&path) {
                    Err(error) if error.kind() != io::ErrorKind::NotFound => {
                        return Err(OutputError::io("remove", &path)(error).into());
                    }
                    _ => {}
                }
            }
            kept -= bytes;
            pruned.removed += 1;
            pruned.removed_bytes += bytes;
        }
        pruned.kept_bytes = kept;
        Ok(pruned)
    }

    /// Returns all disks, with the time of their last use and their bytes on the host's disk.
    fn disks(&self) -> Result<Vec<(SystemTime, u64, Utf8PathBuf)>, Error> {
        use std::os::unix::fs::MetadataExt as _;
        let failed = OutputError::io("read", &self.directory);
        let entries = match self.directory.read_dir_utf8() {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            entries => entries.map_err(&failed)?,
        };
        let mut disks = Vec::new();
        for entry in entries {
            let entry = entry.map_err(&failed)?;
            // Gone since the directory was read, if not.
            let Ok(metadata) = entry.metadata() else { continue };
            if entry.file_name().ends_with(SUFFIX) && metadata.is_file() {
                let used = metadata.modified().unwrap_or(SystemTime::UNIX_EPOCH);
                disks.push((used, metadata.blocks() * 512, entry.path().to_owned()));
            }
        }
        Ok(disks)
    }
}

fn copy(from: &File, to: &Utf8Path, cancellation: &Cancellation) -> Result<(), Error> {
    let failed = OutputError::io("write", to);
    let target = File::create_new(to).map_err(&failed)?;
    let copied = copy_sparse(from, &target, cancellation);
    match cancellation.is_cancelled() {
        true => Err(Error::Cancelled),
        false => Ok(copied.map_err(failed)?),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn disks_are_kept_taken_and_pruned() {
        let dir = tempfile::tempdir().unwrap();
        let root = Utf8Path::from_path(dir.path()).unwrap();
        let dirs = Dirs::new(root.join("state"), root.join("cache"));
        let (cache, stop) = (BuildCache::new(&dirs), Cancellation::new());
        let all = PruneOptions::default().with_all(true);
        assert_eq!(cache.prune(&all).unwrap(), BuildCachePruned::default());
        let source = root.join("disk");
        fs::write(&source, vec![7; 8192]).unwrap();
        cache.put("one", &source, &stop).unwrap();
        cache.put("two", &source, &stop).unwrap();
        assert!(cache.has("one") && !cache.has("three"));
        let to = root.join("taken");
        assert!(!cache.take("three", &to, &stop).unwrap());
        assert!(cache.take("one", &to, &stop).unwrap());
        assert_eq!(fs::read(&to).unwrap(), vec![7; 8192]);
        // "two" was used longer ago.
        let long_ago = SystemTime::now() - Duration::from_secs(3600);
        let two = File::options().write(true).open(cache.path("two")).unwrap();
        two.set_times(FileTimes::new().set_modified(long_ago)).unwrap();
        let dry = PruneOptions::default().with_older_than(Some(Duration::from_secs(60))).with_dry_run(true);
        assert_eq!(cache.prune(&dry).unwrap().removed, 1);
        assert!(cache.has("two"));
        let fits = PruneOptions::default().with_max_size_bytes(Some(8192));
        assert_eq!(cache.prune(&fits).unwrap().removed, 1);
        assert!(cache.has("one") && !cache.has("two"));
        assert_eq!(cache.prune(&all).unwrap().removed, 1);
    }
}
