//! Writes tar archives: ustar headers, and pax headers for what does not fit into them.

use std::io::{self, Write};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD_NO_PAD;

use super::entry::{TarEntry, TarEntryKind};
use super::header::BLOCK_LEN;
use super::sparse::{Extent, check_map};
use super::ustar::{PAX_NAME, SIZE_MAX, UstarHeader, split};

/// Name of a sparse file in its own header, as GNU tar has it: what does not know sparse files makes a file of it.
const SPARSE_PREFIX: &[u8] = b"GNUSparseFile.0/";

/// Writes an archive. The same entries give the same bytes.
///
/// Each entry is one call of [`entry`](Self::entry) or [`sparse_file`](Self::sparse_file), then the bytes of a regular
/// file by [`data`](Self::data). [`finish`](Self::finish) ends the archive.
///
/// ```
/// use banger_oci::tar::{TarEntry, TarWriter};
///
/// let mut writer = TarWriter::new(Vec::new());
/// writer.entry(&TarEntry { path: b"hostname".to_vec(), mode: 0o644, size_bytes: 3, ..TarEntry::default() })?;
/// writer.data(b"vm\n")?;
/// assert_eq!(writer.finish()?.len(), 4 * 512);
/// # Ok::<(), std::io::Error>(())
/// ```
///
/// Numbers, times, names and links that a ustar header has no room for, and extended attributes, go into pax records:
/// `path`, `linkpath`, `size`, `uid`, `gid`, `mtime`, `SCHILY.xattr.*`. Sparse files have GNU's format 1.0.
#[derive(Debug)]
pub struct TarWriter<W> {
    out: W,
    /// Bytes of the current file that are missing.
    missing: u64,
    /// Bytes behind the current file, up to the next block.
    padding: usize,
}

impl<W: Write> TarWriter<W> {
    /// Returns a writer to `out`.
    pub fn new(out: W) -> Self {
        Self { out, missing: 0, padding: 0 }
    }

    /// Writes the headers of an entry. For a regular file of [`TarEntry::size_bytes`], that many bytes follow.
    ///
    /// # Errors
    /// The output fails. The entry before is not complete. The entry is a socket or a label, which no tar program makes
    /// from a tar.
    pub fn entry(&mut self, entry: &TarEntry) -> io::Result<()> {
        let size = if entry.kind == TarEntryKind::Regular { entry.size_bytes } else { 0 };
        self.begin(entry, size, false)
    }

    /// Writes the headers of a regular file with holes; `map` are the pieces that are not holes, in their order. The
    /// bytes of the pieces follow.
    ///
    /// # Errors
    /// As [`entry`](Self::entry), or the pieces overlap or lie outside the file.
    pub fn sparse_file(&mut self, entry: &TarEntry, map: &[Extent]) -> io::Result<()> {
        let data_bytes = map.iter().fold(0_u64, |sum, piece| sum.saturating_add(piece.length));
        check_map(map, entry.size_bytes, data_bytes).map_err(invalid)?;
        let mut text = format!("{}\n", map.len());
        for piece in map {
            text.push_str(&format!("{}\n{}\n", piece.offset, piece.length));
        }
        let mut text = text.into_bytes();
        text.resize(text.len().next_multiple_of(BLOCK_LEN), 0);
        let size =
            data_bytes.checked_add(text.len() as u64).ok_or_else(|| invalid("the file is too large"))?;
        self.begin(entry, size, true)?;
        self.data(&text)
    }

    /// Writes bytes of the current file.
    ///
    /// # Errors
    /// The output fails, or these are more bytes than the file has.
    pub fn data(&mut self, bytes: &[u8]) -> io::Result<()> {
        let left = self.missing.checked_sub(bytes.len() as u64);
        self.missing = left.ok_or_else(|| invalid("more bytes than the file has"))?;
        self.out.write_all(bytes)?;
        if self.missing == 0 {
            self.out.write_all(&[0; BLOCK_LEN][..std::mem::take(&mut self.padding)])?;
        }
        Ok(())
    }

