//! Two root file systems, compared path by path.

use std::collections::BTreeMap;

use banger_tree::{Cancellation, DirEntry, FileType, GuestPath, Rootfs, Stat};

use super::error::EditError;
use super::tar::{layer_xattrs, read_full, stat};

/// Bytes of each file that are compared at a time.
const CHUNK_BYTES: usize = 256 * 1024;

/// A root file system, and one that it became.
#[derive(Clone, Copy)]
pub(crate) struct Pair<'a> {
    pub(crate) old: &'a dyn Rootfs,
    pub(crate) new: &'a dyn Rootfs,
    pub(crate) cancellation: &'a Cancellation,
}

/// Why two root file systems could not be compared.
#[derive(Debug)]
pub(crate) enum PairFailure {
    /// The old one cannot be read.
    Old(EditError),
    /// The new one cannot be read, or the caller asks to stop.
    New(EditError),
}

/// The names of a directory, each with its entry in both.
pub(crate) type PairNames = BTreeMap<Vec<u8>, (Option<DirEntry>, Option<DirEntry>)>;

impl Pair<'_> {
    pub(crate) fn old_stat(&self, path: &GuestPath) -> Result<Stat, PairFailure> {
        stat(self.old, path, self.cancellation).map_err(PairFailure::Old)
    }

    pub(crate) fn new_stat(&self, path: &GuestPath) -> Result<Stat, PairFailure> {
        stat(self.new, path, self.cancellation).map_err(PairFailure::New)
    }

    /// Returns the names of a directory, in those of the two that have it.
    pub(crate) fn names(
        &self,
        dir: &GuestPath,
        is_in_old: bool,
        is_in_new: bool,
    ) -> Result<PairNames, PairFailure> {
        let read = |rootfs: &dyn Rootfs| rootfs.read_dir(dir).map_err(EditError::from);
        let mut names = PairNames::new();
        if is_in_new {
            for entry in read(self.new).map_err(PairFailure::New)? {
                let name = entry.name.clone();
                names.entry(name).or_default().1 = Some(entry);
            }
        }
        if is_in_old {
            for entry in read(self.old).map_err(PairFailure::Old)? {
                let name = entry.name.clone();
                names.entry(name).or_default().0 = Some(entry);
            }
        }
        Ok(names)
    }

    /// Returns whether both have the same at `path`: type, attributes, and bytes or target or device. The number of
    /// hard links does not count, and neither does the content of a directory.
    pub(crate) fn is_same(&self, path: &GuestPath, old: &Stat, new: &Stat) -> Result<bool, PairFailure> {
        let is_alike = old.file_type == new.file_type
            && old.size_bytes == new.size_bytes
            && old.device == new.device
            && has_same_attributes(old, new);
        Ok(is_alike && self.has_same_content(path, new)?)
    }

    /// Returns whether two files of one type and size have the same bytes, or the same target.
    pub(crate) fn has_same_content(&self, path: &GuestPath, new: &Stat) -> Result<bool, PairFailure> {
        match new.file_type {
            FileType::Regular => self.has_same_bytes(path, new.size_bytes),
            FileType::Symlink => {
                let target = |rootfs: &dyn Rootfs| rootfs.read_link(path);
                let old = target(self.old).map_err(|error| PairFailure::Old(error.into()))?;
                let new = target(self.new).map_err(|error| PairFailure::New(error.into()))?;
                Ok(old == new)
            }
            _ => Ok(true),
        }
    }

    /// Compares two files of this size. What is a hole in both is not read.
    fn has_same_bytes(&self, path: &GuestPath, size_bytes: u64) -> Result<bool, PairFailure> {
        let longest = usize::try_from(size_bytes).unwrap_or(usize::MAX).min(CHUNK_BYTES);
        let (mut old, mut new) = (vec![0; longest], vec![0; longest]);
        let (mut old_data, mut new_data) = (KnownData::default(), KnownData::default());
        let mut offset = 0;
        while offset < size_bytes {
            if self.cancellation.is_cancelled() {
                return Err(PairFailure::New(EditError::Cancelled));
            }
            let in_old = old_data.next(self.old, path, offset).map_err(PairFailure::Old)?;
            let in_new = new_data.next(self.new, path, offset).map_err(PairFailure::New)?;
            offset = in_old.min(in_new).max(offset);
            let length =
                usize::try_from(size_bytes.saturating_sub(offset)).unwrap_or(usize::MAX).min(longest);
            read_full(self.old, path, offset, &mut old[..length]).map_err(PairFailure::Old)?;
            read_full(self.new, path, offset, &mut new[..length]).map_err(PairFailure::New)?;
            if old[..length] != new[..length] {
                return Ok(false);
            }
            offset = offset.saturating_add(length as u64);
        }
        Ok(true)
    }
}

/// The piece of data of a file that was found last.
#[derive(Default)]
struct KnownData {
    start: u64,
    end: u64,
}

impl KnownData {
    /// Returns where data is, from `offset` on; `u64::MAX` if only holes follow.
    fn next(&mut self, rootfs: &dyn Rootfs, path: &GuestPath, offset: u64) -> Result<u64, EditError> {
        if offset >= self.end {
            (self.start, self.end) = rootfs.data_from(path, offset)?.unwrap_or((u64::MAX, u64::MAX));
        }
        Ok(self.start.max(offset))
    }
}

/// Returns whether a layer would have the same attributes of both.
pub(crate) fn has_same_attributes(old: &Stat, new: &Stat) -> bool {
    let (old, new) = (&old.attributes, &new.attributes);
    (old.mode, old.uid, old.gid, old.mtime) == (new.mode, new.uid, new.gid, new.mtime)
        && layer_xattrs(&old.xattrs).eq(layer_xattrs(&new.xattrs))
}
