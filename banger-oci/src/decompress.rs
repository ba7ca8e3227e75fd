//! Decompression of layers and archives. The first bytes decide the format.
//!
//! The media type of a layer names its compression, but is often wrong. So this module ignores it.

use std::io::{self, BufRead, BufReader, Cursor, Read};
use std::sync::Arc;

#[cfg(feature = "bzip2")]
mod bzip2;
mod gzip;
mod notes;
#[cfg(feature = "xz")]
mod xz;

pub(crate) use gzip::{Checksums, Gzip};
pub(crate) use notes::DecodeNotes;

/// Bytes read from the compressed side at a time.
const BUFFER_LEN: usize = 256 * 1024;

/// Number of bytes that identify every format.
const MAGIC_LEN: usize = 6;

/// Memory for the decoding of xz: `xz -9`, the most that the tool uses by itself, needs 65 MiB.
#[cfg(feature = "xz")]
const XZ_MEMORY_MAX: u64 = 80 << 20;

/// How a stream is compressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Compression {
    /// Not compressed.
    None,
    /// One or more gzip members (RFC 1952).
    Gzip,
    /// One or more zstd frames, also skippable ones (RFC 8878).
    Zstd,
    /// One or more xz streams; with the feature `xz`.
    Xz,
    /// One or more bzip2 streams; with the feature `bzip2`.
    Bzip2,
}

impl Compression {
    /// Returns the format's name; the empty string for plain bytes.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::None => "",
            Self::Gzip => "gzip",
            Self::Zstd => "zstd",
            Self::Xz => "xz",
            Self::Bzip2 => "bzip2",
        }
    }
}

/// Returns the compression of a stream that starts with `magic`. Unknown bytes are plain.
///
/// # Errors
///
/// `Unsupported` for a format that this build leaves out (xz, bzip2), or that no image uses (lzip, lzop, lz4,
/// compress).
pub fn detect(magic: &[u8]) -> io::Result<Compression> {
    const XZ: &[u8] = &[0xfd, b'7', b'z', b'X', b'Z', 0];
    match magic {
        // 8 is deflate, the only method RFC 1952 defines.
        [0x1f, 0x8b, 8, ..] => Ok(Compression::Gzip),
        [0x28, 0xb5, 0x2f, 0xfd, ..] => Ok(Compression::Zstd),
        // A skippable frame may come first, as chunked zstd layers show.
        [0x50..=0x5f, 0x2a, 0x4d, 0x18, ..] => Ok(Compression::Zstd),
        _ if magic.starts_with(XZ) => built_in(cfg!(feature = "xz"), Compression::Xz),
        // A stream of nothing has no block: its end comes at once.
        [b'B', b'Z', b'h', b'1'..=b'9', b'1', b'A', ..] | [b'B', b'Z', b'h', b'1'..=b'9', 0x17, b'r', ..] => {
            built_in(cfg!(feature = "bzip2"), Compression::Bzip2)
        }
        [b'L', b'Z', b'I', b'P', 1, ..] => Err(unsupported("lzip")),
        [0x89, b'L', b'Z', b'O', 0, 0x0d, ..] => Err(unsupported("lzop")),
        [0x04, 0x22, 0x4d, 0x18, ..] => Err(unsupported("lz4")),
        [0x1f, 0x9d, 0x80..=0xff, ..] => Err(unsupported("compress")),
        _ => Ok(Compression::None),
    }
}

fn built_in(is_built_in: bool, compression: Compression) -> io::Result<Compression> {
    if is_built_in { Ok(compression) } else { Err(unsupported(compression.name())) }
}

fn unsupported(name: &str) -> io::Error {
    let known = match (cfg!(feature = "xz"), cfg!(feature = "bzip2")) {
        (true, true) => "gzip, zstd, xz, bzip2",
        (true, false) => "gzip, zstd, xz",
        (false, true) => "gzip, zstd, bzip2",
        (false, false) => "gzip, zstd",
    };
    let reason = format!("compressed with {name}; only {known} and no compression are supported");
    io::Error::new(io::ErrorKind::Unsupported, reason)
}

