//! The 512-byte header block.

use super::error::TarError;
use super::number;

pub(super) const BLOCK_LEN: usize = 512;

/// A block of the archive.
pub(super) type Block = [u8; BLOCK_LEN];

/// Which fields a header has behind the link name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Format {
    /// Nothing: a header from before POSIX.
    V7,
    /// A name prefix of 155 bytes.
    Ustar,
    /// A name prefix of 131 bytes, then times.
    Star,
    /// Times, sparse map and sizes in the prefix's place.
    Gnu,
}

/// A header block whose checksum is right.
#[derive(Debug)]
pub(super) struct Header<'a> {
    block: &'a Block,
    offset: u64,
    pub(super) format: Format,
}

impl<'a> Header<'a> {
    /// Checks the block at `offset` of the archive.
    pub(super) fn parse(block: &'a Block, offset: u64) -> Result<Self, TarError> {
        // Some old writers summed signed bytes.
        let (unsigned, signed) = checksums(block);
        let stored = number::octal(&block[148..156]).map(i64::try_from);
        match stored {
            Some(Ok(sum)) if sum == unsigned || sum == signed => {}
            _ => return Err(TarError::NotAHeader { offset, reason: "wrong checksum" }),
        }
        let format = match &block[257..265] {
            b"ustar  \0" => Format::Gnu,
            [b'u', b's', b't', b'a', b'r', 0, ..] if &block[508..] == b"tar\0" => Format::Star,
            [b'u', b's', b't', b'a', b'r', 0, ..] => Format::Ustar,
            _ => Format::V7,
        };
        Ok(Self { block, offset, format })
    }

    /// Returns the position of the header in the archive.
    pub(super) fn offset(&self) -> u64 {
        self.offset
    }

    pub(super) fn type_flag(&self) -> u8 {
        self.block[156]
    }

    /// Appends the name, prefix included.
    pub(super) fn read_name(&self, path: &mut Vec<u8>) {
        let prefix = match self.format {
            Format::Ustar => until_nul(&self.block[345..500]),
            Format::Star => until_nul(&self.block[345..476]),
            Format::V7 | Format::Gnu => b"",
        };
        if !prefix.is_empty() {
            path.extend_from_slice(prefix);
            path.push(b'/');
        }
        path.extend_from_slice(until_nul(&self.block[..100]));
    }

    pub(super) fn link_name(&self) -> &'a [u8] {
        until_nul(&self.block[157..257])
    }

    pub(super) fn mode(&self) -> Result<u16, TarError> {
        // File type bits, and the sign that careless writers leave, are above the mask.
        let mode = self.number(100..108, "mode")?;
        Ok(u16::try_from(mode & 0o7777).expect("twelve bits fit"))
    }

    pub(super) fn uid(&self) -> Result<u32, TarError> {
        self.unsigned(108..116, "uid")
    }

    pub(super) fn gid(&self) -> Result<u32, TarError> {
        self.unsigned(116..124, "gid")
    }

    pub(super) fn size(&self) -> Result<u64, TarError> {
        self.unsigned(124..136, "size")
    }

    /// Returns the seconds of the last modification, saturated.
    pub(super) fn mtime(&self) -> Result<i64, TarError> {
        let mtime = self.number(136..148, "mtime")?;
        Ok(i64::try_from(mtime).unwrap_or(if mtime < 0 { i64::MIN } else { i64::MAX }))
    }

    pub(super) fn device(&self) -> Result<(u32, u32), TarError> {
        match self.format {
            Format::V7 => Ok((0, 0)),
            _ => Ok((self.unsigned(329..337, "devmajor")?, self.unsigned(337..345, "devminor")?)),
        }
    }

    /// Returns the 4 slots of the old GNU sparse map, whether blocks of more follow, and the size
    /// of the file.
    pub(super) fn old_sparse(&self) -> Result<(&'a [u8], bool, u64), TarError> {
        Ok((&self.block[386..482], self.block[482] != 0, self.unsigned(483..495, "real size")?))
    }

    fn unsigned<T: TryFrom<i128>>(
        &self,
        range: std::ops::Range<usize>,
        field: &'static str,
    ) -> Result<T, TarError> {
        T::try_from(self.number(range, field)?).map_err(|_| TarError::Number { offset: self.offset, field })
    }

    fn number(&self, range: std::ops::Range<usize>, field: &'static str) -> Result<i128, TarError> {
        number::header_number(&self.block[range]).ok_or(TarError::Number { offset: self.offset, field })
    }
}

/// Returns whether `head`, the start of a file, is a header: whether the file is a tar.
pub(crate) fn is_header(head: &[u8]) -> bool {
    head.first_chunk::<BLOCK_LEN>().is_some_and(|block| Header::parse(block, 0).is_ok())
}

/// Returns the bytes before the first NUL.
pub(super) fn until_nul(field: &[u8]) -> &[u8] {
    &field[..field.iter().position(|byte| *byte == 0).unwrap_or(field.len())]
}

/// Returns the sums of all bytes, the checksum field counting as spaces.
fn checksums(block: &Block) -> (i64, i64) {
    let sum: u32 = block.iter().map(|byte| u32::from(*byte)).sum();
    let field: u32 = block[148..156].iter().map(|byte| u32::from(*byte)).sum();
    let unsigned = i64::from(sum - field) + 8 * i64::from(b' ');
    let high = block[..148].iter().chain(&block[156..]).filter(|byte| **byte >= 0x80).count();
    let high = i64::try_from(high).expect("at most 512");
    (unsigned, unsigned - 256 * high)
}
