//! Streams of bzip2.

use std::io::{self, BufRead, Read};
use std::sync::Arc;

use bzip2::{Decompress, Status};

use super::notes::{DecodeNotes, pass_zeros};

/// Reads the content of bzip2 streams, one after the other; skips zeros behind the last one.
pub(super) struct Bzip2<R> {
    input: R,
    /// `None` between two streams.
    stream: Option<Decompress>,
    /// Empty streams. Each of them costs the memory of a full one.
    empty_streams: u32,
    is_first: bool,
    notes: Arc<DecodeNotes>,
}

/// Largest number of streams without content.
const EMPTY_STREAMS_MAX: u32 = 1024;

impl<R: BufRead> Bzip2<R> {
    pub(super) fn new(input: R, notes: Arc<DecodeNotes>) -> Self {
        Self { input, stream: None, empty_streams: 0, is_first: true, notes }
    }

    /// Starts the next stream; returns false at the end.
    fn begin(&mut self) -> io::Result<bool> {
        match self.input.fill_buf()?.first() {
            None => return Ok(false),
            Some(0) if !self.is_first => {
                pass_zeros(&mut self.input, garbage)?;
                self.notes.note_zeros_behind();
                return Ok(false);
            }
            Some(b'B') => {}
            Some(_) => return Err(garbage()),
        }
        self.is_first = false;
        self.stream = Some(Decompress::new(false));
        Ok(true)
    }
}

impl<R: BufRead> Read for Bzip2<R> {
    fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        if bytes.is_empty() {
            return Ok(0);
        }
        loop {
            if self.stream.is_none() && !self.begin()? {
                return Ok(0);
            }
            let stream = self.stream.as_mut().expect("begun above");
            let input = self.input.fill_buf()?;
            let is_end = input.is_empty();
            let (read, written) = (stream.total_in(), stream.total_out());
            let status =
                stream.decompress(input, bytes).map_err(|_| damaged("the bzip2 stream is damaged"))?;
            let length = |count: u64| usize::try_from(count).expect("as much as a buffer holds");
            let (read, written) = (length(stream.total_in() - read), length(stream.total_out() - written));
            let is_empty = stream.total_out() == 0;
            self.input.consume(read);
            match status {
                Status::StreamEnd => {
                    self.stream = None;
                    self.empty_streams += u32::from(is_empty);
                    if self.empty_streams > EMPTY_STREAMS_MAX {
                        return Err(damaged("more than 1024 bzip2 streams hold nothing"));
                    }
                }
                Status::MemNeeded => return Err(io::ErrorKind::OutOfMemory.into()),
                _ if written == 0 && is_end => {
                    return Err(io::Error::new(
                        io::ErrorKind::UnexpectedEof,
                        "the bzip2 stream is cut short",
                    ));
                }
                _ if written == 0 && read == 0 => return Err(damaged("the bzip2 stream is damaged")),
                _ => {}
            }
            if written > 0 {
                return Ok(written);
            }
        }
    }
}

fn damaged(reason: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, reason)
}

fn garbage() -> io::Error {
    damaged("the bzip2 stream is followed by something else")
}