/// Returns a reader of the decompressed bytes of `reader`.
///
/// Several gzip members, zstd frames, xz or bzip2 streams are read as one stream. Skippable zstd frames, and
/// zeros behind gzip, xz and bzip2, are skipped. Reads block as `reader` does; read in pieces of 256 KiB or
/// more.
///
/// # Errors
///
/// Errors of `reader` while the first bytes are read, and errors of [`detect`]. The returned reader reports
/// `UnexpectedEof` for a truncated stream and `InvalidData` or `Other` for a damaged one. It reports
/// `OutOfMemory` for a stream that needs more than 128 MiB (zstd) or 80 MiB (xz).
pub fn decompressor(reader: impl Read + Send + 'static) -> io::Result<Box<dyn Read + Send>> {
    let reader = BufReader::with_capacity(BUFFER_LEN, reader);
    buffered_decompressor(reader, Checksums::Checked, &Arc::default())
}

/// Like [`decompressor`], for a reader with a buffer, which should hold 256 KiB or more. Odd facts go to
/// `notes`.
///
/// # Errors
///
/// The errors of [`decompressor`].
pub(crate) fn buffered_decompressor(
    mut reader: impl BufRead + Send + 'static,
    checksums: Checksums,
    notes: &Arc<DecodeNotes>,
) -> io::Result<Box<dyn Read + Send>> {
    let mut magic = Vec::with_capacity(MAGIC_LEN);
    reader.by_ref().take(MAGIC_LEN as u64).read_to_end(&mut magic)?;
    let compression = detect(&magic)?;
    let whole = Cursor::new(magic).chain(reader);
    Ok(match compression {
        Compression::None => Box::new(whole),
        Compression::Gzip => Box::new(Gzip::new(whole, checksums, Arc::clone(notes))),
        Compression::Zstd => Box::new(zstd::stream::read::Decoder::with_buffer(whole)?),
        #[cfg(feature = "xz")]
        Compression::Xz => Box::new(xz::decoder(whole, XZ_MEMORY_MAX)?),
        #[cfg(feature = "bzip2")]
        Compression::Bzip2 => Box::new(bzip2::Bzip2::new(whole, Arc::clone(notes))),
        #[cfg(not(all(feature = "xz", feature = "bzip2")))]
        _ => unreachable!("what is not built in is not detected"),
    })
}

#[cfg(test)]
mod tests {
    use banger_testkit::{gzip, zstd};

    use super::*;

    fn skippable(len: u8) -> Vec<u8> {
        let mut frame = vec![0x5a, 0x2a, 0x4d, 0x18, len, 0, 0, 0];
        frame.extend(std::iter::repeat_n(7, usize::from(len)));
        frame
    }

    fn unpack(bytes: Vec<u8>) -> io::Result<Vec<u8>> {
        let mut out = Vec::new();
        decompressor(Cursor::new(bytes))?.read_to_end(&mut out)?;
        Ok(out)
    }

    fn sample() -> Vec<u8> {
        (0..600_000_u32).flat_map(|n| (n.wrapping_mul(2_654_435_761) >> 20).to_le_bytes()).collect()
    }

    #[test]
    fn b30_compression_is_decided_by_magic() {
        let data = sample();
        let cases = [("plain", data.clone()), ("gzip", gzip(&data)), ("zstd", zstd(&data))];
        for (name, bytes) in cases {
            assert!(unpack(bytes).unwrap() == data, "{name}");
        }
        for short in [&b""[..], b"x", b"\x1f", b"\x1f\x8b"] {
            assert_eq!(unpack(short.to_vec()).unwrap(), short);
        }
    }

