//! RPM packages: lead, signature, header, and a compressed cpio archive.
//!
//! Format: the RPM reference manual, "RPM V4 Package format" and "Header". V6 packages have the same parts.

use std::fs::File;
use std::io::{BufReader, Read, Seek as _, SeekFrom};

use banger_oci::decompress::decompressor;

use super::cpio::read_cpio;
use super::lzma::lzma_decoder;
use super::{Entries, PackageInfo};
use crate::error::KernelError;
use crate::run::ImportRun;

/// The bytes that a package begins with.
pub(crate) const RPM_MAGIC: [u8; 4] = [0xed, 0xab, 0xee, 0xdb];
const LEAD_LEN: u64 = 96;
const HEADER_MAGIC: [u8; 4] = [0x8e, 0xad, 0xe8, 1];
const INDEX_ENTRY_LEN: u64 = 16;
/// Largest size of a header: one of a kernel with 10,000 files has about 2 MiB.
const MAX_HEADER_BYTES: u64 = 64 << 20;

const TAG_NAME: u32 = 1000;
const TAG_VERSION: u32 = 1001;
const TAG_RELEASE: u32 = 1002;
const TAG_PAYLOAD_FORMAT: u32 = 1124;
const TAG_PAYLOAD_COMPRESSOR: u32 = 1125;
/// Type of an entry: text that ends with a NUL byte.
const TYPE_STRING: u32 = 6;

/// Reads a package: its header, then all files in it.
pub(crate) fn read_rpm(
    run: &ImportRun<'_>,
    file: &mut File,
    entries: &mut dyn Entries,
) -> Result<(), KernelError> {
    let fail = |error| run.read_error(error);
    file.seek(SeekFrom::Start(0)).map_err(fail)?;
    let mut reader = BufReader::new(run.counted(file.try_clone().map_err(fail)?));
    let lead = read_bytes(run, &mut reader, LEAD_LEN, "its lead")?;
    if !lead.starts_with(&RPM_MAGIC) {
        return Err(run.damaged("it is not an rpm package"));
    }
    let signature = RpmHeader::read(run, &mut reader, "its signature")?;
    let behind = signature.length.next_multiple_of(8) - signature.length;
    read_bytes(run, &mut reader, behind, "its signature")?;
    let header = RpmHeader::read(run, &mut reader, "its header")?;
    let text = |tag| header.text(tag).unwrap_or_default();
    let version = format!("{}-{}", text(TAG_VERSION), text(TAG_RELEASE));
    entries.package(PackageInfo { name: text(TAG_NAME), version });
    if let Some(format) = header.text(TAG_PAYLOAD_FORMAT).filter(|format| format != "cpio") {
        return Err(KernelError::unsupported(&run.source, format!("a payload of the format {format:?}")));
    }
    if header.text(TAG_PAYLOAD_COMPRESSOR).as_deref() == Some("lzma") {
        let payload = lzma_decoder(reader).map_err(fail)?;
        return read_cpio(run, run.metered(payload), entries);
    }
    read_cpio(run, run.metered(decompressor(reader).map_err(fail)?), entries)
}

/// An index and the values that it leads to.
struct RpmHeader {
    index: Vec<u8>,
    store: Vec<u8>,
    /// Bytes of the header in the file.
    length: u64,
}

impl RpmHeader {
    fn read(run: &ImportRun<'_>, reader: &mut impl Read, what: &str) -> Result<Self, KernelError> {
        let intro = read_bytes(run, reader, 16, what)?;
        if !intro.starts_with(&HEADER_MAGIC) {
            return Err(run.damaged(format!("{what} has a wrong magic number")));
        }
        let index_len = u64::from(number(&intro, 8)) * INDEX_ENTRY_LEN;
        let store_len = u64::from(number(&intro, 12));
        if index_len + store_len > MAX_HEADER_BYTES {
            return Err(run.damaged(format!("{what} has more than {MAX_HEADER_BYTES} bytes")));
        }
        let index = read_bytes(run, reader, index_len, what)?;
        let store = read_bytes(run, reader, store_len, what)?;
        Ok(Self { index, store, length: 16 + index_len + store_len })
    }

    /// Returns the text of an entry.
    fn text(&self, tag: u32) -> Option<String> {
        let entry = self.index.chunks_exact(16).find(|entry| number(entry, 0) == tag)?;
        let at = usize::try_from(number(entry, 8)).ok()?;
        let bytes = self.store.get(at..).filter(|_| number(entry, 4) == TYPE_STRING)?;
        let end = bytes.iter().position(|byte| *byte == 0)?;
        Some(String::from_utf8_lossy(&bytes[..end]).into_owned())
    }
}

/// Returns the big-endian number at `at`, which is inside.
fn number(bytes: &[u8], at: usize) -> u32 {
    bytes[at..at + 4].iter().fold(0, |number, byte| number << 8 | u32::from(*byte))
}

fn read_bytes(
    run: &ImportRun<'_>,
    reader: &mut impl Read,
    length: u64,
    what: &str,
) -> Result<Vec<u8>, KernelError> {
    let mut bytes = Vec::new();
    reader.take(length).read_to_end(&mut bytes).map_err(|error| run.read_error(error))?;
    match bytes.len() as u64 == length {
        true => Ok(bytes),
        false => Err(run.damaged(format!("it ends inside {what}"))),
    }
}
