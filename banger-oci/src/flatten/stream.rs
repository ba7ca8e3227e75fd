//! The bytes of one layer's tar, made ahead by three threads: one reads, one decompresses, one
//! hashes. Or made by the thread that takes them, see [`InlineDecoder`].
//!
//! Buffers go round: decompressed → hashed → parsed → back. Their number is fixed, so a slow parser stops the
//! decompression, and memory is bounded. A drop of the stream closes both ends, and then the threads end. A
//! thread inside its source's `read` ends when that returns.

use std::io::{self, BufRead, Read};
use std::panic::resume_unwind;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, TryRecvError, channel};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use banger_tree::{Budget, Cancellation, Cost, OverBudget};

use crate::decompress::{Checksums, DecodeNotes, buffered_decompressor};
use crate::digest::{Algorithm, Digest, Hasher};

use super::buffer::{BUFFER_LEN, Buffer, Counting, Message, fill};
use super::inline::InlineDecoder;
use super::read_ahead::ReadAhead;

/// Fewest buffers of a stream: one in each stage, and one to hand over.
const MIN_BUFFERS: usize = 4;
/// How often a cancellation is looked for while no buffer comes.
const POLL: Duration = Duration::from_millis(50);

/// Why a stream stopped for a reason that is not its source's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum StreamStop {
    #[error("cancelled")]
    Cancelled,
    #[error(transparent)]
    OverBudget(OverBudget),
}

impl StreamStop {
    /// Returns the stop that `error` carries.
    pub(super) fn of(error: &io::Error) -> Option<Self> {
        error.get_ref()?.downcast_ref::<Self>().copied()
    }
}

/// A layer whose decompression has begun.
pub(super) struct LayerStream {
    source: BufferSource,
    current: Option<Buffer>,
    at: usize,
    digest: Option<Digest>,
    cancellation: Cancellation,
    budget: Budget,
    /// Bytes read of the published layer; bytes of the tar.
    published_bytes: Arc<AtomicU64>,
    tar_bytes: u64,
    notes: Arc<DecodeNotes>,
}

/// Who makes the buffers.
enum BufferSource {
    Threads { buffers: Receiver<Message>, empty: Sender<Buffer>, threads: Vec<JoinHandle<()>> },
    Caller(Box<InlineDecoder>),
}

impl LayerStream {
    /// Starts to decompress `reader`, whose tar should have the digest `diff_id`, on threads into at most
    /// `queue_bytes` of buffers; without that, the caller of this stream decompresses.
    pub(super) fn start(
        reader: Box<dyn Read + Send>,
        diff_id: Option<&Digest>,
        queue_bytes: Option<usize>,
        cancellation: &Cancellation,
        budget: &Budget,
    ) -> io::Result<Self> {
        let (algorithm, checksums) = match diff_id {
            Some(diff_id) => (diff_id.algorithm(), Checksums::LeftToDigest),
            None => (Algorithm::Sha256, Checksums::Checked),
        };
        let published_bytes = Arc::new(AtomicU64::new(0));
        let reader = Counting { reader, bytes: Arc::clone(&published_bytes) };
        let notes = Arc::new(DecodeNotes::default());
        let noted = Arc::clone(&notes);
        let source = match queue_bytes {
            Some(queue_bytes) => {
                let max_buffers = (queue_bytes / BUFFER_LEN).max(MIN_BUFFERS);
                BufferSource::start(reader, algorithm, (checksums, noted), max_buffers)?
            }
            None => BufferSource::Caller(Box::new(InlineDecoder::new(reader, algorithm, (checksums, noted)))),
        };
        Ok(Self {
            source,
            current: None,
            at: 0,
            digest: None,
            cancellation: cancellation.clone(),
            budget: budget.clone(),
            published_bytes,
            tar_bytes: 0,
            notes,
        })
    }

    /// Returns a reader that calls `report` at each new buffer with the numbers of tar bytes and published
    /// bytes. It keeps a tar of up to `keeps` bytes.
    pub(super) fn with_report(self, report: &dyn Fn(u64, u64), keeps: usize) -> ReportingStream<'_> {
        ReportingStream { stream: self, report, kept: (keeps > 0).then(Vec::new), keeps }
    }

    /// Takes up the next buffer; returns false at the end.
    fn advance(&mut self) -> io::Result<bool> {
        if self.digest.is_some() {
            return Ok(false);
        }
        if let Some(buffer) = self.current.take() {
            match &mut self.source {
                // Nobody takes it when the decompression is through.
                BufferSource::Threads { empty, .. } => drop(empty.send(buffer)),
                BufferSource::Caller(decoder) => decoder.take_back(buffer),
            }
        }
        self.at = 0;
        match self.receive()? {
            Message::Buffer(buffer) => {
                self.tar_bytes += buffer.filled as u64;
                self.budget
                    .charge(Cost::InflatedBytes, buffer.filled as u64)
                    .map_err(|over| io::Error::other(StreamStop::OverBudget(over)))?;
                self.current = Some(buffer);
                Ok(true)
            }
            Message::Failed(error) => Err(error),
            Message::End(digest) => {
                self.digest = digest;
                Ok(false)
            }
        }
    }

    fn receive(&mut self) -> io::Result<Message> {
        loop {
            if self.cancellation.is_cancelled() {
                return Err(io::Error::other(StreamStop::Cancelled));
            }
            let (buffers, threads) = match &mut self.source {
                BufferSource::Threads { buffers, threads, .. } => (buffers, threads),
                BufferSource::Caller(decoder) => return Ok(decoder.next()),
            };
            match buffers.recv_timeout(POLL) {
                Ok(message) => return Ok(message),
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => {
                    // Both threads send a last message before they end, unless they panic.
                    for thread in threads.drain(..) {
                        thread.join().unwrap_or_else(|panic| resume_unwind(panic));
                    }
                    return Err(io::ErrorKind::BrokenPipe.into());
                }
            }
        }
    }
}

