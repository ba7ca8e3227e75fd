//! The members of a gzip stream (RFC 1952).

use std::io::{self, BufRead, Read};
use std::sync::Arc;

use flate2::{Crc, Decompress, FlushDecompress, Status};

use super::notes::{DecodeNotes, pass_zeros};

const MAGIC: [u8; 2] = [0x1f, 0x8b];
/// Deflate, the only method that RFC 1952 defines.
const METHOD: u8 = 8;
/// Bits of the flags: RFC 1952, section 2.3.1. The first one only marks text.
const HEADER_CRC: u8 = 1 << 1;
const EXTRA: u8 = 1 << 2;
const NAME: u8 = 1 << 3;
const COMMENT: u8 = 1 << 4;
const RESERVED: u8 = 0xe0;

/// Whether the CRC-32 of the output is checked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Checksums {
    /// It is.
    Checked,
    /// Not checked: the caller compares a digest of all bytes. The lengths of members are still checked.
    LeftToDigest,
}

/// Reads the content of the members, one after the other.
pub(crate) struct Gzip<R> {
    input: R,
    inflate: Decompress,
    /// Of the current member.
    crc: Option<Crc>,
    /// Bytes of the current member.
    length_bytes: u64,
    state: State,
    notes: Arc<DecodeNotes>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    First,
    Body,
    Trailer,
    Next,
}

impl<R: BufRead> Gzip<R> {
    pub(crate) fn new(input: R, checksums: Checksums, notes: Arc<DecodeNotes>) -> Self {
        let crc = (checksums == Checksums::Checked).then(Crc::new);
        Self { input, inflate: Decompress::new(false), crc, length_bytes: 0, state: State::First, notes }
    }

    /// Starts the member whose header is next.
    fn begin(&mut self) -> io::Result<()> {
        Header { input: &mut self.input, crc: Crc::new() }.pass()?;
        self.inflate.reset(false);
        self.length_bytes = 0;
        if let Some(crc) = &mut self.crc {
            crc.reset();
        }
        Ok(())
    }

    /// Inflates into `bytes`; returns how many came, and whether the member's data are at their end.
    fn inflate(&mut self, bytes: &mut [u8]) -> io::Result<(usize, bool)> {
        loop {
            let input = self.input.fill_buf()?;
            let is_end = input.is_empty();
            let (read, written) = (self.inflate.total_in(), self.inflate.total_out());
            let flush = if is_end { FlushDecompress::Finish } else { FlushDecompress::None };
            let status =
                self.inflate.decompress(input, bytes, flush).map_err(|_| damaged("does not inflate"))?;
            let read = length(self.inflate.total_in() - read);
            let written = length(self.inflate.total_out() - written);
            self.input.consume(read);
            self.length_bytes += written as u64;
            if let Some(crc) = &mut self.crc {
                crc.update(&bytes[..written]);
            }
            match status {
                Status::StreamEnd => return Ok((written, true)),
                _ if written > 0 => return Ok((written, false)),
                _ if is_end => return Err(cut_short()),
                _ if read == 0 => return Err(damaged("does not inflate")),
                _ => {}
            }
        }
    }

    /// Compares the output with the trailer.
    fn end(&mut self) -> io::Result<()> {
        let mut trailer = [0; 8];
        self.input.read_exact(&mut trailer).map_err(end_as_cut)?;
        let [crc, length] = [&trailer[..4], &trailer[4..]]
            .map(|word| u32::from_le_bytes(word.try_into().expect("half of eight bytes")));
        // It is counted modulo 2^32.
        if u64::from(length) != self.length_bytes & u64::from(u32::MAX) {
            return Err(damaged("has another length than it says"));
        }
        match &self.crc {
            Some(found) if found.sum() != crc => Err(damaged("has a wrong checksum")),
            _ => Ok(()),
        }
    }
}

impl<R: BufRead> Read for Gzip<R> {
    fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        if bytes.is_empty() {
            return Ok(0);
        }
        loop {
            match self.state {
                State::Next if self.input.fill_buf()?.is_empty() => return Ok(0),
                // Padding of tapes, and of tools that write whole blocks.
                State::Next if self.input.fill_buf()?[0] == 0 => {
                    pass_zeros(&mut self.input, || damaged("is followed by zeros and then something else"))?;
                    self.notes.note_zeros_behind();
                    return Ok(0);
                }
                State::First | State::Next => {
                    self.begin()?;
                    self.state = State::Body;
                }
                State::Body => {
                    let (written, is_end) = self.inflate(bytes)?;
                    if is_end {
                        self.state = State::Trailer;
                    }
                    if written > 0 {
                        return Ok(written);
                    }
                }
                State::Trailer => {
                    self.end()?;
                    self.state = State::Next;
                }
            }
        }
    }
}

