//! Sources of kernels, and how a file is recognised as one.

use std::fmt;
use std::fs::File;
use std::io::{self, Read as _};
use std::os::unix::fs::FileExt as _;

use banger_oci::PulledArtifact;
use banger_oci::decompress::{Compression, decompressor, detect};
use banger_tree::Rootfs;
use camino::{Utf8Path, Utf8PathBuf};

use crate::error::KernelError;
use crate::image::{is_alone_compressed, is_kernel_head};
use crate::read::{AR_MAGIC, RPM_MAGIC};

/// Where a kernel comes from.
#[derive(Clone, Copy)]
#[non_exhaustive]
pub enum KernelSource<'a> {
    /// The kernel that this machine runs.
    Host,
    /// A package, another tar of a root file system, a kernel image, or a directory.
    Path(&'a Utf8Path),
    /// A root file system in an image.
    Rootfs {
        /// The file system.
        rootfs: &'a dyn Rootfs,
        /// The name of the image in messages.
        name: &'a str,
    },
    /// Files that the caller names.
    Files(&'a PlainFiles),
    /// A file as with [`Self::Path`] that has another name, for example one of a cache.
    NamedFile {
        /// The file.
        path: &'a Utf8Path,
        /// Its name in messages. The last part may say the release.
        name: &'a str,
    },
    /// A kernel bundle of the type [`BUNDLE_TYPE`](crate::BUNDLE_TYPE).
    Bundle {
        /// The bundle.
        artifact: &'a PulledArtifact,
        /// The name of the bundle in messages.
        name: &'a str,
    },
}

/// The files of a kernel, as the caller names them.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct PlainFiles {
    /// The kernel: a bzImage, a vmlinux or an arm64 Image, compressed or not.
    pub kernel: Utf8PathBuf,
    /// An initrd, which is kept as it is.
    pub initrd: Option<Utf8PathBuf>,
    /// The directory `/lib/modules/<release>`, or a directory that has it.
    pub modules: Option<Utf8PathBuf>,
    /// The `.config`, also compressed as in `/proc/config.gz`.
    pub config: Option<Utf8PathBuf>,
}

impl fmt::Debug for KernelSource<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Host => formatter.write_str("Host"),
            Self::Path(path) => formatter.debug_tuple("Path").field(path).finish(),
            Self::Rootfs { name, .. } => formatter.debug_tuple("Rootfs").field(name).finish(),
            Self::Files(files) => formatter.debug_tuple("Files").field(files).finish(),
            Self::NamedFile { path, .. } => formatter.debug_tuple("NamedFile").field(path).finish(),
            Self::Bundle { name, .. } => formatter.debug_tuple("Bundle").field(name).finish(),
        }
    }
}

impl PlainFiles {
    /// Returns a kernel without other files.
    pub fn new(kernel: impl Into<Utf8PathBuf>) -> Self {
        Self { kernel: kernel.into(), initrd: None, modules: None, config: None }
    }
}

banger_tree::setters! {
    PlainFiles {
        with_initrd => initrd: Option<Utf8PathBuf>,
        with_modules => modules: Option<Utf8PathBuf>,
        with_config => config: Option<Utf8PathBuf>,
    }
}

/// The format of a source.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum SourceFormat {
    /// A Debian package.
    Deb,
    /// An RPM package.
    Rpm,
    /// An Alpine package, or another tar.
    Tar,
    /// A directory.
    Directory,
    /// An image with an ext4 file system. [`KernelSource::Rootfs`] reads it.
    Ext4,
    /// A kernel image.
    Kernel,
}

/// Bytes that formats are recognised by.
const MAGIC_BYTES: usize = 64 << 10;
/// Position and value of the magic number of ext4 (`s_magic`).
const EXT4_MAGIC: (usize, [u8; 2]) = (0x438, [0x53, 0xef]);

impl SourceFormat {
    /// Returns the format of the file or directory `path`.
    ///
    /// # Errors
    /// The file cannot be read, or has another format.
    pub fn of(path: &Utf8Path) -> Result<Self, KernelError> {
        Self::of_named(path, path.as_str())
    }

    /// Like [`of`](Self::of); messages call the file `name`.
    ///
    /// # Errors
    /// The errors of [`of`](Self::of).
    pub fn of_named(path: &Utf8Path, name: &str) -> Result<Self, KernelError> {
        let metadata = std::fs::metadata(path).map_err(KernelError::io("open", path))?;
        if metadata.is_dir() {
            return Ok(Self::Directory);
        }
        if !metadata.is_file() {
            return Err(KernelError::unsupported(name, "it is not a regular file or a directory"));
        }
        let file = File::open(path).map_err(KernelError::io("open", path))?;
        let mut head = vec![0; MAGIC_BYTES];
        let length = file.read_at(&mut head, 0).map_err(KernelError::io("read", path))?;
        head.truncate(length);
        if head.is_empty() {
            return Err(KernelError::damaged(name, "it is empty"));
        }
        if let Some(format) = Self::of_head(&head) {
            return Ok(format);
        }
        if head.starts_with(b"ADB") {
            let reason = "it is an Alpine package of version 3; banger reads version 2";
            return Err(KernelError::unsupported(name, reason));
        }
        let unpacked = match detect(&head) {
            _ if is_alone_compressed(&head) => return Ok(Self::Kernel),
            Ok(Compression::None) => {
                let reason = "it is not a .deb, .rpm or .apk package, kernel, ext4 image or directory";
                return Err(KernelError::unsupported(name, reason));
            }
            Err(error) => return Err(KernelError::unsupported(name, error.to_string())),
            Ok(_) => first_bytes(file).map_err(|error| KernelError::damaged(name, error.to_string()))?,
        };
        match Self::of_head(&unpacked) {
            Some(format @ (Self::Tar | Self::Kernel)) => Ok(format),
            _ => {
                let reason = "it is compressed, and has no tar, package or kernel in it";
                Err(KernelError::unsupported(name, reason))
            }
        }
    }

    fn of_head(head: &[u8]) -> Option<Self> {
        let (at, magic) = EXT4_MAGIC;
        if head.starts_with(AR_MAGIC) {
            Some(Self::Deb)
        } else if head.starts_with(&RPM_MAGIC) {
            Some(Self::Rpm)
        } else if is_kernel_head(head) {
            Some(Self::Kernel)
        } else if head.get(at..at + 2) == Some(&magic) {
            Some(Self::Ext4)
        } else if head.get(257..262) == Some(b"ustar") {
            Some(Self::Tar)
        } else {
            None
        }
    }
}

/// Returns the first bytes of a compressed file, without compression.
fn first_bytes(file: File) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    decompressor(file)?.take(4096).read_to_end(&mut bytes)?;
    Ok(bytes)
}