    #[test]
    fn b28_members_and_frames_are_joined() {
        let data = sample();
        let (left, right) = data.split_at(777_777);
        let cases = [
            ("gzip members", [gzip(left), gzip(b""), gzip(right)].concat()),
            ("zstd frames", [zstd(left), zstd(right)].concat()),
            (
                "skippable frames",
                [skippable(0), skippable(9), zstd(left), skippable(200), zstd(right), skippable(3)].concat(),
            ),
        ];
        for (name, bytes) in cases {
            assert!(unpack(bytes).unwrap() == data, "{name}");
        }
    }

    #[test]
    fn b28_every_field_of_a_gzip_header_is_passed_over() {
        // All flags: text, header checksum, extra field, name, comment.
        let mut header = vec![0x1f, 0x8b, 8, 0x1f, 1, 2, 3, 4, 2, 3];
        header.extend_from_slice(b"\x05\0SG\x01\0xlayer.tar\0a comment\0");
        let mut crc = flate2::Crc::new();
        crc.update(&header);
        let plain = gzip(b"bytes");
        for (wrong, good) in [(0, true), (1, false)] {
            let sum = (crc.sum() & 0xffff) ^ wrong;
            let sum = [sum.to_le_bytes()[0], sum.to_le_bytes()[1]];
            let member = [&header[..], &sum, &plain[10..]].concat();
            assert_eq!(unpack([&member[..], &member].concat()).ok(), good.then(|| b"bytesbytes".to_vec()));
        }
    }

    #[test]
    fn b28_truncated_streams_are_errors() {
        let data = sample();
        for (name, bytes) in [("gzip", gzip(&data)), ("zstd", zstd(&data))] {
            for keep in [7, 12, bytes.len() / 2, bytes.len() - 9, bytes.len() - 1] {
                assert!(unpack(bytes[..keep].to_vec()).is_err(), "{name} cut to {keep} bytes");
            }
            // A second member or frame that is cut inside its header.
            for extra in 1..6 {
                let cut = [&bytes[..], &bytes[..extra]].concat();
                assert!(unpack(cut).is_err(), "{name} with {extra} bytes of a second header");
            }
        }
    }

    #[test]
    fn b28_damaged_streams_are_errors() {
        let data = sample();
        let mut gz = gzip(&data);
        let crc = gz.len() - 8;
        gz[crc] ^= 1;
        assert!(unpack(gz).is_err());
        assert!(unpack([zstd(&data), b"garbage".to_vec()].concat()).is_err());
    }

    #[test]
    fn b29_zstd_windows_are_bounded() {
        // A frame of one raw block behind a header that asks for a window of 2^`log` bytes.
        let frame = |log: u8| {
            let header = [0x28, 0xb5, 0x2f, 0xfd, 0, (log - 10) << 3];
            [&header[..], &[3 << 3 | 1, 0, 0], b"abc"].concat()
        };
        assert_eq!(unpack(frame(27)).unwrap(), b"abc");
        for log in [28, 31, 41] {
            let error = unpack(frame(log)).unwrap_err().to_string();
            assert!(error.contains("memory"), "{log}: {error}");
        }
    }

