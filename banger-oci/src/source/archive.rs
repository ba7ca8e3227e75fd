//! A tar as a set of named files, read in place.

use std::collections::HashMap;
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use camino::{Utf8Path, Utf8PathBuf};

use super::tar_index::{Entry, index};
use crate::cache::{BlobCache, READ_LEN};
use crate::decompress::{Compression, decompressor, detect};
use crate::error::PullError;
use crate::event::CancelToken;
use crate::foreign_format::ForeignFormat;
use crate::layer::Stored;
use crate::options::Cap;

/// Bytes that are looked at to tell a tar from something else.
const HEAD_LEN: u64 = 1 << 20;

/// Links followed before a chain of them is taken for a circle.
const MAX_LINKS: u32 = 40;

/// An indexed tar. Its names are keys of a map and nothing else: none reaches a host path.
#[derive(Debug)]
pub(crate) struct Archive {
    path: Utf8PathBuf,
    file: Arc<File>,
    entries: HashMap<Vec<u8>, Entry>,
}

impl Archive {
    /// Reads the table of contents of a tar. A compressed one is unpacked first, to an unnamed
    /// file beside the cache that vanishes with the process.
    pub(crate) fn open(
        path: &Utf8Path,
        cache: &BlobCache,
        cap: Cap,
        cancel: &CancelToken,
    ) -> Result<Self, PullError> {
        let metadata = std::fs::metadata(path).map_err(PullError::io("open", path))?;
        let unusable = |reason: String| PullError::Layout { path: path.to_owned(), reason };
        if metadata.is_dir() {
            return Err(unusable("it is a directory; write oci: before one with an OCI layout".to_owned()));
        }
        if !metadata.is_file() {
            return Err(unusable("it is not a regular file".to_owned()));
        }
        let mut file = File::open(path).map_err(PullError::io("open", path))?;
        let mut magic = Vec::new();
        (&file).take(HEAD_LEN).read_to_end(&mut magic).map_err(PullError::io("read", path))?;
        if let Some((format, compression)) = ForeignFormat::of_compressed(&magic) {
            let how = if compression.is_empty() {
                String::new()
            } else {
                format!(", compressed with {compression}")
            };
            return Err(unusable(format!("it is {format}{how}, not a tar that holds a container image")));
        }
        file.seek(SeekFrom::Start(0)).map_err(PullError::io("read", path))?;
        let compression = detect(&magic).map_err(|error| unusable(error.to_string()))?;
        if compression != Compression::None {
            let mut plain = cache.scratch_file()?;
            let mut reader = decompressor(file).map_err(|error| unusable(error.to_string()))?;
            let mut buffer = vec![0; READ_LEN];
            let mut total = 0_u64;
            loop {
                cancel.check()?;
                let count = reader.read(&mut buffer).map_err(|error| unusable(error.to_string()))?;
                if count == 0 {
                    break;
                }
                total += count as u64;
                cap.check(total, &format!("the unpacked {path}"))?;
                plain.write_all(&buffer[..count]).map_err(PullError::io("write to", cache.root()))?;
            }
            file = plain;
        }
        let entries = index(&file).map_err(|error| match error.kind() {
            io::ErrorKind::InvalidData => unusable(error.to_string()),
            _ => PullError::io("read", path)(error),
        })?;
        Ok(Self { path: path.to_owned(), file: Arc::new(file), entries })
    }

    pub(crate) fn path(&self) -> &Utf8Path {
        &self.path
    }

    /// The names of all entries.
    pub(crate) fn names(&self) -> impl Iterator<Item = &[u8]> {
        self.entries.keys().map(Vec::as_slice)
    }

    /// The place of a file; links are followed inside the archive.
    fn find(&self, name: &[u8]) -> Result<Option<(u64, u64)>, PullError> {
        let unusable = |reason: &str| PullError::Layout {
            path: self.path.clone(),
            reason: format!("{} {reason}", String::from_utf8_lossy(name).escape_debug()),
        };
        let mut current = normalise(name, b"").ok_or_else(|| unusable("leads out of it"))?;
        for _ in 0..MAX_LINKS {
            current = match self.entries.get(&current) {
                None => return Ok(None),
                Some(Entry::File { offset, len }) => return Ok(Some((*offset, *len))),
                Some(Entry::Symlink(target)) => {
                    let dir = match current.iter().rposition(|byte| *byte == b'/') {
                        Some(at) => &current[..at],
                        None => b"",
                    };
                    normalise(target, dir).ok_or_else(|| unusable("is a link out of it"))?
                }
                Some(Entry::HardLink(target)) => {
                    normalise(target, b"").ok_or_else(|| unusable("is a link out of it"))?
                }
                Some(Entry::Other) => return Err(unusable("is not a file")),
            };
        }
        Err(unusable("is a link to itself"))
    }

    /// A file of the archive by its name; `None` where there is none.
    pub(crate) fn file(&self, name: &[u8]) -> Result<Option<Stored>, PullError> {
        Ok(self.find(name)?.map(|(offset, len)| Stored {
            file: Arc::clone(&self.file),
            path: self.path.clone(),
            offset,
            len,
            cached: None,
            verified: AtomicBool::new(false),
        }))
    }
}

/// A name in the one spelling the index has: no empty, `.` or `..` components. `None` where it
/// climbs above the root or is absolute.
pub(crate) fn normalise(name: &[u8], dir: &[u8]) -> Option<Vec<u8>> {
    if name.starts_with(b"/") {
        return None;
    }
    let mut components: Vec<&[u8]> = Vec::new();
    for component in dir.split(|byte| *byte == b'/').chain(name.split(|byte| *byte == b'/')) {
        match component {
            b"" | b"." => {}
            b".." => {
                components.pop()?;
            }
            other => components.push(other),
        }
    }
    Some(components.join(&b'/'))
}
