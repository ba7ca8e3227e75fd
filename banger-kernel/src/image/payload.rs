//! Compressed payloads of kernel images.

use std::fs::File;
use std::io::{self, BufReader, Read, Seek as _, SeekFrom};

use banger_oci::decompress::{Compression, decompressor, detect};

use super::lz4::{LZ4_LEGACY_MAGIC, Lz4Legacy};
use super::u32_at;
use crate::error::KernelError;
use crate::read::{LZMA_MAGIC, Member as _, ReaderMember, Sink, lzma_decoder};
use crate::run::ImportRun;

/// Bytes behind a payload that give its size without compression. gzip has them as its own last field.
const TRAILER_LEN: u64 = 4;
const LZO_MAGIC: &[u8] = b"\x89LZO";

/// Returns whether a file is compressed in a format that kernels have and other sources do not.
pub(crate) fn is_alone_compressed(head: &[u8]) -> bool {
    head.starts_with(&LZ4_LEGACY_MAGIC) || head.starts_with(&LZMA_MAGIC)
}

/// A compressed part of a file.
pub(super) struct Payload<'a> {
    pub(super) file: &'a File,
    pub(super) offset: u64,
    pub(super) length: u64,
    /// The file in messages.
    pub(super) name: &'a str,
}

impl Payload<'_> {
    /// Writes the content of a payload to `sink`. The kernel's build puts the size of the content behind the
    /// payload; the content must have exactly this size.
    pub(super) fn unpack_sized(&self, run: &ImportRun<'_>, sink: &mut dyn Sink) -> Result<u64, KernelError> {
        let head = self.bytes(run, 0, 16)?;
        if self.length <= TRAILER_LEN {
            return Err(self.damaged("its payload is too short"));
        }
        let trailer = self.bytes(run, self.length - TRAILER_LEN, TRAILER_LEN)?;
        let size = u64::from(u32_at(&trailer, 0).unwrap_or_default());
        if size > run.limits.max_kernel_bytes {
            return Err(KernelError::TooLarge {
                path: self.name.to_owned(),
                limit_bytes: run.limits.max_kernel_bytes,
                setting: Some(crate::run::MAX_KERNEL),
            });
        }
        let is_gzip = matches!(detect(&head), Ok(Compression::Gzip));
        let length = if is_gzip { self.length } else { self.length - TRAILER_LEN };
        let mut exact = Exact { sink, left: size, payload: self };
        self.unpack_part(run, &head, length, &mut exact)?;
        match exact.left {
            0 => Ok(size),
            left => Err(self.damaged(&format!(
                "its payload has {} bytes without compression, and should have {size}",
                size - left
            ))),
        }
    }

    /// Writes the content of the payload, which ends with it, to `sink`.
    pub(super) fn unpack(&self, run: &ImportRun<'_>, sink: &mut dyn Sink) -> Result<(), KernelError> {
        let head = self.bytes(run, 0, 16)?;
        self.unpack_part(run, &head, self.length, sink)
    }

    fn unpack_part(
        &self,
        run: &ImportRun<'_>,
        head: &[u8],
        length: u64,
        sink: &mut dyn Sink,
    ) -> Result<(), KernelError> {
        let fail = |error: io::Error| self.failed(run, error);
        let part = self.part(0, length).map_err(fail)?;
        let reader: Box<dyn Read> = if head.starts_with(&LZ4_LEGACY_MAGIC) {
            Box::new(Lz4Legacy::new(BufReader::new(part)).map_err(fail)?)
        } else if head.starts_with(&LZMA_MAGIC) {
            Box::new(lzma_decoder(BufReader::new(part)).map_err(fail)?)
        } else if head.starts_with(LZO_MAGIC) {
            return Err(KernelError::unsupported(self.name, "its payload is compressed with lzo"));
        } else {
            match detect(head).map_err(fail)? {
                Compression::None => return Err(self.damaged("its payload has an unknown compression")),
                _ => Box::new(decompressor(part).map_err(fail)?),
            }
        };
        let mut reader = run.metered(reader);
        let copied = ReaderMember { run, reader: &mut reader }.copy_to(sink);
        copied.map_err(|error| match error {
            // Not the whole source: this file of it.
            KernelError::Damaged { reason, .. } => self.damaged(&reason),
            KernelError::Unsupported { reason, .. } => KernelError::unsupported(self.name, reason),
            other => other,
        })
    }

    fn part(&self, offset: u64, length: u64) -> io::Result<io::Take<File>> {
        let mut file = self.file.try_clone()?;
        file.seek(SeekFrom::Start(self.offset + offset))?;
        Ok(file.take(length))
    }

    fn bytes(&self, run: &ImportRun<'_>, offset: u64, length: u64) -> Result<Vec<u8>, KernelError> {
        let mut bytes = Vec::new();
        let part = self.part(offset, length.min(self.length));
        part.and_then(|mut part| part.read_to_end(&mut bytes)).map_err(|error| self.failed(run, error))?;
        Ok(bytes)
    }

    fn failed(&self, run: &ImportRun<'_>, error: io::Error) -> KernelError {
        match run.read_error(error) {
            KernelError::Damaged { reason, .. } => self.damaged(&reason),
            KernelError::Unsupported { reason, .. } => KernelError::unsupported(self.name, reason),
            other => other,
        }
    }

    fn damaged(&self, reason: &str) -> KernelError {
        KernelError::damaged(self.name, reason)
    }
}

/// Fails with the first byte behind the announced size.
struct Exact<'a, 'b> {
    sink: &'a mut dyn Sink,
    left: u64,
    payload: &'a Payload<'b>,
}

impl Sink for Exact<'_, '_> {
    fn put(&mut self, bytes: &[u8]) -> Result<(), KernelError> {
        let left = self.left.checked_sub(bytes.len() as u64);
        self.left =
            left.ok_or_else(|| self.payload.damaged("its payload is larger than the size behind it"))?;
        self.sink.put(bytes)
    }
}