    /// Writes the end of the archive; returns the output.
    ///
    /// # Errors
    /// The output fails, or the last file is not complete.
    pub fn finish(mut self) -> io::Result<W> {
        self.check_complete()?;
        self.out.write_all(&[0; 2 * BLOCK_LEN])?;
        Ok(self.out)
    }

    fn check_complete(&self) -> io::Result<()> {
        match self.missing {
            0 => Ok(()),
            _ => Err(invalid("the file before is not complete")),
        }
    }

    fn begin(&mut self, entry: &TarEntry, size: u64, is_sparse: bool) -> io::Result<()> {
        self.check_complete()?;
        let mut pax = PaxRecords::default();
        let mut header = UstarHeader::new(type_flag(entry.kind)?, entry.mode);
        let mut name = entry.path.clone();
        if is_sparse {
            pax.add(b"GNU.sparse.major", b"1");
            pax.add(b"GNU.sparse.minor", b"0");
            pax.add(b"GNU.sparse.name", &entry.path);
            pax.add(b"GNU.sparse.realsize", entry.size_bytes.to_string().as_bytes());
            let last = entry.path.rsplit(|byte| *byte == b'/').next().unwrap_or_default();
            name = [SPARSE_PREFIX, last].concat();
            name.truncate(UstarHeader::NAME_MAX);
        } else if entry.kind == TarEntryKind::Directory && !name.ends_with(b"/") {
            name.push(b'/');
        }
        match split(&name) {
            Some((prefix, name)) => header.set_name(prefix, name),
            None => {
                pax.add_name(b"path", &name);
                header.set_name(b"", &name[..UstarHeader::NAME_MAX.min(name.len())]);
            }
        }
        if !entry.link_target.is_empty() {
            let target = &entry.link_target;
            if target.len() > UstarHeader::NAME_MAX {
                pax.add_name(b"linkpath", target);
            }
            header.set_link(&target[..UstarHeader::NAME_MAX.min(target.len())]);
        }
        for (key, id, fits) in [
            (&b"uid"[..], entry.uid, header.set_uid(entry.uid)),
            (b"gid", entry.gid, header.set_gid(entry.gid)),
        ] {
            if !fits {
                pax.add(key, id.to_string().as_bytes());
            }
        }
        if size > SIZE_MAX {
            pax.add(b"size", size.to_string().as_bytes());
        }
        header.set_size(size.min(SIZE_MAX));
        if !header.set_mtime(entry.mtime.seconds) || entry.mtime.nanoseconds != 0 {
            pax.add(b"mtime", super::number::pax_time_text(entry.mtime).as_bytes());
        }
        if matches!(entry.kind, TarEntryKind::CharDevice | TarEntryKind::BlockDevice)
            && !header.set_device(entry.device)
        {
            return Err(invalid("the number of the device is too large"));
        }
        for (name, value) in entry.xattrs.iter() {
            pax.add_xattr(name, value);
        }
        self.write_pax(&pax)?;
        self.out.write_all(&header.finish())?;
        (self.missing, self.padding) = (size, padding(size));
        Ok(())
    }

    fn write_pax(&mut self, pax: &PaxRecords) -> io::Result<()> {
        let records = &pax.bytes;
        if records.is_empty() {
            return Ok(());
        }
        let mut header = UstarHeader::new(b'x', 0o644);
        header.set_name(b"", PAX_NAME);
        header.set_size(records.len() as u64);
        self.out.write_all(&header.finish())?;
        self.out.write_all(records)?;
        self.out.write_all(&[0; BLOCK_LEN][..padding(records.len() as u64)])
    }
}

fn invalid(reason: &'static str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidInput, reason)
}

/// Returns how many bytes are missing behind `size` bytes, up to the next block.
fn padding(size: u64) -> usize {
    let block = BLOCK_LEN as u64;
    usize::try_from((block - size % block) % block).expect("less than a block")
}

