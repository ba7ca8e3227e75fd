//! Compresses layers, with fixed settings: the same bytes give the same blob.

use std::fmt;
use std::io::{self, Write};

use crate::digest::{Algorithm, Digest, Hasher};

/// Level of gzip: the default of most tools.
const GZIP_LEVEL: u32 = 6;
/// Level of zstd: the default of the command `zstd`.
const ZSTD_LEVEL: i32 = 3;

/// The compression of a layer that is written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum LayerCompression {
    /// gzip, which every tool reads.
    #[default]
    Gzip,
    /// zstd, which is smaller and faster. Old tools cannot read it.
    Zstd,
}

impl LayerCompression {
    /// Returns the media type of a layer (image-spec, `layer.md`).
    #[must_use]
    pub fn media_type(self) -> &'static str {
        match self {
            Self::Gzip => "application/vnd.oci.image.layer.v1.tar+gzip",
            Self::Zstd => "application/vnd.oci.image.layer.v1.tar+zstd",
        }
    }
}

/// A layer that was written.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct WrittenLayer {
    /// Digest of the compressed bytes.
    pub digest: Digest,
    /// Digest of the tar.
    pub diff_id: Digest,
    /// Length of the compressed bytes.
    pub size_bytes: u64,
    /// Length of the tar.
    pub tar_bytes: u64,
}

/// Takes the bytes of a tar, and writes them compressed.
#[derive(Debug)]
pub struct LayerEncoder<W: Write> {
    tar: HashedWriter<Encoder<W>>,
}

enum Encoder<W: Write> {
    Gzip(flate2::write::GzEncoder<HashedWriter<W>>),
    Zstd(zstd::Encoder<'static, HashedWriter<W>>),
}

impl<W: Write> LayerEncoder<W> {
    /// Returns an encoder that writes to `out`.
    ///
    /// # Errors
    /// The encoder gets no memory.
    pub fn new(out: W, compression: LayerCompression) -> io::Result<Self> {
        let out = HashedWriter::new(out);
        let encoder = match compression {
            LayerCompression::Gzip => {
                Encoder::Gzip(flate2::write::GzEncoder::new(out, flate2::Compression::new(GZIP_LEVEL)))
            }
            LayerCompression::Zstd => {
                let mut encoder = zstd::Encoder::new(out, ZSTD_LEVEL)?;
                encoder.include_checksum(true)?;
                Encoder::Zstd(encoder)
            }
        };
        Ok(Self { tar: HashedWriter::new(encoder) })
    }

    /// Writes the last bytes. Returns the output and the digests.
    ///
    /// # Errors
    /// The output fails.
    pub fn finish(self) -> io::Result<(W, WrittenLayer)> {
        let HashedWriter { inner, hasher, length: tar_bytes } = self.tar;
        let blob = match inner {
            Encoder::Gzip(encoder) => encoder.finish()?,
            Encoder::Zstd(encoder) => encoder.finish()?,
        };
        let (digest, size_bytes) = (blob.hasher.finish(), blob.length);
        Ok((blob.inner, WrittenLayer { digest, diff_id: hasher.finish(), size_bytes, tar_bytes }))
    }
}

impl<W: Write> Write for LayerEncoder<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.tar.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.tar.flush()
    }
}

impl<W: Write> Write for Encoder<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::Gzip(encoder) => encoder.write(bytes),
            Self::Zstd(encoder) => encoder.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self {
            Self::Gzip(encoder) => encoder.flush(),
            Self::Zstd(encoder) => encoder.flush(),
        }
    }
}

impl<W: Write> fmt::Debug for Encoder<W> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Gzip(_) => "Gzip",
            Self::Zstd(_) => "Zstd",
        })
    }
}

/// Hashes and counts the bytes that pass.
#[derive(Debug)]
struct HashedWriter<W> {
    inner: W,
    hasher: Hasher,
    length: u64,
}

impl<W> HashedWriter<W> {
    fn new(inner: W) -> Self {
        Self { inner, hasher: Hasher::new(Algorithm::Sha256), length: 0 }
    }
}

impl<W: Write> Write for HashedWriter<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let length = self.inner.write(bytes)?;
        self.hasher.update(&bytes[..length]);
        self.length += length as u64;
        Ok(length)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_layer_has_the_digests_of_its_bytes() {
        let tar: Vec<u8> = (0..200_000_u32).flat_map(|at| (at / 7).to_le_bytes()).collect();
        for compression in [LayerCompression::Gzip, LayerCompression::Zstd] {
            let encode = || {
                let mut encoder = LayerEncoder::new(Vec::new(), compression).unwrap();
                tar.chunks(1000).for_each(|chunk| encoder.write_all(chunk).unwrap());
                encoder.finish().unwrap()
            };
            let (blob, written) = encode();
            assert_eq!(encode(), (blob.clone(), written.clone()));
            assert_eq!((written.digest, written.size_bytes), (Digest::of(&blob), blob.len() as u64));
            assert_eq!((written.diff_id, written.tar_bytes), (Digest::of(&tar), tar.len() as u64));
        }
    }
}
