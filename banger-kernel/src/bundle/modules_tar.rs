//! The tar of modules: the same bytes for the same files.

use std::fs::{self, File};
use std::io::{self, Read as _, Write};

use banger_oci::tar::{TarEntry, TarEntryKind, TarWriter};
use camino::{Utf8Path, Utf8PathBuf};

use crate::error::KernelError;

/// A directory or a file below the directory of modules.
struct TarredFile {
    path: Utf8PathBuf,
    is_dir: bool,
}

/// Writes the files of `dir` in the order of their names, with owner 0, time 0 and fixed permissions.
pub(super) fn write_modules_tar(
    dir: &Utf8Path,
    out: &mut impl Write,
    written: impl Fn(io::Error) -> KernelError,
) -> Result<(), KernelError> {
    let mut tar = TarWriter::new(out);
    for TarredFile { path, is_dir } in list(dir)? {
        let mut entry = TarEntry { path: path.as_str().into(), mode: 0o644, ..TarEntry::default() };
        if is_dir {
            (entry.kind, entry.mode) = (TarEntryKind::Directory, 0o755);
            tar.entry(&entry).map_err(&written)?;
            continue;
        }
        let on_host = dir.join(&path);
        let file = File::open(&on_host).map_err(KernelError::io("open", &on_host))?;
        entry.size_bytes = file.metadata().map_err(KernelError::io("read", &on_host))?.len();
        tar.entry(&entry).map_err(&written)?;
        let copied = copy(file.take(entry.size_bytes), &mut tar, &on_host, &written)?;
        if copied != entry.size_bytes {
            return Err(KernelError::damaged(&on_host, "it was cut while it was read"));
        }
    }
    tar.finish().map(drop).map_err(written)
}

fn list(dir: &Utf8Path) -> Result<Vec<TarredFile>, KernelError> {
    let mut found = Vec::new();
    let mut pending = vec![Utf8PathBuf::new()];
    while let Some(below) = pending.pop() {
        let at = dir.join(&below);
        for entry in at.read_dir_utf8().map_err(KernelError::io("read", &at))? {
            let entry = entry.map_err(KernelError::io("read", &at))?;
            let kind = entry.file_type().map_err(KernelError::io("read", &at))?;
            let path = below.join(entry.file_name());
            if !kind.is_dir() && !kind.is_file() {
                return Err(KernelError::unsupported(
                    entry.path(),
                    "it is not a regular file or a directory",
                ));
            }
            if kind.is_dir() {
                pending.push(path.clone());
            }
            found.push(TarredFile { path, is_dir: kind.is_dir() });
        }
    }
    found.sort_by(|a, b| a.path.as_str().cmp(b.path.as_str()));
    Ok(found)
}

/// Copies a file of the host.
fn copy(
    mut file: io::Take<fs::File>,
    out: &mut TarWriter<impl Write>,
    path: &Utf8Path,
    written: impl Fn(io::Error) -> KernelError,
) -> Result<u64, KernelError> {
    let mut buffer = vec![0; crate::run::PIECE_BYTES];
    let mut copied = 0;
    loop {
        match file.read(&mut buffer) {
            Ok(0) => return Ok(copied),
            Ok(length) => {
                out.data(&buffer[..length]).map_err(&written)?;
                copied += length as u64;
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(KernelError::io("read", path)(error)),
        }
    }
}

#[cfg(test)]
mod tests {
    use banger_oci::tar::{Data, TarEntry, TarEntryKind, TarLimits, TarReader};

    use super::*;

    #[test]
    fn names_of_every_length_come_back() {
        let dir = tempfile::tempdir().unwrap();
        let dir = Utf8Path::from_path(dir.path()).unwrap();
        let mut names = Vec::new();
        for length in [1, 99, 100, 101, 155, 200, 250, 255] {
            names.push("n".repeat(length));
            names.push(format!("kernel/{}", "d".repeat(length)));
            names.push(format!("{}/{}", "p".repeat(155.min(length)), "q".repeat(length)));
            names.push(format!("ü/{}", "ü".repeat((length / 2).max(1))));
        }
        for name in &names {
            fs::create_dir_all(dir.join(name).parent().unwrap()).unwrap();
            fs::write(dir.join(name), name.repeat(7)).unwrap();
        }
        let tar = |dir: &Utf8Path| {
            let mut tar = Vec::new();
            write_modules_tar(dir, &mut tar, |error| panic!("{error}")).unwrap();
            tar
        };
        let written = tar(dir);
        assert_eq!(written.len() % 512, 0);
        assert_eq!(written, tar(dir));
        let mut reader = TarReader::new(&written[..], TarLimits::default());
        let mut entry = TarEntry::default();
        let mut found = Vec::new();
        while reader.next_entry(&mut entry).unwrap() {
            assert_eq!((entry.mtime.seconds, entry.uid, entry.gid), (0, 0, 0));
            let path = String::from_utf8(entry.path.clone()).unwrap();
            if entry.kind == TarEntryKind::Directory {
                assert!(dir.join(path).is_dir());
                continue;
            }
            let mut content = Vec::new();
            while let Some(Data::Bytes(bytes)) = reader.next_data().unwrap() {
                content.extend_from_slice(bytes);
            }
            assert_eq!(String::from_utf8(content).unwrap(), path.repeat(7));
            found.push(path);
        }
        names.sort();
        names.dedup();
        found.sort();
        assert_eq!(found, names);
    }
}
