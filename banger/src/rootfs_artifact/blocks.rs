//! Writes windows into the file of an image. Holes stay holes, and blocks of another file are shared where the host can.

use std::fs::File;
use std::io;
use std::ops::Range;
use std::os::unix::fs::FileExt as _;

use banger_ext4::{clear, device_bytes};
use camino::Utf8Path;

/// Holes of files are multiples of this.
const BLOCK_BYTES: usize = 4096;
/// Writes end at multiples of this. Larger ones get larger folios of the page cache, which are slower to find, and those
/// that lie across such a place get smaller ones.
const WRITE_BYTES: u64 = 256 << 10;

/// The file that an image is written into, in windows.
pub(super) struct BlockTarget<'a> {
    pub(super) file: &'a File,
    /// Names the file in errors.
    pub(super) path: &'a Utf8Path,
    /// Whether blocks of zeros have to be written: otherwise they are holes already.
    keeps_old_bytes: bool,
    /// Whether blocks of other files can be shared.
    shares: bool,
}

impl<'a> BlockTarget<'a> {
    /// Gives the empty file `file` the size of an image.
    pub(super) fn empty(file: &'a File, path: &'a Utf8Path, size_bytes: u64) -> io::Result<Self> {
        file.set_len(size_bytes)?;
        Ok(Self { file, path, keeps_old_bytes: false, shares: may_share_blocks(file) })
    }

    /// Takes a file of the caller: a block device keeps its bytes, and other files are emptied.
    pub(super) fn lent(file: &'a File, path: &'a Utf8Path, size_bytes: u64) -> io::Result<Self> {
        let Some(device_bytes) = device_bytes(file)? else {
            file.set_len(0)?;
            return Self::empty(file, path, size_bytes);
        };
        if device_bytes < size_bytes {
            let reason = format!("the device has {device_bytes} bytes, and the file system {size_bytes}");
            return Err(io::Error::new(io::ErrorKind::StorageFull, reason));
        }
        Ok(Self { file, path, keeps_old_bytes: true, shares: false })
    }

    /// Makes everything outside of `windows`, which are in order, zeros.
    pub(super) fn clear_outside(
        &self,
        windows: impl Iterator<Item = Range<u64>>,
        size_bytes: u64,
    ) -> io::Result<()> {
        if !self.keeps_old_bytes {
            return Ok(());
        }
        let mut at = 0;
        for window in windows.chain(std::iter::once(size_bytes..size_bytes)) {
            clear(self.file, at, window.start)?;
            at = window.end;
        }
        Ok(())
    }

    /// Writes `bytes` at `offset`.
    pub(super) fn write(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        if self.keeps_old_bytes {
            return self.file.write_all_at(bytes, offset);
        }
        for run in runs_with_data(bytes, offset) {
            self.file.write_all_at(&bytes[run.clone()], offset + run.start as u64)?;
        }
        Ok(())
    }

    /// Writes `bytes` at `offset`. The file `from` has the same bytes at `from_offset`: its blocks are shared if the
    /// host can.
    pub(super) fn copy(&self, bytes: &[u8], offset: u64, from: &File, from_offset: u64) -> io::Result<()> {
        if !self.shares {
            return self.write(bytes, offset);
        }
        for run in runs_with_data(bytes, offset) {
            let (mut at, mut left) = (run.start, run.len());
            while left > 0 {
                let (mut read_at, mut write_at) = (from_offset + at as u64, offset + at as u64);
                let copied = rustix::fs::copy_file_range(
                    from,
                    Some(&mut read_at),
                    self.file,
                    Some(&mut write_at),
                    left,
                );
                match copied {
                    Ok(count @ 1..) => (at, left) = (at + count, left - count.min(left)),
                    // The bytes are at hand.
                    Ok(0) | Err(_) => {
                        self.file.write_all_at(&bytes[at..at + left], offset + at as u64)?;
                        left = 0;
                    }
                }
            }
        }
        Ok(())
    }
}

/// Returns whether the file system of `file` lets files share blocks (reflink): then a copy takes no space and no time.
fn may_share_blocks(file: &File) -> bool {
    #[cfg(target_os = "linux")]
    {
        /// `XFS_SUPER_MAGIC`, `BTRFS_SUPER_MAGIC`, and that of bcachefs.
        const SHARING: [u64; 3] = [0x5846_5342, 0x9123_683E, 0xCA45_1A4E];
        let kind = rustix::fs::fstatfs(file).map(|found| u64::try_from(found.f_type).unwrap_or_default());
        kind.is_ok_and(|kind| SHARING.contains(&kind))
    }
    #[cfg(not(target_os = "linux"))]
    {
        let _ = file;
        false
    }
}

