//! The files of a kernel in another directory of the state: hard links where the host can.

use std::fs::{self, DirBuilder, File};
use std::io;
use std::os::unix::fs::DirBuilderExt as _;

use banger_ext4::copy_sparse;
use banger_tree::Cancellation;
use camino::Utf8Path;

use super::record::KernelRecord;
use crate::host_file::open_plain_path;
use crate::store::StoreError;

/// Mode of the directories that are made here.
const PRIVATE: u32 = 0o700;

/// Puts the files of the kernel `record` in `from` into the new directory `to`. Files in a store never change, so
/// they are hard links where the host can make them, and copies elsewhere.
pub(crate) fn place_kernel(
    record: &KernelRecord,
    from: &Utf8Path,
    to: &Utf8Path,
    cancellation: &Cancellation,
) -> Result<(), StoreError> {
    make_directory(to)?;
    for file in record.files() {
        place_file(&from.join(&file.file), &to.join(&file.file), cancellation)?;
    }
    match &record.modules {
        Some(modules) => {
            place_directory(&from.join(&modules.directory), &to.join(&modules.directory), cancellation)
        }
        None => Ok(()),
    }
}

fn make_directory(path: &Utf8Path) -> Result<(), StoreError> {
    let made = DirBuilder::new().mode(PRIVATE).create(path);
    made.map_err(|source| StoreError::io("create", path, source))
}

/// Puts the files of the directory `from`, which never change, into the new directory `to`.
pub(crate) fn place_directory(
    from: &Utf8Path,
    to: &Utf8Path,
    cancellation: &Cancellation,
) -> Result<(), StoreError> {
    let mut pending = vec![(from.to_owned(), to.to_owned())];
    while let Some((from, to)) = pending.pop() {
        make_directory(&to)?;
        let failed = |source| StoreError::io("read", &from, source);
        for entry in from.read_dir_utf8().map_err(failed)? {
            let entry = entry.map_err(failed)?;
            let place = to.join(entry.file_name());
            match entry.file_type().map_err(failed)?.is_dir() {
                true => pending.push((entry.path().to_owned(), place)),
                false => place_file(entry.path(), &place, cancellation)?,
            }
        }
    }
    Ok(())
}

/// Puts the file `from`, which never changes, at the new path `to`.
pub(crate) fn place_file(
    from: &Utf8Path,
    to: &Utf8Path,
    cancellation: &Cancellation,
) -> Result<(), StoreError> {
    if cancellation.is_cancelled() {
        return Err(StoreError::Cancelled);
    }
    match fs::hard_link(from, to) {
        Ok(()) => Ok(()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Err(StoreError::io("read", from, error)),
        // Other disks, other owners, too many links: a copy does as well.
        Err(_) => copy(from, to, cancellation),
    }
}

fn copy(from: &Utf8Path, to: &Utf8Path, cancellation: &Cancellation) -> Result<(), StoreError> {
    let source = open_plain_path(from).map_err(|source| StoreError::io("read", from, source))?;
    let copied = File::create_new(to).and_then(|to| copy_sparse(&source, &to, cancellation));
    match cancellation.is_cancelled() {
        true => Err(StoreError::Cancelled),
        false => copied.map_err(|source| StoreError::io("write", to, source)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_copy_is_the_same_and_overwrites_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let path = |name: &str| camino::Utf8PathBuf::from_path_buf(dir.path().join(name)).unwrap();
        fs::write(path("a"), "bytes").unwrap();
        copy(&path("a"), &path("b"), &Cancellation::new()).unwrap();
        assert_eq!(fs::read(path("b")).unwrap(), b"bytes");
        assert!(copy(&path("a"), &path("b"), &Cancellation::new()).is_err(), "it is there");
        let error = place_file(&path("missing"), &path("c"), &Cancellation::new()).unwrap_err();
        assert!(error.to_string().contains("missing"), "{error}");
        assert!(!path("c").exists());
    }
}