impl BufferSource {
    /// Starts the threads.
    fn start(
        reader: Counting,
        algorithm: Algorithm,
        (checksums, notes): (Checksums, Arc<DecodeNotes>),
        max_buffers: usize,
    ) -> io::Result<Self> {
        let (to_hasher, from_decompressor) = channel();
        let (to_parser, from_hasher) = channel();
        let (empty, emptied) = channel();
        let threads = vec![
            thread::Builder::new()
                .name("decompress layer".to_owned())
                .spawn(move || decompress(reader, (checksums, &notes), max_buffers, &emptied, &to_hasher))?,
            thread::Builder::new()
                .name("hash layer".to_owned())
                .spawn(move || hash(algorithm, &from_decompressor, &to_parser))?,
        ];
        Ok(Self::Threads { buffers: from_hasher, empty, threads })
    }
}

/// The results of reading a layer.
pub(super) struct ReadLayer {
    pub(super) tar_digest: Digest,
    pub(super) tar_bytes: u64,
    pub(super) published_bytes: u64,
    /// The compressed bytes are padded with zeros.
    pub(super) has_zeros_behind: bool,
    /// The tar, if it is short enough and should be kept.
    pub(super) kept: Option<Vec<u8>>,
}

/// A [`LayerStream`] that reports its progress.
pub(super) struct ReportingStream<'a> {
    stream: LayerStream,
    report: &'a dyn Fn(u64, u64),
    /// The tar up to here, while it is short enough.
    kept: Option<Vec<u8>>,
    keeps: usize,
}

impl ReportingStream<'_> {
    /// Returns the results. Call it after [`BufRead::fill_buf`] has returned no bytes.
    pub(super) fn finish(self) -> ReadLayer {
        let stream = self.stream;
        ReadLayer {
            tar_digest: stream.digest.expect("the stream is read to its end before it is finished"),
            tar_bytes: stream.tar_bytes,
            published_bytes: stream.published_bytes.load(Ordering::Relaxed),
            has_zeros_behind: stream.notes.has_zeros_behind(),
            kept: self.kept,
        }
    }

    /// Keeps the new buffer for a layer that comes again.
    fn keep(&mut self) {
        let Some(kept) = &mut self.kept else { return };
        let bytes = self.stream.current.as_ref().map_or(&[][..], |buffer| &buffer.bytes[..buffer.filled]);
        if kept.len() + bytes.len() > self.keeps {
            self.kept = None;
        } else {
            kept.extend_from_slice(bytes);
        }
    }
}

impl BufRead for ReportingStream<'_> {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        let stream = &mut self.stream;
        let is_used_up = stream.current.as_ref().is_none_or(|buffer| stream.at == buffer.filled);
        if is_used_up && stream.advance()? {
            (self.report)(stream.tar_bytes, stream.published_bytes.load(Ordering::Relaxed));
            self.keep();
        }
        let stream = &self.stream;
        Ok(stream.current.as_ref().map_or(&[], |buffer| &buffer.bytes[stream.at..buffer.filled]))
    }

    fn consume(&mut self, amount: usize) {
        self.stream.at += amount;
    }
}

impl Read for ReportingStream<'_> {
    fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        let count = self.fill_buf()?.read(bytes)?;
        self.consume(count);
        Ok(count)
    }
}

/// Body of the decompressing thread. A failed send or receive means that the stream was dropped.
fn decompress(
    reader: Counting,
    (checksums, notes): (Checksums, &Arc<DecodeNotes>),
    max_buffers: usize,
    emptied: &Receiver<Buffer>,
    out: &Sender<Message>,
) {
    let opened = ReadAhead::start(reader).and_then(|reader| buffered_decompressor(reader, checksums, notes));
    let mut reader = match opened {
        Ok(reader) => reader,
        Err(error) => {
            let _ = out.send(Message::Failed(error));
            return;
        }
    };
    let mut made = 0;
    loop {
        let mut buffer = match emptied.try_recv() {
            Ok(buffer) => buffer,
            Err(TryRecvError::Disconnected) => return,
            Err(TryRecvError::Empty) if made < max_buffers => {
                made += 1;
                Buffer::new()
            }
            Err(TryRecvError::Empty) => match emptied.recv() {
                Ok(buffer) => buffer,
                Err(_) => return,
            },
        };
        buffer.filled = 0;
        let end = fill(&mut reader, &mut buffer);
        if buffer.filled > 0 && out.send(Message::Buffer(buffer)).is_err() {
            return;
        }
        match end {
            Ok(false) => {}
            Ok(true) => {
                let _ = out.send(Message::End(None));
                return;
            }
            Err(error) => {
                let _ = out.send(Message::Failed(error));
                return;
            }
        }
    }
}

/// Body of the hashing thread.
fn hash(algorithm: Algorithm, input: &Receiver<Message>, out: &Sender<Message>) {
    let mut hasher = Hasher::new(algorithm);
    while let Ok(message) = input.recv() {
        let message = match message {
            Message::Buffer(buffer) => {
                hasher.update(&buffer.bytes[..buffer.filled]);
                Message::Buffer(buffer)
            }
            Message::End(_) => {
                let _ = out.send(Message::End(Some(hasher.finish())));
                return;
            }
            failed @ Message::Failed(_) => failed,
        };
        if out.send(message).is_err() {
            return;
        }
    }
}
