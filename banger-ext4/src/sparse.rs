//! Holes in the host's files.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt as _;

use banger_tree::Cancellation;
use rustix::fs::SeekFrom;

/// Bytes that are copied at a time.
const CHUNK_BYTES: usize = 1 << 20;

/// Copies the file `from` to the empty file `to`. It shares the blocks if the host's file system can
/// (reflink), else it copies everything but the holes.
///
/// # Errors
/// The host refuses, or the copy was cancelled ([`io::ErrorKind::Interrupted`]).
pub fn copy_sparse(from: &File, to: &File, cancellation: &Cancellation) -> io::Result<()> {
    if shares_blocks(from, to) {
        return Ok(());
    }
    let size = from.metadata()?.len();
    to.set_len(size)?;
    let mut buffer = vec![0; CHUNK_BYTES];
    let mut at = 0;
    while let Some((start, end)) = data_from(from, at, size)? {
        at = start;
        while at < end {
            if cancellation.is_cancelled() {
                return Err(io::ErrorKind::Interrupted.into());
            }
            let length = usize::try_from(end - at).map_or(CHUNK_BYTES, |rest| rest.min(CHUNK_BYTES));
            let chunk = &mut buffer[..length];
            from.read_exact_at(chunk, at)?;
            to.write_all_at(chunk, at)?;
            at += length as u64;
        }
    }
    Ok(())
}

/// Makes `to` share the blocks of `from`; returns false where the host's file system cannot.
pub fn shares_blocks(from: &File, to: &File) -> bool {
    #[cfg(target_os = "linux")]
    {
        // After any refusal, the bytes can be copied.
        rustix::fs::ioctl_ficlone(to, from).is_ok()
    }
    #[cfg(not(target_os = "linux"))]
    {
        let _ = (from, to);
        false
    }
}

/// Returns start and end of the next data of `file`, which has `size` bytes, from `at` on; `None` if only a hole follows.
///
/// # Errors
/// The host refuses.
pub fn data_from(file: &File, at: u64, size: u64) -> io::Result<Option<(u64, u64)>> {
    if at >= size {
        return Ok(None);
    }
    let start = match rustix::fs::seek(file, SeekFrom::Data(at)) {
        Ok(start) => start,
        Err(rustix::io::Errno::NXIO) => return Ok(None),
        // A file system that knows nothing of holes.
        Err(rustix::io::Errno::INVAL | rustix::io::Errno::OPNOTSUPP) => return Ok(Some((at, size))),
        Err(error) => return Err(error.into()),
    };
    let end = rustix::fs::seek(file, SeekFrom::Hole(start))?;
    Ok((start < size).then_some((start, end.min(size))))
}

/// Makes a hole; returns whether the host could.
#[cfg(any(target_os = "linux", target_os = "android"))]
pub(crate) fn punch_hole(file: &File, offset: u64, length: u64) -> bool {
    use rustix::fs::{FallocateFlags, fallocate};
    fallocate(file, FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE, offset, length).is_ok()
}

/// Makes a hole; returns whether the host could.
#[cfg(not(any(target_os = "linux", target_os = "android")))]
pub(crate) fn punch_hole(_file: &File, _offset: u64, _length: u64) -> bool {
    false
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::MetadataExt as _;

    use super::*;

    #[test]
    fn bytes_are_copied_and_holes_stay() {
        const SIZE: u64 = 1 << 30;
        let dir = tempfile::tempdir().unwrap();
        let path = |name: &str| camino::Utf8PathBuf::from_path_buf(dir.path().join(name)).unwrap();
        let file = File::create_new(path("from")).unwrap();
        file.set_len(SIZE).unwrap();
        for (offset, bytes) in [(0, &b"first"[..]), (5_000_000, &[7; 3_000_000]), (SIZE - 4, b"last")] {
            file.write_all_at(bytes, offset).unwrap();
        }
        let file = File::open(path("from")).unwrap();
        copy_sparse(&file, &File::create_new(path("to")).unwrap(), &Cancellation::default()).unwrap();
        let copied = File::open(path("to")).unwrap();
        assert_eq!(copied.metadata().unwrap().len(), SIZE);
        assert!(copied.metadata().unwrap().blocks() * 512 < 8 << 20);
        for (offset, length) in [(0, 6), (4_999_999, 3_000_002), (SIZE - 5, 5)] {
            let (mut want, mut found) = (vec![0; length], vec![1; length]);
            file.read_exact_at(&mut want, offset).unwrap();
            copied.read_exact_at(&mut found, offset).unwrap();
            assert!(want == found, "at {offset}");
        }
        let cancelled = Cancellation::default();
        cancelled.cancel();
        if !shares_blocks(&file, &File::create_new(path("probe")).unwrap()) {
            assert!(copy_sparse(&file, &File::create_new(path("stopped")).unwrap(), &cancelled).is_err());
        }
    }
}