fn type_flag(kind: TarEntryKind) -> io::Result<u8> {
    Ok(match kind {
        TarEntryKind::Regular => b'0',
        TarEntryKind::HardLink => b'1',
        TarEntryKind::Symlink => b'2',
        TarEntryKind::CharDevice => b'3',
        TarEntryKind::BlockDevice => b'4',
        TarEntryKind::Directory => b'5',
        TarEntryKind::Fifo => b'6',
        TarEntryKind::Socket => return Err(invalid("a tar cannot have a socket")),
        TarEntryKind::VolumeLabel => return Err(invalid("a label is no file")),
    })
}

/// The records of one pax header.
#[derive(Default)]
struct PaxRecords {
    bytes: Vec<u8>,
}

impl PaxRecords {
    /// Adds a record, whose length counts its own digits.
    fn add(&mut self, key: &[u8], value: &[u8]) {
        // A space, `=` and a line feed.
        let rest = key.len() + value.len() + 3;
        let mut length = rest;
        while length != rest + length.to_string().len() {
            length = rest + length.to_string().len();
        }
        self.bytes.extend_from_slice(length.to_string().as_bytes());
        for part in [b" ", key, b"=", value, b"\n"] {
            self.bytes.extend_from_slice(part);
        }
    }

    /// Adds a name. POSIX has names in UTF-8, unless a record before says otherwise.
    fn add_name(&mut self, key: &[u8], name: &[u8]) {
        const BINARY: &[u8] = b"hdrcharset=BINARY";
        let is_said = self.bytes.windows(BINARY.len()).any(|part| part == BINARY);
        if std::str::from_utf8(name).is_err() && !is_said {
            self.add(b"hdrcharset", b"BINARY");
        }
        self.add(key, name);
    }

    /// Adds an extended attribute. The key of a record ends at its first `=`, so a name with one has libarchive's
    /// encoded form.
    fn add_xattr(&mut self, name: &[u8], value: &[u8]) {
        if !name.contains(&b'=') {
            return self.add(&[b"SCHILY.xattr.", name].concat(), value);
        }
        let mut key = b"LIBARCHIVE.xattr.".to_vec();
        for byte in name {
            match byte {
                b'=' | b'%' | 0..=b' ' | 0x7f.. => key.extend_from_slice(format!("%{byte:02X}").as_bytes()),
                byte => key.push(*byte),
            }
        }
        self.add(&key, STANDARD_NO_PAD.encode(value).as_bytes());
    }
}

#[cfg(test)]
mod tests {
    use banger_tree::{Timestamp, Xattrs};

    use super::*;
    use crate::tar::{Data, TarLimits, TarReader};

    fn entry(path: &[u8], kind: TarEntryKind) -> TarEntry {
        TarEntry { path: path.to_vec(), kind, mode: 0o644, ..TarEntry::default() }
    }

    #[test]
    fn what_is_written_is_read_again() {
        let long = [b"d/".repeat(60), vec![b'n'; 200]].concat();
        let odd = [&long[..], b"\xff"].concat();
        let prefixed = [vec![b'p'; 100], b"/".to_vec(), vec![b'q'; 100]].concat();
        let link = |target: &[u8], kind| TarEntry { link_target: target.to_vec(), ..entry(b"l", kind) };
        let at = |seconds, nanoseconds| TarEntry {
            mtime: Timestamp { seconds, nanoseconds },
            ..entry(b"t", TarEntryKind::Fifo)
        };
        let all: Vec<u8> = (0..=255).collect();
        let xattrs = Xattrs::from_iter([
            (&b"user.a"[..], &all[..]),
            (b"user.with=and%", &all),
            (b"user.empty", b""),
            (b"user.\xff=", b"x"),
        ]);
        let written = [
            entry(b"./", TarEntryKind::Directory),
            entry(&[&long[..], b"/"].concat(), TarEntryKind::Directory),
            entry(&odd, TarEntryKind::Regular),
            entry(&prefixed, TarEntryKind::Regular),
            link(b"short", TarEntryKind::Symlink),
            link(&odd, TarEntryKind::Symlink),
            link(&long, TarEntryKind::HardLink),
            at(0, 1),
            at(-1, 0),
            at(-2, 500_000_000),
            at(1 << 33, 0),
            at(1 << 34, 999_999_999),
            TarEntry { uid: 0o777_7777, gid: 0o1000_0000, ..entry(b"o", TarEntryKind::Regular) },
            TarEntry { uid: u32::MAX, gid: 7, mode: 0o7777, ..entry(b"o", TarEntryKind::Regular) },
            TarEntry { device: (4095, 1_048_575), ..entry(b"c", TarEntryKind::CharDevice) },
            TarEntry { device: (8, 0), ..entry(b"b", TarEntryKind::BlockDevice) },
            TarEntry { xattrs, ..entry(b"x", TarEntryKind::Regular) },
        ];
        let mut writer = TarWriter::new(Vec::new());
        written.iter().for_each(|entry| writer.entry(entry).unwrap());
        let tar = writer.finish().unwrap();
        let mut reader = TarReader::new(&tar[..], TarLimits::default());
        for want in &written {
            let mut found = TarEntry::default();
            assert!(reader.next_entry(&mut found).unwrap());
            found.offset = 0;
            assert_eq!(&found, want);
        }
        assert!(!reader.next_entry(&mut TarEntry::default()).unwrap());
    }

