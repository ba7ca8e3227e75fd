//! Packages of distributions, written byte by byte: `.deb`, `.rpm`, `.apk`.

use std::io::{Read as _, Write as _};

use crate::{LayerBuilder, gzip, zstd};

/// How a part of a package or kernel is compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Codec {
    /// Not at all.
    None,
    /// gzip.
    Gzip,
    /// xz.
    Xz,
    /// zstd.
    Zstd,
    /// bzip2.
    Bzip2,
    /// The old format of LZMA.
    Lzma,
    /// The old format of lz4, which kernels are compressed with.
    Lz4,
}

impl Codec {
    /// Those that a package may have.
    pub const OF_PACKAGES: [Self; 6] =
        [Self::None, Self::Gzip, Self::Xz, Self::Zstd, Self::Bzip2, Self::Lzma];
    /// Those that a kernel may have.
    pub const OF_KERNELS: [Self; 6] = [Self::Gzip, Self::Xz, Self::Zstd, Self::Bzip2, Self::Lzma, Self::Lz4];

    /// `bytes` compressed so.
    ///
    /// # Panics
    ///
    /// Never: it reads and writes memory.
    #[must_use]
    pub fn apply(self, bytes: &[u8]) -> Vec<u8> {
        match self {
            Self::None => bytes.to_vec(),
            Self::Gzip => gzip(bytes),
            Self::Zstd => zstd(bytes),
            Self::Xz => {
                let mut encoder = liblzma::write::XzEncoder::new(Vec::new(), 1);
                encoder.write_all(bytes).expect("a Vec takes every write");
                encoder.finish().expect("a Vec takes every write")
            }
            Self::Bzip2 => {
                let mut encoder = bzip2::write::BzEncoder::new(Vec::new(), bzip2::Compression::fast());
                encoder.write_all(bytes).expect("a Vec takes every write");
                encoder.finish().expect("a Vec takes every write")
            }
            Self::Lzma => {
                let options = liblzma::stream::LzmaOptions::new_preset(1).expect("preset 1 exists");
                let stream =
                    liblzma::stream::Stream::new_lzma_encoder(&options).expect("the options are sound");
                let mut out = Vec::new();
                let mut encoder = liblzma::read::XzEncoder::new_stream(bytes, stream);
                encoder.read_to_end(&mut out).expect("reads memory");
                out
            }
            Self::Lz4 => {
                let mut out = vec![0x02, 0x21, 0x4c, 0x18];
                for block in bytes.chunks(8 << 20) {
                    let block = lz4_flex::block::compress(block);
                    out.extend(u32::try_from(block.len()).expect("a block is small").to_le_bytes());
                    out.extend(block);
                }
                out
            }
        }
    }

    /// The name that rpm and EFI programs call it by.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::None => "",
            Self::Gzip => "gzip",
            Self::Xz => "xz",
            Self::Zstd => "zstd",
            Self::Bzip2 => "bzip2",
            Self::Lzma => "lzma",
            Self::Lz4 => "lz4",
        }
    }

    /// The end of the name of a file that is compressed so.
    #[must_use]
    pub fn suffix(self) -> &'static str {
        match self {
            Self::None => "",
            Self::Gzip => ".gz",
            Self::Xz => ".xz",
            Self::Zstd => ".zst",
            Self::Bzip2 => ".bz2",
            Self::Lzma => ".lzma",
            Self::Lz4 => ".lz4",
        }
    }
}

/// A package with regular files, symlinks and a name.
#[derive(Debug, Clone)]
pub struct PackageBuilder {
    name: String,
    version: String,
    files: Vec<(String, PackageFile)>,
}

#[derive(Debug, Clone)]
enum PackageFile {
    Regular(Vec<u8>),
    Symlink(String),
}

impl PackageBuilder {
    /// A package without files.
    #[must_use]
    pub fn new(name: &str, version: &str) -> Self {
        Self { name: name.to_owned(), version: version.to_owned(), files: Vec::new() }
    }

    /// Adds a regular file; `path` has no slash in front.
    #[must_use]
    pub fn file(mut self, path: &str, content: impl AsRef<[u8]>) -> Self {
        self.files.push((path.to_owned(), PackageFile::Regular(content.as_ref().to_vec())));
        self
    }

    /// Adds a symlink.
    #[must_use]
    pub fn symlink(mut self, path: &str, target: &str) -> Self {
        self.files.push((path.to_owned(), PackageFile::Symlink(target.to_owned())));
        self
    }

    /// The files as a tar whose names begin with `prefix`.
    #[must_use]
    pub fn tar(&self, prefix: &str) -> Vec<u8> {
        let mut tar = LayerBuilder::new();
        for (path, file) in &self.files {
            tar = match file {
                PackageFile::Regular(content) => tar.file(format!("{prefix}{path}"), content),
                PackageFile::Symlink(target) => tar.symlink(format!("{prefix}{path}"), target),
            };
        }
        tar.finish()
    }

