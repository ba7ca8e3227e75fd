//! A blob that is written to its partial file, and hashed on the way.

use std::os::unix::fs::FileExt;
use std::sync::Arc;

use bytes::Bytes;
use tokio::task::block_in_place;

use crate::digest::Hasher;
use crate::registry::cache::{PartialBlob, READ_LEN};
use crate::registry::download::Download;
use crate::registry::error::PullError;
use crate::registry::event::{Progress, PullEvent};
use crate::registry::manifest::Descriptor;
use crate::registry::stop::PullStop;

/// Writes a blob to its partial file and hashes it on the way.
pub(crate) struct Writer<'a> {
    pub(crate) download: &'a Arc<Download>,
    progress: &'a Progress,
    cancel: &'a PullStop,
    pub(crate) partial: PartialBlob,
    hasher: Hasher,
    /// How much was written and hashed.
    pub(crate) offset: u64,
    /// Bytes that wait for the write.
    pub(crate) buffer: Vec<u8>,
}

impl<'a> Writer<'a> {
    pub(crate) fn new(
        progress: &'a Progress,
        cancel: &'a PullStop,
        download: &'a Arc<Download>,
        partial: PartialBlob,
    ) -> Self {
        download.attach(Arc::clone(&partial.file), &partial.target);
        Self {
            download,
            progress,
            cancel,
            hasher: Hasher::new(download.descriptor.digest.algorithm()),
            partial,
            offset: 0,
            buffer: Vec::with_capacity(READ_LEN),
        }
    }

    fn descriptor(&self) -> &'a Descriptor {
        &self.download.descriptor
    }

    /// Hashes the bytes of an earlier download.
    pub(crate) fn resume(&mut self) -> Result<(), PullError> {
        let read = |error| PullError::io("read", &self.partial.path)(error);
        let len = self.partial.file.metadata().map_err(read)?.len();
        if len > self.descriptor().size {
            return self.truncate();
        }
        if len > 0 {
            self.download.note_resumed();
        }
        let mut buffer = vec![0; READ_LEN];
        while self.offset < len {
            self.cancel.check()?;
            let count = block_in_place(|| {
                let count = self.partial.file.read_at(&mut buffer, self.offset)?;
                self.hasher.update(&buffer[..count]);
                Ok(count)
            })
            .map_err(|error| PullError::io("read", &self.partial.path)(error))?;
            if count == 0 {
                break;
            }
            self.offset += count as u64;
            self.download.commit(self.offset);
        }
        Ok(())
    }

    fn truncate(&self) -> Result<(), PullError> {
        self.partial.file.set_len(0).map_err(PullError::io("write to", &self.partial.path))
    }

    /// Begins again without the bytes of an earlier download, which were damaged.
    pub(crate) fn discard_damaged(&mut self) -> Result<(), PullError> {
        self.progress.emit(PullEvent::CacheDamaged { digest: self.descriptor().digest.clone() });
        self.start_over()
    }

    /// Begins again from the first byte, with nothing that was there before.
    pub(crate) fn start_over(&mut self) -> Result<(), PullError> {
        self.rewind();
        self.download.roll_back(0);
        self.truncate()
    }

    /// Begins again from the first byte. Old bytes stay readable until they prove wrong.
    pub(crate) fn rewind(&mut self) {
        self.offset = 0;
        self.buffer.clear();
        self.hasher = Hasher::new(self.descriptor().digest.algorithm());
    }

    /// How much has arrived.
    pub(crate) fn received(&self) -> u64 {
        self.offset + self.buffer.len() as u64
    }

    pub(crate) fn push(&mut self, chunk: &Bytes, host: &str) -> Result<(), PullError> {
        let size = self.descriptor().size;
        let total = self.received() + chunk.len() as u64;
        if total > size {
            return Err(self.refuse(host, format!("it has more bytes than the {size} of its descriptor")));
        }
        self.buffer.extend_from_slice(chunk);
        if self.buffer.len() >= READ_LEN || total == size {
            self.flush()?;
        }
        Ok(())
    }

    pub(crate) fn flush(&mut self) -> Result<(), PullError> {
        if self.buffer.is_empty() {
            return Ok(());
        }
        let end = self.offset + self.buffer.len() as u64;
        let overlap = self.download.committed().min(end).saturating_sub(self.offset);
        block_in_place(|| {
            self.hasher.update(&self.buffer);
            // After a rewind: readers may have seen other bytes than these.
            let overlap = usize::try_from(overlap).unwrap_or(usize::MAX);
            let mut seen = vec![0; overlap];
            if overlap > 0 {
                self.partial.file.read_exact_at(&mut seen, self.offset)?;
                if seen != self.buffer[..overlap] {
                    self.download.roll_back(self.offset);
                }
            }
            self.partial.file.write_all_at(&self.buffer, self.offset)
        })
        .map_err(|error| PullError::io("write to", &self.partial.path)(error))?;
        self.offset = end;
        self.buffer.clear();
        self.download.commit(end);
        self.progress.emit(PullEvent::LayerBytes {
            digest: self.descriptor().digest.clone(),
            received_bytes: self.download.committed(),
        });
        Ok(())
    }

    pub(crate) fn verify(&self) -> Result<(), PullError> {
        let found = self.hasher.clone().finish();
        if found == self.descriptor().digest {
            return Ok(());
        }
        Err(self.refuse("the registry", format!("its bytes have the digest {found}")))
    }

    pub(crate) fn refuse(&self, origin: &str, reason: String) -> PullError {
        PullError::Mismatch { digest: self.descriptor().digest.clone(), origin: origin.to_owned(), reason }
    }
}
