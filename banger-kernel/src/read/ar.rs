//! Headers of ar archives, as in ar(5) and deb(5).
//!
//! A `.deb` has only short names, so long names of any kind are not read.

use std::io::{self, Read};

use crate::error::KernelError;
use crate::run::ImportRun;

/// The bytes that an archive begins with.
pub(crate) const AR_MAGIC: &[u8] = b"!<arch>\n";
const HEADER_LEN: usize = 60;

/// The header of a member.
pub(super) struct ArHeader {
    /// The name without its padding and without a slash at the end.
    pub(super) name: String,
    pub(super) size_bytes: u64,
}

/// Reads the next header; returns `None` at the end of the archive.
pub(super) fn read_header(
    run: &ImportRun<'_>,
    reader: &mut impl Read,
    offset: u64,
) -> Result<Option<ArHeader>, KernelError> {
    let mut bytes = Vec::with_capacity(HEADER_LEN);
    reader.by_ref().take(HEADER_LEN as u64).read_to_end(&mut bytes).map_err(|error| run.read_error(error))?;
    let bad = |reason: &str| run.damaged(format!("the ar archive {reason} at byte {offset}"));
    if bytes.is_empty() {
        return Ok(None);
    }
    if bytes.len() < HEADER_LEN {
        return Err(bad("ends inside a header"));
    }
    if &bytes[58..] != b"`\n" {
        return Err(bad("has no header"));
    }
    let text = |field: &[u8]| String::from_utf8_lossy(field).trim_end().to_owned();
    let name = text(&bytes[..16]).trim_end_matches('/').to_owned();
    let size_bytes = text(&bytes[48..58]).parse().map_err(|_| bad("has a malformed size"))?;
    Ok(Some(ArHeader { name, size_bytes }))
}

/// Reads the signature of an archive.
pub(super) fn read_magic(run: &ImportRun<'_>, reader: &mut impl Read) -> Result<(), KernelError> {
    let mut magic = [0; AR_MAGIC.len()];
    match reader.read_exact(&mut magic) {
        Ok(()) if magic == AR_MAGIC => Ok(()),
        Err(error) if error.kind() != io::ErrorKind::UnexpectedEof => Err(run.read_error(error)),
        _ => Err(run.damaged("it is not an ar archive")),
    }
}