    /// A Debian package.
    #[must_use]
    pub fn deb(&self, codec: Codec) -> Vec<u8> {
        let control = format!(
            "Package: {}\nSource: linux\nVersion: {}\nArchitecture: amd64\nDescription: test\n",
            self.name, self.version
        );
        let control = LayerBuilder::new().dir("./").file("./control", control).finish();
        ar(&[
            ("debian-binary", b"2.0\n"),
            (&format!("control.tar{}", codec.suffix()), &codec.apply(&control)),
            (&format!("data.tar{}", codec.suffix()), &codec.apply(&self.tar("./"))),
        ])
    }

    /// An Alpine package of version 2.
    #[must_use]
    pub fn apk(&self) -> Vec<u8> {
        let info = format!(
            "# Generated by abuild\npkgname = {}\npkgver = {}\narch = x86_64\n",
            self.name, self.version
        );
        // Only the last tar has end blocks.
        let signature = LayerBuilder::new().file(".SIGN.RSA.test.rsa.pub", [7; 256]).unfinished();
        let control =
            LayerBuilder::new().file(".PKGINFO", info).file(".post-install", "#!/bin/sh\n").unfinished();
        [gzip(&signature), gzip(&control), gzip(&self.tar(""))].concat()
    }

    /// An RPM package.
    #[must_use]
    pub fn rpm(&self, codec: Codec) -> Vec<u8> {
        let (version, release) = self.version.split_once('-').unwrap_or((&self.version, "1"));
        let mut lead = vec![0; 96];
        lead[..6].copy_from_slice(&[0xed, 0xab, 0xee, 0xdb, 3, 0]);
        let mut package = lead;
        package.extend(rpm_header(&[(1000, "x")]));
        package.resize(package.len().next_multiple_of(8), 0);
        let mut tags = vec![(1000, self.name.as_str()), (1001, version), (1002, release), (1124, "cpio")];
        if codec != Codec::None {
            tags.push((1125, codec.name()));
        }
        package.extend(rpm_header(&tags));
        package.extend(codec.apply(&self.cpio()));
        package
    }

    /// The files as a cpio archive in the format "newc".
    #[must_use]
    pub fn cpio(&self) -> Vec<u8> {
        let mut archive = Vec::new();
        for (path, file) in &self.files {
            let (mode, content) = match file {
                PackageFile::Regular(content) => (0o100_644, content.as_slice()),
                PackageFile::Symlink(target) => (0o120_777, target.as_bytes()),
            };
            cpio_entry(&mut archive, &format!("./{path}"), mode, content);
        }
        cpio_entry(&mut archive, "TRAILER!!!", 0, b"");
        archive
    }
}

/// An ar archive with these members.
#[must_use]
pub fn ar(members: &[(&str, &[u8])]) -> Vec<u8> {
    let mut archive = b"!<arch>\n".to_vec();
    for (name, content) in members {
        let header = format!("{name:<16}{:<12}{:<6}{:<6}{:<8}{:<10}`\n", 0, 0, 0, "100644", content.len());
        archive.extend(header.as_bytes());
        archive.extend(*content);
        if !content.len().is_multiple_of(2) {
            archive.push(b'\n');
        }
    }
    archive
}

fn cpio_entry(archive: &mut Vec<u8>, name: &str, mode: u32, content: &[u8]) {
    let length = |length: usize| u32::try_from(length).expect("a test's file is small");
    archive.extend(b"070701");
    for field in [1, mode, 0, 0, 1, 0, length(content.len()), 0, 0, 0, 0, length(name.len() + 1), 0] {
        archive.extend(format!("{field:08x}").as_bytes());
    }
    for part in [&[name.as_bytes(), b"\0"].concat(), content] {
        archive.extend(part);
        archive.resize(archive.len().next_multiple_of(4), 0);
    }
}

/// An RPM header with texts, without the padding behind it.
fn rpm_header(texts: &[(u32, &str)]) -> Vec<u8> {
    let (mut index, mut store) = (Vec::new(), Vec::new());
    let number = |number: usize| u32::try_from(number).expect("a test's header is small");
    for (tag, text) in texts {
        for field in [*tag, 6, number(store.len()), 1] {
            index.extend(field.to_be_bytes());
        }
        store.extend(text.as_bytes());
        store.push(0);
    }
    let mut header = vec![0x8e, 0xad, 0xe8, 1, 0, 0, 0, 0];
    header.extend(number(texts.len()).to_be_bytes());
    header.extend(number(store.len()).to_be_bytes());
    header.extend(index);
    header.extend(store);
    header
}
