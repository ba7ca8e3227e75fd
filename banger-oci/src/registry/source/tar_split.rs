//! Tars that are made again from a directory and the headers that were kept of them (tar-split).
//!
//! The headers are lines of JSON, compressed: bytes of the tar as they are, or the name of a file whose bytes follow.

use std::fs::File;
use std::io::{self, BufRead as _, BufReader, Read};
use std::os::fd::{AsFd as _, OwnedFd};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use camino::Utf8Path;
use rustix::fs::{Mode, OFlags, open, openat};
#[cfg(target_os = "linux")]
use rustix::fs::{ResolveFlags, openat2};
use serde::Deserialize;

use crate::decompress::decompressor;
use crate::one_line::one_line;

/// The longest line: the padding behind a tar comes in pieces of 1 MiB.
const MAX_LINE_LEN: u64 = 16 << 20;
/// The type of a line with the name of a file.
const FILE_LINE: u64 = 1;
/// The type of a line with bytes of the tar.
const BYTES_LINE: u64 = 2;

/// One line of the headers.
#[derive(Deserialize)]
struct TarSplitLine {
    #[serde(rename = "type")]
    kind: u64,
    #[serde(default)]
    name: Option<String>,
    /// A name that is not UTF-8, in base64.
    #[serde(default)]
    name_raw: Option<String>,
    #[serde(default)]
    size: Option<i64>,
    #[serde(default)]
    payload: Option<String>,
}

/// What a line adds to the tar.
enum TarPart {
    Bytes(Vec<u8>),
    File { name: Vec<u8>, size: u64 },
}

/// Reads the tar of a layer.
pub(super) struct TarSplitReader {
    lines: BufReader<Box<dyn Read + Send>>,
    dir: OwnedFd,
    /// Bytes of the tar, and how many of them were read.
    bytes: Vec<u8>,
    passed: usize,
    /// A file of the layer, its name, and how much of it is to come.
    file: Option<(File, Vec<u8>, u64)>,
}

/// Opens the directory with the files of a layer.
pub(super) fn open_tree(path: &Utf8Path) -> io::Result<OwnedFd> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    Ok(open(path.as_std_path(), flags, Mode::empty())?)
}

impl TarSplitReader {
    pub(super) fn new(headers: File, dir: OwnedFd) -> io::Result<Self> {
        let lines = BufReader::new(decompressor(headers)?);
        Ok(Self { lines, dir, bytes: Vec::new(), passed: 0, file: None })
    }

    /// Returns the length of the tar, without a look at its files.
    pub(super) fn measure(mut self) -> io::Result<u64> {
        let mut total: u64 = 0;
        while let Some(part) = self.next_part()? {
            let len = match part {
                TarPart::Bytes(bytes) => bytes.len() as u64,
                TarPart::File { size, .. } => size,
            };
            total = total.saturating_add(len);
        }
        Ok(total)
    }

    /// Reads lines until one adds something.
    fn next_part(&mut self) -> io::Result<Option<TarPart>> {
        let mut line = Vec::new();
        loop {
            line.clear();
            let len = (&mut self.lines).take(MAX_LINE_LEN).read_until(b'\n', &mut line)?;
            if len == 0 {
                return Ok(None);
            }
            if len as u64 == MAX_LINE_LEN {
                return Err(bad("a line of its headers is too long"));
            }
            if line.iter().all(u8::is_ascii_whitespace) {
                continue;
            }
            let parsed: TarSplitLine = serde_json::from_slice(&line)
                .map_err(|error| bad(&format!("a line of its headers is damaged: {error}")))?;
            let size = parsed.size.and_then(|size| u64::try_from(size).ok()).unwrap_or(0);
            match parsed.kind {
                BYTES_LINE => {
                    let bytes = decode(&parsed.payload.unwrap_or_default())?;
                    if !bytes.is_empty() {
                        return Ok(Some(TarPart::Bytes(bytes)));
                    }
                }
                FILE_LINE if size > 0 => {
                    let name = match (parsed.name_raw, parsed.name) {
                        (Some(raw), _) if !raw.is_empty() => decode(&raw)?,
                        (_, name) => name.unwrap_or_default().into_bytes(),
                    };
                    return Ok(Some(TarPart::File { name, size }));
                }
                FILE_LINE => {}
                kind => return Err(bad(&format!("a line of its headers has the unknown type {kind}"))),
            }
        }
    }

    /// Opens a file of the layer. Links lead nowhere else.
    fn open_file(&self, name: &[u8]) -> io::Result<File> {
        let file = open_below(&self.dir, name).map(File::from).map_err(|error| named(name, error))?;
        match file.metadata()?.is_file() {
            true => Ok(file),
            false => Err(named(name, io::Error::other("it is not a regular file"))),
        }
    }
}

