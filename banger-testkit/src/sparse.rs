//! Sparse files in the four ways that GNU tar has written them.

use crate::entry::{BLOCK_BYTES, Entry, Format, padded};

/// How a sparse file is recorded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SparseFormat {
    /// Type flag `S` with the map in the header and in blocks after it.
    OldGnu,
    /// PAX 0.0: repeated `GNU.sparse.offset` and `GNU.sparse.numbytes` records.
    Pax00,
    /// PAX 0.1: one `GNU.sparse.map` record.
    Pax01,
    /// PAX 1.0: the map at the start of the data.
    Pax10,
}

impl SparseFormat {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::OldGnu, Self::Pax00, Self::Pax01, Self::Pax10];
}

/// A regular file that has holes.
#[derive(Debug, Clone, Default)]
pub struct SparseFile {
    /// The length with all holes.
    pub size_bytes: u64,
    /// Data by offset, ascending and apart. Readers disagree on segments, the last
    /// excepted, that are no multiple of 512 bytes: GNU tar writes none and pads
    /// each, others read them one after the other.
    pub segments: Vec<(u64, Vec<u8>)>,
}

impl SparseFile {
    /// What a reader sees.
    ///
    /// # Panics
    ///
    /// When a segment reaches beyond the end.
    #[must_use]
    pub fn expanded(&self) -> Vec<u8> {
        let mut out = vec![0; usize::try_from(self.size_bytes).expect("a test's file is small")];
        for (offset, data) in &self.segments {
            let start = usize::try_from(*offset).expect("a test's file is small");
            out[start..start + data.len()].copy_from_slice(data);
        }
        out
    }

    /// Offsets and lengths, closed by an empty segment at the end as GNU tar has it.
    fn map(&self) -> Vec<(u64, u64)> {
        let mut map: Vec<(u64, u64)> = self
            .segments
            .iter()
            .map(|(offset, data)| (*offset, data.len().try_into().expect("a length fits u64")))
            .collect();
        if map.last().is_none_or(|(o, n)| o + n < self.size_bytes) {
            map.push((self.size_bytes, 0));
        }
        map
    }

    /// The bytes of the entry at `path` in this format.
    pub(crate) fn encode(&self, path: &[u8], format: SparseFormat) -> Vec<u8> {
        let data: Vec<u8> = self.segments.iter().flat_map(|(_, d)| d.clone()).collect();
        let map = self.map();
        let size = self.size_bytes.to_string();
        let count = map.len().to_string();
        match format {
            SparseFormat::OldGnu => self.encode_old(path, &map, &data),
            SparseFormat::Pax00 => {
                let mut entry =
                    Entry::file(path, data).pax("GNU.sparse.size", size).pax("GNU.sparse.numblocks", count);
                for (offset, length) in map {
                    entry = entry
                        .pax("GNU.sparse.offset", offset.to_string())
                        .pax("GNU.sparse.numbytes", length.to_string());
                }
                entry.encode()
            }
            SparseFormat::Pax01 => {
                let list: Vec<String> = map.iter().map(|(o, n)| format!("{o},{n}")).collect();
                Entry::file("GNUSparseFile.1/entry", data)
                    .pax("GNU.sparse.size", size)
                    .pax("GNU.sparse.numblocks", count)
                    .pax("GNU.sparse.name", path)
                    .pax("GNU.sparse.map", list.join(","))
                    .encode()
            }
            SparseFormat::Pax10 => {
                let list: String = map.iter().map(|(o, n)| format!("{o}\n{n}\n")).collect();
                let mut content = padded(format!("{count}\n{list}").as_bytes());
                content.extend(data);
                Entry::file("GNUSparseFile.1/entry", content)
                    .pax("GNU.sparse.major", "1")
                    .pax("GNU.sparse.minor", "0")
                    .pax("GNU.sparse.name", path)
                    .pax("GNU.sparse.realsize", size)
                    .encode()
            }
        }
    }

    fn encode_old(&self, path: &[u8], map: &[(u64, u64)], data: &[u8]) -> Vec<u8> {
        let (inline, rest) = map.split_at(map.len().min(4));
        let head = Entry::new(b'S', path)
            .format(Format::Gnu)
            .size(data.len().try_into().expect("a length fits u64"))
            .patch(386, map_bytes(inline))
            .patch(482, [u8::from(!rest.is_empty())])
            .patch(483, octal(self.size_bytes));
        let mut out = head.encode();
        let mut chunks = rest.chunks(21).peekable();
        while let Some(chunk) = chunks.next() {
            let mut block = [0_u8; BLOCK_BYTES];
            let bytes = map_bytes(chunk);
            block[..bytes.len()].copy_from_slice(&bytes);
            block[504] = u8::from(chunks.peek().is_some());
            out.extend(block);
        }
        out.extend(padded(data));
        out
    }
}

fn map_bytes(map: &[(u64, u64)]) -> Vec<u8> {
    map.iter().flat_map(|&(offset, length)| [octal(offset), octal(length)].concat()).collect()
}

/// A twelve-byte field of the old format.
fn octal(value: u64) -> Vec<u8> {
    format!("{value:011o}\0").into_bytes()
}
