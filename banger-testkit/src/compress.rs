//! Compressed streams as layers come in, the unusual ones included.

use std::io::Write;

/// How a layer blob is compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Compression {
    /// Plain tar.
    None,
    /// One gzip member.
    Gzip,
    /// One zstd frame.
    Zstd,
}

impl Compression {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::None, Self::Gzip, Self::Zstd];

    /// `bytes` compressed so.
    #[must_use]
    pub fn apply(self, bytes: &[u8]) -> Vec<u8> {
        match self {
            Self::None => bytes.to_vec(),
            Self::Gzip => gzip(bytes),
            Self::Zstd => zstd(bytes),
        }
    }

    /// The OCI media type of a layer compressed so.
    #[must_use]
    pub fn oci_media_type(self) -> &'static str {
        match self {
            Self::None => "application/vnd.oci.image.layer.v1.tar",
            Self::Gzip => "application/vnd.oci.image.layer.v1.tar+gzip",
            Self::Zstd => "application/vnd.oci.image.layer.v1.tar+zstd",
        }
    }

    /// The Docker media type of a layer compressed so.
    #[must_use]
    pub fn docker_media_type(self) -> &'static str {
        match self {
            Self::None => "application/vnd.docker.image.rootfs.diff.tar",
            Self::Gzip => "application/vnd.docker.image.rootfs.diff.tar.gzip",
            Self::Zstd => "application/vnd.docker.image.rootfs.diff.tar.zstd",
        }
    }
}

/// `bytes` as one gzip member.
#[must_use]
pub fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(bytes).expect("a Vec takes every write");
    encoder.finish().expect("a Vec takes every write")
}

/// `bytes` cut every `length_bytes` and compressed as that many gzip members.
///
/// # Panics
///
/// When `length_bytes` is zero.
#[must_use]
pub fn gzip_members(bytes: &[u8], length_bytes: usize) -> Vec<u8> {
    bytes.chunks(length_bytes).flat_map(gzip).collect()
}

/// `bytes` as one zstd frame.
#[must_use]
pub fn zstd(bytes: &[u8]) -> Vec<u8> {
    zstd::encode_all(bytes, 3).expect("reads from and writes to memory")
}

/// `bytes` cut every `length_bytes` and compressed as that many zstd frames.
///
/// # Panics
///
/// When `length_bytes` is zero.
#[must_use]
pub fn zstd_frames(bytes: &[u8], length_bytes: usize) -> Vec<u8> {
    bytes.chunks(length_bytes).flat_map(zstd).collect()
}

/// A zstd skippable frame (RFC 8878, 3.1.2) that carries `payload`.
///
/// # Panics
///
/// When `payload` is 4 GiB or longer.
#[must_use]
pub fn zstd_skippable_frame(payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).expect("a test's payload is short");
    let mut frame = 0x184D_2A50_u32.to_le_bytes().to_vec();
    frame.extend(length.to_le_bytes());
    frame.extend(payload);
    frame
}
