//! The tar of an archive: regular files without owner and time, so that the same content gives the same bytes.

use std::io::{self, Write};

const BLOCK: usize = 512;
const NAME_MAX: usize = 100;

/// Writes a tar (POSIX.1-2017 `pax`).
#[derive(Debug)]
pub(super) struct TarWriter<W>(W);

impl<W: Write> TarWriter<W> {
    pub(super) fn new(out: W) -> Self {
        Self(out)
    }

    /// Appends a regular file.
    pub(super) fn file(&mut self, name: &str, bytes: &[u8]) -> io::Result<()> {
        if name.len() > NAME_MAX {
            let record = pax_record("path", name);
            self.entry("PaxHeaders/path", b'x', record.as_bytes())?;
        }
        self.entry(&name[..name.len().min(NAME_MAX)], b'0', bytes)
    }

    /// Ends the archive.
    pub(super) fn finish(mut self) -> io::Result<W> {
        self.0.write_all(&[0; 2 * BLOCK])?;
        Ok(self.0)
    }

    fn entry(&mut self, name: &str, kind: u8, bytes: &[u8]) -> io::Result<()> {
        self.0.write_all(&header(name, bytes.len() as u64, kind))?;
        self.0.write_all(bytes)?;
        self.0.write_all(&[0; BLOCK][..bytes.len().next_multiple_of(BLOCK) - bytes.len()])
    }
}

/// Names of a layout are ASCII, and its files are smaller than the 8 GiB that the field of the size holds.
fn header(name: &str, size: u64, kind: u8) -> [u8; BLOCK] {
    let mut header = [0; BLOCK];
    let mut put = |at: usize, bytes: &[u8]| header[at..at + bytes.len()].copy_from_slice(bytes);
    put(0, name.as_bytes());
    put(100, b"0000644");
    put(108, b"0000000");
    put(116, b"0000000");
    put(124, format!("{size:011o}").as_bytes());
    put(136, b"00000000000");
    put(148, b"        ");
    put(156, &[kind]);
    put(257, b"ustar\x0000");
    let sum: u32 = header.iter().map(|byte| u32::from(*byte)).sum();
    header[148..155].copy_from_slice(format!("{sum:06o}\0").as_bytes());
    header
}

/// Returns a record whose length counts its own digits.
fn pax_record(key: &str, value: &str) -> String {
    let rest = format!(" {key}={value}\n");
    let mut len = rest.len();
    while len != rest.len() + len.to_string().len() {
        len = rest.len() + len.to_string().len();
    }
    format!("{len}{rest}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tar::{Data, TarEntry, TarLimits, TarReader};

    #[test]
    fn the_strict_reader_reads_it() {
        let long = format!("blobs/sha512/{}", "a".repeat(128));
        let files =
            [("oci-layout", vec![7; 511]), ("a", vec![]), (long.as_str(), vec![8; 512]), ("b", vec![9; 513])];
        let mut tar = TarWriter::new(Vec::new());
        for (name, bytes) in &files {
            tar.file(name, bytes).unwrap();
        }
        let bytes = tar.finish().unwrap();
        assert_eq!(bytes.len() % BLOCK, 0);
        let mut reader = TarReader::new(&bytes[..], TarLimits::default());
        let mut entry = TarEntry::default();
        for (name, bytes) in &files {
            assert!(reader.next_entry(&mut entry).unwrap());
            let mut content = Vec::new();
            while let Some(data) = reader.next_data().unwrap() {
                match data {
                    Data::Bytes(bytes) => content.extend_from_slice(bytes),
                    Data::Hole(_) => panic!("a hole"),
                }
            }
            assert_eq!((entry.path.as_slice(), &content), (name.as_bytes(), bytes));
        }
        assert!(!reader.next_entry(&mut entry).unwrap());
    }
}