    #[test]
    fn holes_are_read_again() {
        let map = [Extent { offset: 0, length: 3 }, Extent { offset: 1 << 40, length: 600 }];
        for map in [&map[..], &map[1..], &[]] {
            let file =
                TarEntry { size_bytes: (1 << 40) + 4096, ..entry(&[b'n'; 300], TarEntryKind::Regular) };
            let mut writer = TarWriter::new(Vec::new());
            writer.sparse_file(&file, map).unwrap();
            map.iter().for_each(|piece| writer.data(&vec![7; piece.length as usize]).unwrap());
            writer.entry(&entry(b"next", TarEntryKind::Fifo)).unwrap();
            let tar = writer.finish().unwrap();
            let mut reader = TarReader::new(&tar[..], TarLimits::default());
            let mut found = TarEntry::default();
            assert!(reader.next_entry(&mut found).unwrap());
            assert_eq!((&found.path, found.size_bytes), (&file.path, file.size_bytes));
            let (mut at, mut pieces) = (0, Vec::new());
            while let Some(data) = reader.next_data().unwrap() {
                match data {
                    Data::Bytes(bytes) => {
                        assert!(bytes.iter().all(|byte| *byte == 7));
                        pieces.push((at, bytes.len() as u64));
                        at += bytes.len() as u64;
                    }
                    Data::Hole(length) => at += length,
                }
            }
            assert_eq!(at, file.size_bytes);
            let sum = |from: u64| {
                pieces.iter().filter(|(at, _)| *at >= from).map(|(_, length)| length).sum::<u64>()
            };
            let want =
                |from: u64| map.iter().filter(|piece| piece.offset >= from).map(|piece| piece.length).sum();
            assert_eq!((sum(0), sum(1 << 40)), (want(0), want(1 << 40)));
            assert!(reader.next_entry(&mut found).unwrap() && found.path == b"next");
        }
    }

    #[test]
    fn a_tar_that_would_be_wrong_is_an_error() {
        let mut writer = TarWriter::new(Vec::new());
        let file = TarEntry { size_bytes: 2, ..entry(b"f", TarEntryKind::Regular) };
        writer.entry(&file).unwrap();
        assert!(writer.data(b"abc").is_err());
        writer.data(b"a").unwrap();
        assert!(writer.entry(&file).is_err());
        assert!(writer.finish().is_err());
        let mut writer = TarWriter::new(Vec::new());
        assert!(writer.entry(&entry(b"s", TarEntryKind::Socket)).is_err());
        let overlap = [Extent { offset: 0, length: 2 }, Extent { offset: 1, length: 1 }];
        assert!(writer.sparse_file(&file, &overlap).is_err());
        let device = TarEntry { device: (1 << 22, 0), ..entry(b"c", TarEntryKind::CharDevice) };
        assert!(writer.entry(&device).is_err());
    }
}