    #[test]
    fn other_formats_are_named() {
        for (magic, name) in [
            (&b"LZIP\x01\x0c...."[..], "lzip"),
            (b"\x89LZO\0\r\n\x1a", "lzop"),
            (b"\x04\x22\x4d\x18....", "lz4"),
            (b"\x1f\x9d\x90....", "compress"),
        ] {
            let error = unpack(magic.to_vec()).unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::Unsupported);
            assert!(error.to_string().contains(name), "{error}");
            assert!(error.to_string().contains("xz") == cfg!(feature = "xz"), "{error}");
        }
    }

    #[cfg(feature = "xz")]
    mod xz {
        use super::*;

        fn xz(bytes: &[u8]) -> Vec<u8> {
            let mut out = Vec::new();
            liblzma::read::XzEncoder::new(bytes, 1).read_to_end(&mut out).unwrap();
            out
        }

        #[test]
        fn b30_streams_of_xz_are_joined_and_checked() {
            let data = sample();
            let (left, right) = data.split_at(777_777);
            let joined = [xz(left), vec![0; 8], xz(b""), xz(right), vec![0; 512]].concat();
            assert!(unpack(joined).unwrap() == data);
            let whole = xz(&data);
            for keep in [7, 12, whole.len() / 2, whole.len() - 9, whole.len() - 1] {
                assert!(unpack(whole[..keep].to_vec()).is_err(), "cut to {keep} bytes");
            }
            assert!(unpack([&whole[..], b"garbage"].concat()).is_err());
            let mut damaged = whole;
            let middle = damaged.len() / 2;
            damaged[middle] ^= 1;
            assert_eq!(unpack(damaged).unwrap_err().to_string(), "the xz stream is damaged");
        }

        #[test]
        fn b29_xz_dictionaries_are_bounded() {
            // A block header alone: the size of the dictionary, in LZMA2's code, is checked first.
            let header = |code: u8| {
                let crc = |bytes: &[u8]| {
                    let mut crc = flate2::Crc::new();
                    crc.update(bytes);
                    crc.sum().to_le_bytes()
                };
                let block = [2, 0, 0x21, 1, code, 0, 0, 0];
                [&b"\xfd7zXZ\0\0\x04"[..], &crc(&[0, 4]), &block, &crc(&block), &[1, 0, 0, b'x', 0, 0, 0, 0]]
                    .concat()
            };
            // 64 MiB, which xz -9 uses: only the end is missing.
            let error = unpack(header(28)).unwrap_err();
            assert_ne!(error.kind(), io::ErrorKind::OutOfMemory, "{error}");
            // 128 MiB, 1 GiB, 4 GiB.
            for code in [30, 36, 40] {
                let error = unpack(header(code)).unwrap_err();
                assert_eq!(error.kind(), io::ErrorKind::OutOfMemory, "{code}: {error}");
                assert!(error.to_string().contains("the xz stream has a dictionary"), "{error}");
            }
        }
    }

    #[cfg(feature = "bzip2")]
    mod bz2 {
        use super::*;

        fn bzip2(bytes: &[u8]) -> Vec<u8> {
            let mut out = Vec::new();
            ::bzip2::read::BzEncoder::new(bytes, ::bzip2::Compression::fast()).read_to_end(&mut out).unwrap();
            out
        }

        #[test]
        fn b30_streams_of_bzip2_are_joined_and_checked() {
            let data = sample();
            let (left, right) = data.split_at(777_777);
            let joined = [bzip2(b""), bzip2(left), bzip2(b""), bzip2(right), vec![0; 512]].concat();
            assert!(unpack(joined).unwrap() == data);
            let whole = bzip2(&data);
            for keep in [7, 12, whole.len() / 2, whole.len() - 9, whole.len() - 1] {
                assert!(unpack(whole[..keep].to_vec()).is_err(), "cut to {keep} bytes");
            }
            for rest in [&b"garbage"[..], b"\0\0x", b"B"] {
                assert!(unpack([&whole[..], rest].concat()).is_err());
            }
            let mut damaged = whole;
            let mut found = 0;
            // Behind the magic number.
            for at in (10..damaged.len()).step_by(damaged.len() / 20) {
                damaged[at] ^= 1;
                // A few bits of a block mean nothing.
                match unpack(damaged.clone()) {
                    Ok(unpacked) => assert!(unpacked == data, "byte {at}"),
                    Err(_) => found += 1,
                }
                damaged[at] ^= 1;
            }
            assert!(found > 15, "{found}");
        }

        #[test]
        fn b29_bzip2_streams_of_nothing_are_bounded() {
            assert_eq!(unpack(bzip2(b"").repeat(1024)).unwrap(), b"");
            let error = unpack(bzip2(b"").repeat(1025)).unwrap_err();
            assert!(error.to_string().contains("hold nothing"), "{error}");
        }
    }
}
