//! cpio archives in the format "newc", as in cpio(5): the payload of an rpm.

use std::io::Read;

use banger_tree::{Cost, PATH_MAX};

use super::{Entries, ReaderMember, drain};
use crate::error::KernelError;
use crate::run::ImportRun;

const HEADER_LEN: usize = 110;
const TRAILER: &[u8] = b"TRAILER!!!";
const TYPE_MASK: u32 = 0o170_000;
const REGULAR: u32 = 0o100_000;
const SYMLINK: u32 = 0o120_000;

/// Passes the entries of an archive on.
pub(super) fn read_cpio(
    run: &ImportRun<'_>,
    mut reader: impl Read,
    entries: &mut dyn Entries,
) -> Result<(), KernelError> {
    loop {
        run.charge(Cost::Entries, 1)?;
        let mut bytes = [0; HEADER_LEN];
        read_exactly(run, &mut reader, &mut bytes)?;
        let header = Header::parse(run, &bytes)?;
        let mut name = vec![0; header.name_len];
        read_exactly(run, &mut reader, &mut name)?;
        skip(run, &mut reader, padding((HEADER_LEN + name.len()) as u64))?;
        if name.pop() != Some(0) || name.contains(&0) {
            return Err(run.damaged("a name in the cpio archive has no end"));
        }
        if name == TRAILER {
            return drain(run, &mut reader);
        }
        let mut data = reader.by_ref().take(header.size_bytes);
        match header.mode & TYPE_MASK {
            // The bytes of a file with several names come with its last name.
            REGULAR if header.nlink > 1 && header.size_bytes == 0 => entries.link(&name, true)?,
            REGULAR => entries.file(&name, &mut ReaderMember { run, reader: &mut data })?,
            SYMLINK => entries.link(&name, false)?,
            _ => {}
        }
        let left = data.limit();
        skip(run, &mut reader, left)?;
        skip(run, &mut reader, padding(header.size_bytes))?;
    }
}

/// The needed fields of a header.
struct Header {
    mode: u32,
    nlink: u32,
    size_bytes: u64,
    name_len: usize,
}

impl Header {
    fn parse(run: &ImportRun<'_>, bytes: &[u8; HEADER_LEN]) -> Result<Self, KernelError> {
        match &bytes[..6] {
            b"070701" | b"070702" => {}
            b"07070X" => {
                let reason = "its payload has no names, as in packages with files of 4 GiB and more";
                return Err(KernelError::unsupported(&run.source, reason));
            }
            _ => return Err(run.damaged("the cpio archive in it has a malformed header")),
        }
        let number = |field: usize| {
            let digits = &bytes[6 + 8 * field..14 + 8 * field];
            let text = str::from_utf8(digits).ok().filter(|text| text.bytes().all(|b| b.is_ascii_hexdigit()));
            text.and_then(|text| u32::from_str_radix(text, 16).ok())
                .ok_or_else(|| run.damaged("the cpio archive in it has a malformed number"))
        };
        let name_len = usize::try_from(number(11)?).unwrap_or(usize::MAX);
        if name_len == 0 || name_len > PATH_MAX + 1 {
            return Err(run.damaged(format!("a name in the cpio archive has {name_len} bytes")));
        }
        Ok(Self { mode: number(1)?, nlink: number(4)?, size_bytes: number(6)?.into(), name_len })
    }
}

/// Returns the number of bytes up to the next multiple of 4.
fn padding(length: u64) -> u64 {
    length.next_multiple_of(4) - length
}

fn read_exactly(run: &ImportRun<'_>, reader: &mut impl Read, buffer: &mut [u8]) -> Result<(), KernelError> {
    reader.read_exact(buffer).map_err(|error| match error.kind() {
        std::io::ErrorKind::UnexpectedEof => too_short(run),
        _ => run.read_error(error),
    })
}

fn skip(run: &ImportRun<'_>, reader: &mut impl Read, length: u64) -> Result<(), KernelError> {
    let mut rest = reader.take(length);
    drain(run, &mut rest)?;
    if rest.limit() == 0 { Ok(()) } else { Err(too_short(run)) }
}

fn too_short(run: &ImportRun<'_>) -> KernelError {
    run.damaged("the cpio archive in it is cut short")
}
