//! The tar of modules: the same bytes for the same files.

use std::fs::{self, File};
use std::io::{self, Read as _, Write};

use camino::{Utf8Path, Utf8PathBuf};

use crate::error::KernelError;

const BLOCK: usize = 512;
const NAME_MAX: usize = 100;
const PREFIX_MAX: usize = 155;
/// Largest file that fits the field of a size: 11 octal digits.
const SIZE_MAX: u64 = 0o777_7777_7777;

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
    for TarredFile { path, is_dir } in list(dir)? {
        if is_dir {
            write_header(out, &format!("{path}/"), 0, b'5', 0o755).map_err(&written)?;
            continue;
        }
        let on_host = dir.join(&path);
        let file = File::open(&on_host).map_err(KernelError::io("open", &on_host))?;
        let size = file.metadata().map_err(KernelError::io("read", &on_host))?.len();
        if size > SIZE_MAX {
            return Err(KernelError::unsupported(&on_host, "it is too large for a tar"));
        }
        write_header(out, path.as_str(), size, b'0', 0o644).map_err(&written)?;
        let copied = copy(file.take(size), out, &on_host, &written)?;
        if copied != size {
            return Err(KernelError::damaged(&on_host, "it was cut while it was read"));
        }
        write_padding(out, size).map_err(&written)?;
    }
    out.write_all(&[0; 2 * BLOCK]).map_err(written)
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
    out: &mut impl Write,
    path: &Utf8Path,
    written: impl Fn(io::Error) -> KernelError,
) -> Result<u64, KernelError> {
    let mut buffer = vec![0; crate::run::PIECE_BYTES];
    let mut copied = 0;
    loop {
        match file.read(&mut buffer) {
            Ok(0) => return Ok(copied),
            Ok(length) => {
                out.write_all(&buffer[..length]).map_err(&written)?;
                copied += length as u64;
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(KernelError::io("read", path)(error)),
        }
    }
}

/// Writes a header (POSIX.1-2001, pax). A name that does not fit comes in an extended header before it.
fn write_header(out: &mut impl Write, name: &str, size: u64, kind: u8, mode: u32) -> io::Result<()> {
    if let Some((prefix, rest)) = split(name) {
        return out.write_all(&header(prefix, rest, size, kind, mode));
    }
    let record = pax_record("path", name);
    out.write_all(&header("", "././@PaxHeader", record.len() as u64, b'x', 0o644))?;
    out.write_all(record.as_bytes())?;
    write_padding(out, record.len() as u64)?;
    let short = name.char_indices().map(|(at, c)| at + c.len_utf8()).take_while(|end| *end <= NAME_MAX);
    out.write_all(&header("", &name[..short.last().unwrap_or(0)], size, kind, mode))
}

/// Splits a name into the two fields of a header, if it fits.
fn split(name: &str) -> Option<(&str, &str)> {
    if name.len() <= NAME_MAX {
        return Some(("", name));
    }
    let fits = |(at, _): &(usize, &str)| *at <= PREFIX_MAX && (2..=NAME_MAX + 1).contains(&(name.len() - at));
    let (at, _) = name.match_indices('/').find(fits)?;
    Some((&name[..at], &name[at + 1..]))
}

fn header(prefix: &str, name: &str, size: u64, kind: u8, mode: u32) -> [u8; BLOCK] {
    let mut header = [0; BLOCK];
    let mut put = |at: usize, bytes: &[u8]| header[at..at + bytes.len()].copy_from_slice(bytes);
    put(0, name.as_bytes());
    put(100, format!("{mode:07o}").as_bytes());
    put(108, b"0000000");
    put(116, b"0000000");
    put(124, format!("{size:011o}").as_bytes());
    put(136, b"00000000000");
    put(148, b"        ");
    put(156, &[kind]);
    put(257, b"ustar\x0000");
    put(345, prefix.as_bytes());
    let sum: u32 = header.iter().map(|byte| u32::from(*byte)).sum();
    header[148..155].copy_from_slice(format!("{sum:06o}\0").as_bytes());
    header
}

/// Returns a record whose length counts its own digits.
fn pax_record(key: &str, value: &str) -> String {
    let rest = format!(" {key}={value}\n");
    let mut length = rest.len();
    loop {
        let whole = rest.len() + length.to_string().len();
        if whole == length {
            return format!("{length}{rest}");
        }
        length = whole;
    }
}

fn write_padding(out: &mut impl Write, size: u64) -> io::Result<()> {
    let over = usize::try_from(size % BLOCK as u64).unwrap_or(0);
    match over {
        0 => Ok(()),
        over => out.write_all(&[0; BLOCK][over..]),
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
        assert_eq!(written.len() % BLOCK, 0);
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
