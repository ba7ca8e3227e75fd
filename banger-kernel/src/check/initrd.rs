//! Compressions of an initrd that a kernel may read (`lib/decompress.c`, `usr/Kconfig`).

/// How an initrd is compressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum InitrdCompression {
    /// gzip.
    Gzip,
    /// bzip2.
    Bzip2,
    /// lzma.
    Lzma,
    /// xz.
    Xz,
    /// lzo.
    Lzo,
    /// lz4, in its old format.
    Lz4,
    /// zstd.
    Zstd,
}

/// First bytes.
const FORMATS: [(InitrdCompression, &[u8]); 8] = [
    (InitrdCompression::Gzip, b"\x1f\x8b"),
    (InitrdCompression::Gzip, b"\x1f\x9e"),
    (InitrdCompression::Bzip2, b"BZ"),
    (InitrdCompression::Lzma, b"\x5d\0"),
    (InitrdCompression::Xz, b"\xfd7"),
    (InitrdCompression::Lzo, b"\x89\x4c"),
    (InitrdCompression::Lz4, b"\x02\x21"),
    (InitrdCompression::Zstd, b"\x28\xb5"),
];

impl InitrdCompression {
    /// Bytes that [`of`](Self::of) looks at.
    pub const START_BYTES: usize = 2;

    /// Returns the compression of an initrd that begins with `start`; `None` if it is not compressed.
    pub fn of(start: &[u8]) -> Option<Self> {
        FORMATS.iter().find(|(_, magic)| start.starts_with(magic)).map(|(compression, _)| *compression)
    }

    /// Returns the option that a kernel reads it with.
    pub(super) const fn option(self) -> &'static str {
        match self {
            Self::Gzip => "RD_GZIP",
            Self::Bzip2 => "RD_BZIP2",
            Self::Lzma => "RD_LZMA",
            Self::Xz => "RD_XZ",
            Self::Lzo => "RD_LZO",
            Self::Lz4 => "RD_LZ4",
            Self::Zstd => "RD_ZSTD",
        }
    }
}