impl Read for TarSplitReader {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            if buffer.is_empty() {
                return Ok(0);
            }
            if self.passed < self.bytes.len() {
                let count = buffer.len().min(self.bytes.len() - self.passed);
                buffer[..count].copy_from_slice(&self.bytes[self.passed..self.passed + count]);
                self.passed += count;
                return Ok(count);
            }
            if let Some((file, name, left)) = &mut self.file {
                let len = usize::try_from(*left).unwrap_or(usize::MAX).min(buffer.len());
                let count = file.read(&mut buffer[..len])?;
                if count == 0 {
                    return Err(named(name, io::Error::other(format!("it lacks {left} bytes at its end"))));
                }
                *left -= count as u64;
                if *left == 0 {
                    self.file = None;
                }
                return Ok(count);
            }
            match self.next_part()? {
                None => return Ok(0),
                Some(TarPart::Bytes(bytes)) => (self.bytes, self.passed) = (bytes, 0),
                Some(TarPart::File { name, size }) => self.file = Some((self.open_file(&name)?, name, size)),
            }
        }
    }
}

/// How files are opened: a FIFO does not block, and a link at the end is not followed.
const FILE_FLAGS: OFlags = OFlags::RDONLY
    .union(OFlags::CLOEXEC)
    .union(OFlags::NOFOLLOW)
    .union(OFlags::NONBLOCK)
    .union(OFlags::NOCTTY);

/// Opens a path below a directory. Links on the way lead nowhere else.
#[cfg(target_os = "linux")]
fn open_below(dir: &OwnedFd, path: &[u8]) -> io::Result<OwnedFd> {
    let relative: Vec<u8> = path.iter().copied().skip_while(|byte| *byte == b'/').collect();
    let resolve = ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS;
    match openat2(dir.as_fd(), &relative[..], FILE_FLAGS, Mode::empty(), resolve) {
        // Before Linux 5.6.
        Err(rustix::io::Errno::NOSYS) => open_by_steps(dir, path),
        opened => Ok(opened?),
    }
}

/// Opens a path below a directory. Links on the way lead nowhere else.
#[cfg(not(target_os = "linux"))]
fn open_below(dir: &OwnedFd, path: &[u8]) -> io::Result<OwnedFd> {
    open_by_steps(dir, path)
}

/// Opens a path component by component, and follows no link.
fn open_by_steps(dir: &OwnedFd, path: &[u8]) -> io::Result<OwnedFd> {
    let mut names = path.split(|byte| *byte == b'/').filter(|name| !matches!(*name, b"" | b".")).peekable();
    let mut at = dir.try_clone()?;
    while let Some(name) = names.next() {
        if name == b".." {
            return Err(io::ErrorKind::NotFound.into());
        }
        let flags = match names.peek() {
            Some(_) => OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NOFOLLOW | OFlags::DIRECTORY,
            None => FILE_FLAGS,
        };
        at = openat(at.as_fd(), name, flags, Mode::empty())?;
    }
    Ok(at)
}

fn decode(text: &str) -> io::Result<Vec<u8>> {
    STANDARD.decode(text).map_err(|error| bad(&format!("a line of its headers is not base64: {error}")))
}

fn bad(reason: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, reason)
}

/// An error of a file of the layer, with its name.
fn named(name: &[u8], error: io::Error) -> io::Error {
    io::Error::new(error.kind(), format!("{}: {error}", one_line(&String::from_utf8_lossy(name))))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn files_are_opened_below_their_directory_only() {
        let dir = tempfile::tempdir().unwrap();
        let root = Utf8Path::from_path(dir.path()).unwrap();
        std::fs::create_dir_all(root.join("tree/a")).unwrap();
        std::fs::write(root.join("tree/a/file"), "inside").unwrap();
        std::fs::write(root.join("outside"), "outside").unwrap();
        symlink("a", root.join("tree/link")).unwrap();
        symlink("../outside", root.join("tree/away")).unwrap();
        symlink(root.as_std_path(), root.join("tree/root")).unwrap();
        let tree = open_tree(&root.join("tree")).unwrap();
        let read = |open: fn(&OwnedFd, &[u8]) -> io::Result<OwnedFd>, path: &str| {
            let mut text = String::new();
            let file = open(&tree, path.as_bytes()).ok()?;
            File::from(file).read_to_string(&mut text).ok().map(|_| text)
        };
        for open in [open_below, open_by_steps] {
            for path in ["a/file", "./a/file", "/a/file"] {
                assert_eq!(read(open, path).as_deref(), Some("inside"), "{path}");
            }
            for path in ["../outside", "away", "root/outside", "a/../../outside", "none", "a/file/x"] {
                assert_eq!(read(open, path), None, "{path}");
            }
        }
    }
}
