//! Whether two files are the same.

use banger_tree::{Cancellation, FileType, GuestPath, Rootfs, RootfsError, Stat};

use super::failure::DiffFailure;
use crate::rootfs::EditError;
use crate::rootfs::tar::{layer_xattrs, read_full, stat};

/// Bytes of each file that are compared at a time.
const CHUNK_BYTES: usize = 256 * 1024;

/// A base, and the disk that it became.
#[derive(Clone, Copy)]
pub(super) struct Pair<'a> {
    pub(super) base: &'a dyn Rootfs,
    pub(super) disk: &'a dyn Rootfs,
    pub(super) cancellation: &'a Cancellation,
}

impl Pair<'_> {
    pub(super) fn base_stat(&self, path: &GuestPath) -> Result<Stat, DiffFailure> {
        stat(self.base, path, self.cancellation).map_err(DiffFailure::Base)
    }

    pub(super) fn disk_stat(&self, path: &GuestPath) -> Result<Stat, DiffFailure> {
        stat(self.disk, path, self.cancellation).map_err(DiffFailure::Disk)
    }

    /// Returns whether both have the same at `path`: type, attributes, and bytes or target or device. The number of
    /// hard links does not count, and neither does the content of a directory.
    pub(super) fn is_same(&self, path: &GuestPath, base: &Stat, disk: &Stat) -> Result<bool, DiffFailure> {
        let is_alike = base.file_type == disk.file_type
            && base.size_bytes == disk.size_bytes
            && base.device == disk.device
            && has_same_attributes(base, disk);
        if !is_alike {
            return Ok(false);
        }
        match disk.file_type {
            FileType::Regular => self.has_same_bytes(path, disk.size_bytes),
            FileType::Symlink => {
                let target = |rootfs: &dyn Rootfs| rootfs.read_link(path);
                let base = target(self.base).map_err(|error| DiffFailure::Base(error.into()))?;
                let disk = target(self.disk).map_err(|error| DiffFailure::Disk(error.into()))?;
                Ok(base == disk)
            }
            _ => Ok(true),
        }
    }

    /// Compares two files of this size. What is a hole in both is not read.
    fn has_same_bytes(&self, path: &GuestPath, size_bytes: u64) -> Result<bool, DiffFailure> {
        let longest = usize::try_from(size_bytes).unwrap_or(usize::MAX).min(CHUNK_BYTES);
        let (mut base, mut disk) = (vec![0; longest], vec![0; longest]);
        let (mut base_data, mut disk_data) = (KnownData::default(), KnownData::default());
        let mut offset = 0;
        while offset < size_bytes {
            if self.cancellation.is_cancelled() {
                return Err(DiffFailure::Disk(EditError::Cancelled));
            }
            let in_base = base_data.next(self.base, path, offset).map_err(DiffFailure::Base)?;
            let on_disk = disk_data.next(self.disk, path, offset).map_err(DiffFailure::Disk)?;
            offset = in_base.min(on_disk).max(offset);
            let length =
                usize::try_from(size_bytes.saturating_sub(offset)).unwrap_or(usize::MAX).min(longest);
            read_full(self.base, path, offset, &mut base[..length]).map_err(DiffFailure::Base)?;
            read_full(self.disk, path, offset, &mut disk[..length]).map_err(DiffFailure::Disk)?;
            if base[..length] != disk[..length] {
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
pub(super) fn has_same_attributes(base: &Stat, disk: &Stat) -> bool {
    let (base, disk) = (&base.attributes, &disk.attributes);
    (base.mode, base.uid, base.gid, base.mtime) == (disk.mode, disk.uid, disk.gid, disk.mtime)
        && layer_xattrs(&base.xattrs).eq(layer_xattrs(&disk.xattrs))
}

/// Returns the failure of a path that is too long.
pub(super) fn too_long(error: banger_tree::PathError) -> DiffFailure {
    DiffFailure::Disk(RootfsError::from(error).into())
}
