//! The reader: headers, extended headers and lent file bytes.

use std::io::BufRead;

use super::blocks::Blocks;
use super::entry::{TarEntry, TarEntryKind};
use super::error::TarError;
use super::header::{BLOCK_LEN, Format, Header, until_nul};
use super::limits::TarLimits;
use super::pax::{PaxError, PaxFields};
use super::sparse::{Extent, allocated_bytes, check_map};
use super::sparse_map::{read_map_1_0, read_old_map, too_many_extents};

/// A piece of a regular file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Data<'a> {
    /// Bytes, lent from the input's buffer; never empty.
    Bytes(&'a [u8]),
    /// This number of zeros, which the archive does not contain; never 0.
    Hole(u64),
}

/// Reads an archive from `R`, entry by entry.
#[derive(Debug)]
pub struct TarReader<R> {
    blocks: Blocks<R>,
    limits: TarLimits,
    /// Bytes at the front of the input's buffer that are lent to the caller.
    lent: usize,
    /// Data of the current entry that is still in the input, and the padding behind it.
    remaining: u64,
    padding: u64,
    file: FileState,
    pax_records: Vec<u8>,
    ended: bool,
    lacks_end: bool,
}

/// Position of the next piece in the current file.
#[derive(Debug, Default)]
struct FileState {
    /// The pieces in the archive; one for a file without holes.
    map: Vec<Extent>,
    /// Index of the piece the next bytes are of, and how many bytes of it were lent.
    next: usize,
    taken: u64,
    /// The position of the caller in the file, and its end.
    offset: u64,
    size: u64,
}

/// Extended headers that wait for the entry they describe.
#[derive(Default)]
struct Extended {
    pax: Option<PaxFields>,
    long_name: Option<Vec<u8>>,
    long_link: Option<Vec<u8>>,
}

impl<R: BufRead> TarReader<R> {
    /// Returns a reader at the start of an archive. The larger the input's buffer, the larger are
    /// the pieces of files.
    pub fn new(input: R, limits: TarLimits) -> Self {
        Self {
            blocks: Blocks::new(input),
            limits,
            lent: 0,
            remaining: 0,
            padding: 0,
            file: FileState::default(),
            pax_records: Vec::new(),
            ended: false,
            lacks_end: false,
        }
    }

    /// Reads the next header into `entry`, and skips unread bytes of the file before it. Returns false at the
    /// end blocks, or if the input ends between two entries. Bytes after the end blocks stay in the input.
    ///
    /// # Errors
    /// The archive is malformed, truncated or beyond a limit, or the input fails. A reader that
    /// failed is of no further use.
    pub fn next_entry(&mut self, entry: &mut TarEntry) -> Result<bool, TarError> {
        entry.clear();
        self.finish_entry()?;
        let mut extended = Extended::default();
        loop {
            let offset = self.blocks.position();
            if self.ended || !self.read_header_block()? {
                self.ended = true;
                return match extended.last_record() {
                    None => Ok(false),
                    Some(record) => Err(TarError::Extended { offset, record, reason: "no file follows it" }),
                };
            }
            let block = *self.blocks.block();
            let header = Header::parse(&block, offset)?;
            match header.type_flag() {
                b'x' => self.read_pax(&header, offset, &mut extended)?,
                // A global header speaks for all files that follow; layers carry comments in it.
                b'g' => {
                    self.expect_data(header.size()?, offset)?;
                    self.finish_entry()?;
                }
                b'L' => {
                    let name = self.read_long(&header, offset, "L")?;
                    set_once(&mut extended.long_name, name, offset, "L")?;
                }
                b'K' => {
                    let name = self.read_long(&header, offset, "K")?;
                    set_once(&mut extended.long_link, name, offset, "K")?;
                }
                _ => {
                    entry.offset = offset;
                    self.read_entry(&header, extended, entry)?;
                    return Ok(true);
                }
            }
        }
    }

