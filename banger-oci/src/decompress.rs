//! Decompression of layers and archives, chosen by what the bytes are.
//!
//! The media type of a layer says how it is compressed, and is wrong often enough that nothing
//! here looks at it: the first bytes decide.

use std::io::{self, BufRead, BufReader, Cursor, Read};

use crate::gzip::{Checksums, Gzip};

/// Bytes read from the compressed side at a time.
const BUFFER_LEN: usize = 256 * 1024;

/// Bytes that are enough to tell every format apart.
const MAGIC_LEN: usize = 6;

/// How a stream is compressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Compression {
    /// Not compressed.
    None,
    /// One or more gzip members (RFC 1952).
    Gzip,
    /// One or more zstd frames, skippable ones among them (RFC 8878).
    Zstd,
}

/// Says how a stream that starts with `magic` is compressed; what is not recognised is plain.
///
/// # Errors
///
/// `Unsupported` when the bytes are of a format that no image may use (xz, bzip2).
pub fn detect(magic: &[u8]) -> io::Result<Compression> {
    const XZ: &[u8] = &[0xfd, b'7', b'z', b'X', b'Z', 0];
    match magic {
        // 8 is deflate, the only method RFC 1952 defines.
        [0x1f, 0x8b, 8, ..] => Ok(Compression::Gzip),
        [0x28, 0xb5, 0x2f, 0xfd, ..] => Ok(Compression::Zstd),
        // A skippable frame may come first, as chunked zstd layers show.
        [0x50..=0x5f, 0x2a, 0x4d, 0x18, ..] => Ok(Compression::Zstd),
        _ if magic.starts_with(XZ) => Err(unsupported("xz")),
        [b'B', b'Z', b'h', b'1'..=b'9', b'1', b'A', ..] => Err(unsupported("bzip2")),
        _ => Ok(Compression::None),
    }
}

fn unsupported(name: &str) -> io::Error {
    io::Error::new(
        io::ErrorKind::Unsupported,
        format!("compressed with {name}; only gzip, zstd and no compression are supported"),
    )
}

/// Returns a reader of what `reader` holds, decompressed.
///
/// Several gzip members and several zstd frames are read as one stream, skippable zstd frames
/// are passed over. Reads block as `reader` does; read in pieces of 256 KiB or more.
///
/// # Errors
///
/// What `reader` reports while the first bytes are read, and `Unsupported` for xz and bzip2. The
/// returned reader reports `UnexpectedEof` where a compressed stream is cut short, and
/// `InvalidData` or `Other` where it is damaged.
pub fn decompressor(reader: impl Read + Send + 'static) -> io::Result<Box<dyn Read + Send>> {
    buffered_decompressor(BufReader::with_capacity(BUFFER_LEN, reader), Checksums::Checked)
}

/// Returns what [`decompressor`] does, of a reader that has a buffer of its own, which should hold
/// 256 KiB or more.
///
/// # Errors
///
/// Those of [`decompressor`].
pub(crate) fn buffered_decompressor(
    mut reader: impl BufRead + Send + 'static,
    checksums: Checksums,
) -> io::Result<Box<dyn Read + Send>> {
    let mut magic = Vec::with_capacity(MAGIC_LEN);
    reader.by_ref().take(MAGIC_LEN as u64).read_to_end(&mut magic)?;
    let compression = detect(&magic)?;
    let whole = Cursor::new(magic).chain(reader);
    Ok(match compression {
        Compression::None => Box::new(whole),
        Compression::Gzip => Box::new(Gzip::new(whole, checksums)),
        Compression::Zstd => Box::new(zstd::stream::read::Decoder::with_buffer(whole)?),
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
        for (magic, name) in [(&b"\xfd7zXZ\0...."[..], "xz"), (b"BZh91AY&SY", "bzip2")] {
            let error = unpack(magic.to_vec()).unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::Unsupported);
            assert!(error.to_string().contains(name));
        }
    }
}
