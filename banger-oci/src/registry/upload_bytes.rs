//! The bytes of a blob on its way to a target: in memory, or in a file of any size.

use std::fs::File;
use std::io::{self, Write};
use std::ops::Range;
use std::os::unix::fs::FileExt as _;
use std::sync::Arc;

use bytes::Bytes;

use crate::registry::cache::READ_LEN;

/// Bytes to upload, or a part of them. A clone is cheap.
#[derive(Clone, Debug)]
pub(crate) enum UploadBytes {
    Memory(Bytes),
    /// This part of a file, which others do not change.
    File(Arc<File>, Range<u64>),
}

impl Default for UploadBytes {
    fn default() -> Self {
        Self::Memory(Bytes::new())
    }
}

impl From<Bytes> for UploadBytes {
    fn from(bytes: Bytes) -> Self {
        Self::Memory(bytes)
    }
}

impl UploadBytes {
    pub(crate) fn len(&self) -> u64 {
        match self {
            Self::Memory(bytes) => bytes.len() as u64,
            Self::File(_, range) => range.end - range.start,
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Returns a part of the bytes, which have it.
    pub(crate) fn part(&self, part: Range<u64>) -> Self {
        match self {
            Self::Memory(bytes) => {
                let at = |offset: u64| usize::try_from(offset).expect("an offset in memory");
                Self::Memory(bytes.slice(at(part.start)..at(part.end)))
            }
            Self::File(file, range) => {
                Self::File(Arc::clone(file), range.start + part.start..range.start + part.end)
            }
        }
    }

    /// Takes the next bytes, at most `most`; none at the end.
    pub(crate) fn take(&mut self, most: usize) -> io::Result<Bytes> {
        let length = usize::try_from(self.len()).unwrap_or(usize::MAX).min(most);
        match self {
            Self::Memory(bytes) => Ok(bytes.split_to(length)),
            Self::File(file, range) => {
                let mut piece = vec![0; length];
                file.read_exact_at(&mut piece, range.start)?;
                range.start += length as u64;
                Ok(piece.into())
            }
        }
    }

    /// Writes all bytes. `check` stops it.
    pub(crate) fn copy_to<E>(
        &self,
        to: &mut impl Write,
        check: impl Fn() -> Result<(), E>,
        failed: impl Fn(io::Error) -> E,
    ) -> Result<(), E> {
        let mut rest = self.clone();
        while !rest.is_empty() {
            check()?;
            let piece = rest.take(READ_LEN).map_err(&failed)?;
            to.write_all(&piece).map_err(&failed)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_and_memory_give_the_same_bytes() {
        let text: Vec<u8> = (0..=255).cycle().take(1000).collect();
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(&text).unwrap();
        let in_file = UploadBytes::File(Arc::new(file), 0..1000);
        let in_memory = UploadBytes::from(Bytes::from(text.clone()));
        for bytes in [in_file, in_memory] {
            let mut copy = Vec::new();
            bytes.copy_to(&mut copy, || Ok(()), |error| error).unwrap();
            assert_eq!(copy, text);
            let mut part = bytes.part(100..900).part(10..30);
            assert_eq!(part.len(), 20);
            assert_eq!(part.take(15).unwrap(), text[110..125]);
            assert_eq!(part.take(15).unwrap(), text[125..130]);
            assert!(part.is_empty() && part.take(15).unwrap().is_empty());
        }
    }

    #[test]
    fn a_file_that_became_shorter_is_an_error() {
        let file = tempfile::tempfile().unwrap();
        file.set_len(5).unwrap();
        let mut bytes = UploadBytes::File(Arc::new(file), 0..6);
        assert_eq!(bytes.take(10).unwrap_err().kind(), io::ErrorKind::UnexpectedEof);
    }
}