/// Returns parts of `bytes` without a block of zeros, cut at multiples of [`WRITE_BYTES`] of the file, where `bytes` begin at
/// `offset`.
fn runs_with_data(bytes: &[u8], offset: u64) -> impl Iterator<Item = Range<usize>> {
    let is_hole = |start: usize| {
        let end = bytes.len().min(start + BLOCK_BYTES);
        bytes[start..end].iter().all(|byte| *byte == 0)
    };
    let mut at = 0;
    std::iter::from_fn(move || {
        while at < bytes.len() && is_hole(at) {
            at += BLOCK_BYTES;
        }
        let start = at;
        while at < bytes.len() && !is_hole(at) {
            at += BLOCK_BYTES;
            if (offset + at as u64).is_multiple_of(WRITE_BYTES) {
                break;
            }
        }
        (start < bytes.len()).then(|| start..at.min(bytes.len()))
    })
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::MetadataExt as _;

    use super::*;

    /// Five blocks and a half: data, hole, data, data, hole, data.
    fn sample() -> Vec<u8> {
        let mut bytes = vec![0; BLOCK_BYTES * 5 + BLOCK_BYTES / 2];
        for block in [0, 2, 3, 5] {
            bytes[block * BLOCK_BYTES + 17] = 1 + u8::try_from(block).unwrap();
        }
        bytes
    }

    #[test]
    fn runs_are_between_blocks_of_zeros() {
        let block = BLOCK_BYTES;
        let bytes = sample();
        let runs: Vec<_> = runs_with_data(&bytes, 0).collect();
        assert_eq!(runs, [0..block, 2 * block..4 * block, 5 * block..bytes.len()]);
        let first_end = usize::try_from(WRITE_BYTES).unwrap() - block;
        let runs: Vec<_> = runs_with_data(&[1; 300 << 10], block as u64).collect();
        assert_eq!(runs, [0..first_end, first_end..300 << 10]);
        assert_eq!(runs_with_data(&[], 0).count(), 0);
        assert_eq!(runs_with_data(&[0; BLOCK_BYTES + 1], 0).count(), 0);
    }

    #[test]
    fn blocks_are_copied_and_holes_stay() {
        let bytes = sample();
        let (from, to) = (tempfile::tempfile().unwrap(), tempfile::tempfile().unwrap());
        from.write_all_at(&bytes, 2 * BLOCK_BYTES as u64).unwrap();
        for shares in [false, true] {
            let target = BlockTarget::lent(&to, "image".into(), 40 * BLOCK_BYTES as u64).unwrap();
            let target = BlockTarget { shares, ..target };
            let offset = 8 * BLOCK_BYTES as u64;
            target.copy(&bytes, offset, &from, 2 * BLOCK_BYTES as u64).unwrap();
            let mut found = vec![0; bytes.len()];
            to.read_exact_at(&mut found, offset).unwrap();
            assert!(found == bytes, "shares: {shares}");
            let used = to.metadata().unwrap().blocks() * 512;
            assert!(used <= 5 * BLOCK_BYTES as u64, "{used} bytes, shares: {shares}");
        }
    }

    #[test]
    fn a_file_that_keeps_its_bytes_gets_zeros() {
        let bytes = sample();
        let size = 16 * BLOCK_BYTES;
        let file = tempfile::tempfile().unwrap();
        file.write_all_at(&vec![9; size], 0).unwrap();
        let path = Utf8Path::new("device");
        let target = BlockTarget { file: &file, path, keeps_old_bytes: true, shares: false };
        let offset = 4 * BLOCK_BYTES as u64;
        target.write(&bytes, offset).unwrap();
        target.clear_outside(std::iter::once(offset..offset + bytes.len() as u64), size as u64).unwrap();
        let mut found = vec![1; size];
        file.read_exact_at(&mut found, 0).unwrap();
        let mut wanted = vec![0; size];
        wanted[4 * BLOCK_BYTES..4 * BLOCK_BYTES + bytes.len()].copy_from_slice(&bytes);
        assert!(found == wanted);
    }
}
