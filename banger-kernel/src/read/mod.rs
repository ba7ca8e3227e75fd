//! Readers of packages, without their package managers. All of them stream, and no length in a file decides how
//! much memory is taken.

mod ar;
mod cpio;
mod deb;
mod lzma;
mod package;
mod rpm;
mod tar;

pub(crate) use ar::AR_MAGIC;
pub(crate) use deb::read_deb;
pub(crate) use lzma::{LZMA_MAGIC, lzma_decoder};
pub use package::PackageInfo;
pub(crate) use rpm::{RPM_MAGIC, read_rpm};
pub(crate) use tar::{read_tar, read_tar_stream};

use std::io::{self, Read};

use crate::error::KernelError;
use crate::run::{ImportRun, PIECE_BYTES};

/// Takes the bytes of a file.
pub(crate) trait Sink {
    /// Takes the next bytes.
    fn put(&mut self, bytes: &[u8]) -> Result<(), KernelError>;
}

/// The bytes of one file of a source, which nobody has to read.
pub(crate) trait Member {
    /// Copies all bytes to `sink`.
    fn copy_to(&mut self, sink: &mut dyn Sink) -> Result<(), KernelError>;
}

/// Takes the entries of an archive.
pub(crate) trait Entries {
    /// Takes a regular file with the name `path`, as the archive has it.
    fn file(&mut self, path: &[u8], member: &mut dyn Member) -> Result<(), KernelError>;

    /// Takes a symlink, or a hard link if `is_hard`.
    fn link(&mut self, path: &[u8], is_hard: bool) -> Result<(), KernelError>;

    /// Takes the facts about the package.
    fn package(&mut self, package: PackageInfo);
}

/// The bytes of a reader up to its end.
pub(crate) struct ReaderMember<'a, R: ?Sized> {
    pub(crate) run: &'a ImportRun<'a>,
    pub(crate) reader: &'a mut R,
}

impl<R: Read + ?Sized> Member for ReaderMember<'_, R> {
    fn copy_to(&mut self, sink: &mut dyn Sink) -> Result<(), KernelError> {
        let mut buffer = vec![0; PIECE_BYTES];
        loop {
            let length = match self.reader.read(&mut buffer) {
                Ok(0) => return Ok(()),
                Ok(length) => length,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(self.run.read_error(error)),
            };
            sink.put(&buffer[..length])?;
        }
    }
}

/// Collects a small file in memory.
pub(crate) struct Memory {
    pub(crate) bytes: Vec<u8>,
    pub(crate) limit_bytes: usize,
    pub(crate) name: String,
}

impl Memory {
    pub(crate) fn new(name: impl Into<String>, limit_bytes: usize) -> Self {
        Self { bytes: Vec::new(), limit_bytes, name: name.into() }
    }
}

impl Sink for Memory {
    fn put(&mut self, bytes: &[u8]) -> Result<(), KernelError> {
        if self.bytes.len() + bytes.len() > self.limit_bytes {
            let limit_bytes = self.limit_bytes as u64;
            return Err(KernelError::TooLarge { path: self.name.clone(), limit_bytes, setting: None });
        }
        self.bytes.extend_from_slice(bytes);
        Ok(())
    }
}

/// Reads everything that is left, for the checksums at its end.
pub(crate) fn drain(run: &ImportRun<'_>, reader: &mut impl Read) -> Result<(), KernelError> {
    struct Nothing;
    impl Sink for Nothing {
        fn put(&mut self, _: &[u8]) -> Result<(), KernelError> {
            Ok(())
        }
    }
    ReaderMember { run, reader }.copy_to(&mut Nothing)
}