    /// Returns the next piece of the current entry's file, `None` at its end.
    ///
    /// # Errors
    /// The archive ends inside the file, or the input fails.
    pub fn next_data(&mut self) -> Result<Option<Data<'_>>, TarError> {
        self.return_lent();
        while let Some(extent) = self.file.map.get(self.file.next).copied() {
            if extent.offset > self.file.offset && extent.length > 0 {
                let hole = extent.offset - self.file.offset;
                self.file.offset = extent.offset;
                return Ok(Some(Data::Hole(hole)));
            }
            let left = extent.length - self.file.taken;
            if left == 0 {
                self.file.next += 1;
                self.file.taken = 0;
                continue;
            }
            let offset = self.blocks.position();
            let buffer = self.blocks.fill_buf()?;
            if buffer.is_empty() {
                return Err(TarError::Truncated { offset, inside: "a file" });
            }
            let length = usize::try_from(left).map_or(buffer.len(), |left| left.min(buffer.len()));
            self.lent = length;
            self.file.taken += length as u64;
            self.file.offset += length as u64;
            self.remaining -= length as u64;
            return Ok(Some(Data::Bytes(&buffer[..length])));
        }
        let hole = self.file.size - self.file.offset;
        self.file.offset = self.file.size;
        Ok((hole > 0).then_some(Data::Hole(hole)))
    }

    /// Returns how many bytes of the archive were passed.
    pub fn position(&self) -> u64 {
        self.blocks.position()
    }

    /// Returns whether the archive ended without the two blocks of zeros that should end it.
    pub fn lacks_end_blocks(&self) -> bool {
        self.lacks_end
    }

    /// Returns the input, at the first byte that was not passed.
    pub fn into_input(mut self) -> R {
        self.return_lent();
        self.blocks.into_input()
    }

    fn return_lent(&mut self) {
        self.blocks.consume(self.lent);
        self.lent = 0;
    }

    /// Skips the rest of the current entry.
    fn finish_entry(&mut self) -> Result<(), TarError> {
        self.return_lent();
        self.blocks.skip(self.remaining, "a file")?;
        self.remaining = 0;
        self.blocks.skip(self.padding, "the padding of a file")?;
        self.padding = 0;
        self.file = FileState { map: std::mem::take(&mut self.file.map), ..FileState::default() };
        self.file.map.clear();
        Ok(())
    }

    /// Reads the next header block; returns false at the end of the archive.
    fn read_header_block(&mut self) -> Result<bool, TarError> {
        if !self.blocks.read_optional_block("a header")? {
            self.lacks_end = true;
            return Ok(false);
        }
        if self.blocks.block().iter().any(|byte| *byte != 0) {
            return Ok(true);
        }
        let offset = self.blocks.position();
        if !self.blocks.read_optional_block("the end blocks")? {
            self.lacks_end = true;
        } else if self.blocks.block().iter().any(|byte| *byte != 0) {
            return Err(TarError::NotAHeader { offset, reason: "a lone block of zeros is before it" });
        }
        Ok(false)
    }

    /// Notes that `size` bytes of data follow, with their padding.
    fn expect_data(&mut self, size: u64, offset: u64) -> Result<(), TarError> {
        // The end of the padding must have an offset, too.
        if size > u64::MAX / 2 {
            return Err(TarError::Number { offset, field: "size" });
        }
        self.remaining = size;
        self.padding = size.next_multiple_of(BLOCK_LEN as u64) - size;
        Ok(())
    }

    /// Reads the data of an extended header.
    fn read_extended(
        &mut self,
        header: &Header<'_>,
        offset: u64,
        inside: &'static str,
        bytes: &mut Vec<u8>,
    ) -> Result<(), TarError> {
        let size = header.size()?;
        let maximum = self.limits.max_extended_bytes;
        let length = usize::try_from(size).ok().filter(|_| size <= maximum).ok_or(TarError::Limit {
            offset,
            what: "an extended header",
            value: size,
            maximum,
        })?;
        self.expect_data(size, offset)?;
        bytes.clear();
        // The buffer grows with the data: a header alone cannot make us reserve its claimed size.
        while bytes.len() < length {
            let filled = bytes.len();
            bytes.resize(length.min(filled + 64 * 1024), 0);
            let wanted = bytes.len() - filled;
            if self.blocks.read_up_to(&mut bytes[filled..])? < wanted {
                return Err(TarError::Truncated { offset: self.blocks.position(), inside });
            }
        }
        self.remaining = 0;
        self.finish_entry()
    }

    fn read_pax(
        &mut self,
        header: &Header<'_>,
        offset: u64,
        extended: &mut Extended,
    ) -> Result<(), TarError> {
        let mut records = std::mem::take(&mut self.pax_records);
        self.read_extended(header, offset, "a pax header", &mut records)?;
        let fields = PaxFields::parse(&records).map_err(|error| match error {
            PaxError::Malformed(reason) => TarError::Extended { offset, record: "pax", reason },
            PaxError::Number(field) => TarError::Number { offset, field },
        })?;
        self.pax_records = records;
        set_once(&mut extended.pax, fields, offset, "pax")
    }

    fn read_long(
        &mut self,
        header: &Header<'_>,
        offset: u64,
        record: &'static str,
    ) -> Result<Vec<u8>, TarError> {
        let mut bytes = Vec::new();
        self.read_extended(header, offset, "a long name", &mut bytes)?;
        let length = until_nul(&bytes).len();
        let malformed = |reason| Err(TarError::Extended { offset, record, reason });
        match bytes[length..].iter().all(|byte| *byte == 0) {
            true if length > 0 => {}
            true => return malformed("the name is empty"),
            false => return malformed("a NUL byte inside the name"),
        }
        bytes.truncate(length);
        Ok(bytes)
    }

    fn read_entry(
        &mut self,
        header: &Header<'_>,
        extended: Extended,
        entry: &mut TarEntry,
    ) -> Result<(), TarError> {
        let offset = entry.offset;
        let mut pax = extended.pax.unwrap_or_default();
        let sparse_name = pax.sparse.name.take();
        let path = one_name(extended.long_name, sparse_name.or(pax.path.take()), offset, "L")?;
        match path {
            Some(path) => entry.path = path,
            None => header.read_name(&mut entry.path),
        }
        let flag = header.type_flag();
        entry.kind = kind(flag, &entry.path, header.format, offset)?;
        entry.mode = header.mode()?;
        // A pax record exists because the field cannot hold the number: do not even parse the field.
        entry.uid = pax.uid.map_or_else(|| header.uid(), Ok)?;
        entry.gid = pax.gid.map_or_else(|| header.gid(), Ok)?;
        entry.mtime = match pax.mtime {
            Some(mtime) => mtime,
            None => banger_tree::Timestamp::from_seconds(header.mtime()?),
        };
        entry.xattrs = std::mem::take(&mut pax.xattrs);
        entry.has_acl_text = pax.has_acl_text;
        entry.repeated_record = pax.repeated.take();
        if matches!(entry.kind, TarEntryKind::CharDevice | TarEntryKind::BlockDevice) {
            let (major, minor) = match (pax.device_major, pax.device_minor) {
                (Some(major), Some(minor)) => (major, minor),
                (major, minor) => {
                    let device = header.device()?;
                    (major.unwrap_or(device.0), minor.unwrap_or(device.1))
                }
            };
            entry.device = (major, minor);
        }
        if matches!(entry.kind, TarEntryKind::HardLink | TarEntryKind::Symlink) {
            match one_name(extended.long_link, pax.link_path.take(), offset, "K")? {
                Some(target) => entry.link_target = target,
                None => entry.link_target.extend_from_slice(header.link_name()),
            }
        }
        let size = pax.size.map_or_else(|| header.size(), Ok)?;
        if entry.kind == TarEntryKind::Regular {
            self.begin_file(header, &pax, size, entry)?;
            // star marks sockets in a record, as no type flag exists for them. Before flag 5, directories
            // were written as files without bytes and with a trailing slash.
            if entry.size_bytes == 0 && pax.is_socket {
                entry.kind = TarEntryKind::Socket;
            } else if entry.data_bytes == 0 && entry.size_bytes == 0 && entry.path.ends_with(b"/") {
                entry.kind = TarEntryKind::Directory;
            }
        } else if flag == b'D' {
            // GNU's incremental dumps list a directory's names as its data.
            self.expect_data(size, offset)?;
        }
        // Everything else has no data, with any size field: it is a hint in POSIX, and the readers of most
        // container tools take it as 0. If data follows, it is not a header.
        Ok(())
    }

    /// Prepares for the data of a regular file.
    fn begin_file(
        &mut self,
        header: &Header<'_>,
        pax: &PaxFields,
        size: u64,
        entry: &mut TarEntry,
    ) -> Result<(), TarError> {
        let offset = entry.offset;
        let bad = |reason| TarError::Sparse { offset, reason };
        self.expect_data(size, offset)?;
        let mut map = std::mem::take(&mut self.file.map);
        map.clear();
        let real_size = if header.type_flag() == b'S' {
            if header.format != Format::Gnu || pax.sparse.is_present() {
                return Err(bad("not the old GNU format"));
            }
            read_old_map(&mut self.blocks, &self.limits, header, &mut map)?
        } else if pax.sparse.is_present() {
            let real_size = pax.sparse.file_size().ok_or(bad("no size of the whole file"))?;
            match (pax.sparse.version, &pax.sparse.map) {
                ((None | Some(0), None | Some(0 | 1)), Some(pieces)) => {
                    map.extend_from_slice(pieces);
                    if pax.sparse.block_count.is_some_and(|count| count != map.len() as u64) {
                        return Err(bad("the number of pieces is wrong"));
                    }
                }
                ((Some(1), Some(0)), None) => {
                    read_map_1_0(&mut self.blocks, &self.limits, &mut self.remaining, offset, &mut map)?
                }
                _ => return Err(bad("unknown format")),
            }
            real_size
        } else {
            map.push(Extent { offset: 0, length: size });
            size
        };
        if map.len() as u64 > self.limits.max_sparse_extents {
            return Err(too_many_extents(&self.limits, offset, map.len() as u64));
        }
        check_map(&map, real_size, self.remaining).map_err(bad)?;
        entry.size_bytes = real_size;
        entry.data_bytes = self.remaining;
        entry.allocated_bytes = allocated_bytes(&map);
        self.file = FileState { map, size: real_size, ..FileState::default() };
        Ok(())
    }
}

