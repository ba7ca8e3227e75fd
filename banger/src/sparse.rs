//! Copies of files that keep their holes.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt as _;

use banger_tree::Cancellation;
use camino::Utf8Path;
use rustix::fs::SeekFrom;

/// Bytes that are copied at a time.
const CHUNK_BYTES: usize = 1 << 20;

/// Copies the file `from` to the new file `to`: by sharing its blocks where the host's file system
/// can (reflink), else by copying what is no hole.
pub(crate) fn copy(from: &File, to: &Utf8Path, cancellation: &Cancellation) -> io::Result<()> {
    let target = File::create_new(to)?;
    if shares_blocks(from, &target) {
        return Ok(());
    }
    let size = from.metadata()?.len();
    target.set_len(size)?;
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
            target.write_all_at(chunk, at)?;
            at += length as u64;
        }
    }
    Ok(())
}

fn shares_blocks(from: &File, to: &File) -> bool {
    #[cfg(target_os = "linux")]
    {
        // Whatever it says against it, the bytes can be copied.
        rustix::fs::ioctl_ficlone(to, from).is_ok()
    }
    #[cfg(not(target_os = "linux"))]
    {
        let _ = (from, to);
        false
    }
}

/// Returns start and end of the next bytes that are no hole, from `at` on.
fn data_from(file: &File, at: u64, size: u64) -> io::Result<Option<(u64, u64)>> {
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
        copy(&file, &path("to"), &Cancellation::default()).unwrap();
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
        assert!(copy(&file, &path("to"), &Cancellation::default()).is_err(), "it is there");
        if !shares_blocks(&file, &File::create_new(path("probe")).unwrap()) {
            assert!(copy(&file, &path("stopped"), &cancelled).is_err());
        }
    }
}