/// The parts of a header that are skipped.
struct Header<'a, R> {
    input: &'a mut R,
    /// Of all bytes so far.
    crc: Crc,
}

impl<R: BufRead> Header<'_, R> {
    fn pass(mut self) -> io::Result<()> {
        let fixed: [u8; 10] = self.bytes()?;
        if fixed[..2] != MAGIC {
            return Err(damaged("is followed by what is none"));
        }
        if fixed[2] != METHOD {
            return Err(damaged("is compressed by an unknown method"));
        }
        let flags = fixed[3];
        if flags & RESERVED != 0 {
            return Err(damaged("has unknown flags"));
        }
        if flags & EXTRA != 0 {
            for _ in 0..u16::from_le_bytes(self.bytes()?) {
                self.bytes::<1>()?;
            }
        }
        for text in [NAME, COMMENT] {
            while flags & text != 0 && self.bytes()? != [0] {}
        }
        if flags & HEADER_CRC != 0 {
            let [low, high, ..] = self.crc.sum().to_le_bytes();
            if self.bytes()? != [low, high] {
                return Err(damaged("has a wrong checksum of its header"));
            }
        }
        Ok(())
    }

    fn bytes<const N: usize>(&mut self) -> io::Result<[u8; N]> {
        let mut bytes = [0; N];
        self.input.read_exact(&mut bytes).map_err(end_as_cut)?;
        self.crc.update(&bytes);
        Ok(bytes)
    }
}

fn length(bytes: u64) -> usize {
    usize::try_from(bytes).expect("as much as a buffer holds")
}

fn damaged(how: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, format!("a gzip member {how}"))
}

fn cut_short() -> io::Error {
    io::Error::new(io::ErrorKind::UnexpectedEof, "a gzip member is cut short")
}

fn end_as_cut(error: io::Error) -> io::Error {
    if error.kind() == io::ErrorKind::UnexpectedEof { cut_short() } else { error }
}

#[cfg(test)]
mod tests {
    use banger_testkit::gzip;

    use super::*;

    fn unpack(bytes: &[u8], checksums: Checksums) -> io::Result<Vec<u8>> {
        let mut out = Vec::new();
        // Small buffers, so that every state is met at their ends.
        let input = io::BufReader::with_capacity(7, bytes);
        Gzip::new(input, checksums, Arc::default()).read_to_end(&mut out).map(|_| out)
    }

    #[test]
    fn b28_lengths_are_always_checked_and_checksums_unless_a_digest_is() {
        let whole = gzip(b"some bytes, some bytes, some bytes");
        let end = whole.len();
        for (at, checked, left) in [
            (end - 8, Err("a wrong checksum"), Ok(())),
            (end - 4, Err("another length"), Err("another length")),
            (3, Err("unknown flags"), Err("unknown flags")),
            (2, Err("an unknown method"), Err("an unknown method")),
        ] {
            for (checksums, want) in [(Checksums::Checked, checked), (Checksums::LeftToDigest, left)] {
                let mut bytes = whole.clone();
                bytes[at] ^= 0x80;
                match (unpack(&bytes, checksums), want) {
                    (Ok(_), Ok(())) => {}
                    (Err(error), Err(want)) => {
                        assert_eq!(error.kind(), io::ErrorKind::InvalidData);
                        assert!(error.to_string().contains(want), "{error}");
                    }
                    (found, want) => panic!("{at}: {found:?}, want {want:?}"),
                }
            }
        }
    }

    #[test]
    fn b28_what_follows_a_member_is_one_or_an_error() {
        let (one, two) = (gzip(b"one"), gzip(b"two"));
        for checksums in [Checksums::Checked, Checksums::LeftToDigest] {
            assert_eq!(unpack(&[&one[..], &two].concat(), checksums).unwrap(), b"onetwo");
            for (rest, want) in
                [(&b"\0\0\0\0\0\0\0\0\0x"[..], "zeros and then"), (b"no gzip member at all", "what is none")]
            {
                let error = unpack(&[&one[..], rest].concat(), checksums).unwrap_err();
                assert!(error.to_string().contains(want), "{error}");
            }
            for zeros in [1, 12, 10_240] {
                let padded = [&one[..], &vec![0; zeros]].concat();
                assert_eq!(unpack(&padded, checksums).unwrap(), b"one", "{zeros}");
            }
            let joined = [&one[..], &two].concat();
            for cut in 0..joined.len() {
                match unpack(&joined[..cut], checksums) {
                    Ok(bytes) => assert_eq!((cut, &bytes[..]), (one.len(), &b"one"[..])),
                    Err(error) => assert_eq!(error.kind(), io::ErrorKind::UnexpectedEof, "cut to {cut}"),
                }
            }
        }
    }
}
