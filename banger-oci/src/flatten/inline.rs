//! The bytes of one layer's tar, made by the thread that reads them. It is for many parallel pulls, whose own
//! threads keep all processors busy.

use std::io::{self, BufReader, Read};
use std::sync::Arc;

use crate::decompress::{Checksums, DecodeNotes, buffered_decompressor};
use crate::digest::{Algorithm, Hasher};

use super::buffer::{BUFFER_LEN, Buffer, Counting, Message, fill};

/// Reads, decompresses and hashes when it is asked for the next buffer.
pub(super) struct InlineDecoder {
    state: DecoderState,
    /// Taken at the end.
    hasher: Option<Hasher>,
    /// The buffer that goes back and forth.
    spare: Option<Buffer>,
}

enum DecoderState {
    /// Nothing is read yet.
    New(Counting, (Checksums, Arc<DecodeNotes>)),
    Reading(Box<dyn Read + Send>),
    /// The bytes behind the last buffer.
    Ended(io::Result<()>),
}

impl InlineDecoder {
    pub(super) fn new(
        reader: Counting,
        algorithm: Algorithm,
        decoding: (Checksums, Arc<DecodeNotes>),
    ) -> Self {
        let state = DecoderState::New(reader, decoding);
        Self { state, hasher: Some(Hasher::new(algorithm)), spare: None }
    }

    /// Takes a buffer back that was used.
    pub(super) fn take_back(&mut self, buffer: Buffer) {
        self.spare = Some(buffer);
    }

    /// Makes the next message.
    pub(super) fn next(&mut self) -> Message {
        loop {
            match std::mem::replace(&mut self.state, DecoderState::Ended(Ok(()))) {
                DecoderState::New(reader, (checksums, notes)) => {
                    let reader = BufReader::with_capacity(BUFFER_LEN, reader);
                    self.state = match buffered_decompressor(reader, checksums, &notes) {
                        Ok(reader) => DecoderState::Reading(reader),
                        Err(error) => DecoderState::Ended(Err(error)),
                    };
                }
                DecoderState::Reading(mut reader) => {
                    let mut buffer = self.spare.take().unwrap_or_else(Buffer::new);
                    buffer.filled = 0;
                    self.state = match fill(&mut reader, &mut buffer) {
                        Ok(false) => DecoderState::Reading(reader),
                        Ok(true) => DecoderState::Ended(Ok(())),
                        Err(error) => DecoderState::Ended(Err(error)),
                    };
                    if buffer.filled > 0 {
                        if let Some(hasher) = &mut self.hasher {
                            hasher.update(&buffer.bytes[..buffer.filled]);
                        }
                        return Message::Buffer(buffer);
                    }
                    self.spare = Some(buffer);
                }
                DecoderState::Ended(Ok(())) => return Message::End(self.hasher.take().map(Hasher::finish)),
                DecoderState::Ended(Err(error)) => return Message::Failed(error),
            }
        }
    }
}