impl Extended {
    fn last_record(&self) -> Option<&'static str> {
        match self {
            Self { pax: Some(_), .. } => Some("pax"),
            Self { long_name: Some(_), .. } => Some("L"),
            Self { long_link: Some(_), .. } => Some("K"),
            _ => None,
        }
    }
}

/// Returns the kind of an entry with the type flag `flag`.
fn kind(flag: u8, path: &[u8], format: Format, offset: u64) -> Result<TarEntryKind, TarError> {
    Ok(match flag {
        // 7 is a contiguous file, to be treated as a file by those who cannot make one.
        0 | b'0' | b'7' | b'S' => TarEntryKind::Regular,
        b'1' => TarEntryKind::HardLink,
        b'2' => TarEntryKind::Symlink,
        b'3' => TarEntryKind::CharDevice,
        b'4' => TarEntryKind::BlockDevice,
        b'5' => TarEntryKind::Directory,
        b'6' => TarEntryKind::Fifo,
        b'D' if format == Format::Gnu => TarEntryKind::Directory,
        b'V' if format == Format::Gnu && !path.is_empty() => TarEntryKind::VolumeLabel,
        _ => return Err(TarError::TypeFlag { offset, flag }),
    })
}

/// Returns the name that a GNU record and a pax record agree on. Readers differ on which one wins.
fn one_name(
    gnu: Option<Vec<u8>>,
    pax: Option<Vec<u8>>,
    offset: u64,
    record: &'static str,
) -> Result<Option<Vec<u8>>, TarError> {
    match (gnu, pax) {
        (Some(gnu), Some(pax)) if gnu != pax => {
            Err(TarError::Extended { offset, record, reason: "a pax record gives another name" })
        }
        (gnu, pax) => Ok(gnu.or(pax)),
    }
}

fn set_once<T>(slot: &mut Option<T>, value: T, offset: u64, record: &'static str) -> Result<(), TarError> {
    match slot.replace(value) {
        None => Ok(()),
        Some(_) => Err(TarError::Extended { offset, record, reason: "the second one for one file" }),
    }
}
